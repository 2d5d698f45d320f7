"""Times pytorch-grad-cam's and Captum's heat maps of torchvision's DenseNet-121, in their usual settings.

usage: maps.py REPEATS FILMS SIDE

Prints JSON objects, one a line: {"case", "peer", "seconds"}, the median over REPEATS after one that does not count.
"""

import json
import statistics
import sys
import time

import captum.attr
import pytorch_grad_cam
import torch
import torchvision

repeats, films, side = map(int, sys.argv[1:])
torch.manual_seed(0)
network = torchvision.models.densenet121(weights=None, num_classes=2).eval()
for module in network.modules():
    if isinstance(module, torch.nn.ReLU):
        # In place, their hooks see what a ReLU has overwritten.
        module.inplace = False


def difference(logits):
    return logits[..., 1] - logits[..., 0]


def forward(xs):
    return difference(network(xs))


def report(case, peer, work):
    seconds = []
    for number in range(repeats + 1):
        began = time.perf_counter()
        work()
        if number:
            seconds.append(time.perf_counter() - began)
    print(json.dumps({"case": case, "peer": peer, "seconds": statistics.median(seconds)}), flush=True)


batch = torch.randn(films, 3, side, side)
one = batch[:1]
for layer in ("features.norm5", "features.denseblock2"):
    for name, of in ((f"{films} films", batch), ("1 film", one)):
        layers = [network.get_submodule(layer)]
        method = pytorch_grad_cam.GradCAM(network, layers)
        report(f"grad-cam of {name} at {layer}", "pytorch-grad-cam", lambda: method(of, [difference] * len(of)))
        method.activations_and_grads.release()
        attribution = captum.attr.LayerGradCam(forward, layers[0])
        report(f"grad-cam of {name} at {layer}", "captum", lambda: attribution.attribute(of))
window, stride = side // 8, side // 16
occlusion = captum.attr.Occlusion(forward)
shapes = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}
report("occlusion of 1 film", "captum", lambda: occlusion.attribute(one, perturbations_per_eval=16, **shapes))
# 32 channels, each a pass.
few = "features.denseblock4.denselayer16.conv2"
score = pytorch_grad_cam.ScoreCAM(network, [network.get_submodule(few)])
report("score-cam of 1 film, 32 channels", "pytorch-grad-cam", lambda: score(one, [difference]))
