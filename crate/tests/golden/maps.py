"""Captum's and pytorch-grad-cam's maps of torchvision's DenseNet-121 on weights and films that the test wrote.

    python maps.py WEIGHTS.safetensors INPUT.safetensors OUTPUT.safetensors

Run by `REGENERATE=1 cargo test -p humerus --test maps`, with the packages of lab/peers.lock on PYTHONPATH; OUTPUT is
crate/tests/golden/maps.safetensors, whose metadata names the versions. Everything is computed in f64 and kept in f32:
in f32 a value within rounding of zero passes a ReLU or does not, which moves maps by more than their formulas differ.
The target is the difference of the two logits.
"""

import sys
from importlib.metadata import version

import captum.attr
import numpy as np
import pytorch_grad_cam
import torch
import torchvision
from safetensors.torch import load_file, save_file

weights, given, output = sys.argv[1:]
network = torchvision.models.densenet121(weights=None, num_classes=2).double()
missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
missing = [key for key in missing if not key.endswith("num_batches_tracked")]
assert not missing and not unexpected, (missing, unexpected)
network.eval()
for module in network.modules():
    # Their hooks would else see what a ReLU has overwritten.
    if isinstance(module, torch.nn.ReLU):
        module.inplace = False
films = load_file(given)["films"].double()
found = {}

# Score-CAM enlarges by corners; ours by pixel centres, as the authors' own code and every resize of ours do.
torch.nn.UpsamplingBilinear2d = lambda size: torch.nn.Upsample(size, mode="bilinear", align_corners=False)


def difference(logits):
    return logits[..., 1] - logits[..., 0]


def cam(name, method, layer):
    targets = [difference] * len(films)
    with method(network, [network.get_submodule(layer)]) as method:
        method.activations_and_grads(films) if not method.uses_gradients else None
        kept = {}

        def keep(*args):
            raw = original(*args)
            kept["raw"] = np.asarray(raw)
            return raw

        original, method.get_cam_image = method.get_cam_image, keep
        method(films, targets)
    found[f"{name} {layer}"] = torch.from_numpy(kept["raw"])


BLOCK = "features.denseblock2"
cam("grad-cam", pytorch_grad_cam.GradCAM, BLOCK)
cam("grad-cam", pytorch_grad_cam.GradCAM, "features.denseblock4")
cam("grad-cam++", pytorch_grad_cam.GradCAMPlusPlus, BLOCK)
cam("hires-cam", pytorch_grad_cam.HiResCAM, BLOCK)
cam("layer-cam", pytorch_grad_cam.LayerCAM, BLOCK)
cam("xgrad-cam", pytorch_grad_cam.XGradCAM, "features.transition2.relu")
cam("eigen-cam", pytorch_grad_cam.EigenCAM, BLOCK)
cam("score-cam", pytorch_grad_cam.ScoreCAM, "features.denseblock4.denselayer16.conv2")
# Their ablation is by zero only where the smallest value is zero, so behind a ReLU.
cam("ablation-cam", pytorch_grad_cam.AblationCAM, "features.denseblock4.denselayer16.relu2")
with torch.no_grad():
    # Theirs is divided by the target, which turns the map round where the target is negative.
    found["ablation-cam features.denseblock4.denselayer16.relu2"] *= difference(network(films)).float().view(-1, 1, 1)


def forward(xs):
    return difference(network(xs))


layer = captum.attr.LayerGradCam(forward, network.get_submodule(BLOCK))
found["captum grad-cam"] = layer.attribute(films)[:, 0]
steps = captum.attr.IntegratedGradients(forward, multiply_by_inputs=True)
found["integrated-gradients input"] = steps.attribute(films, n_steps=8, method="riemann_middle").sum(1)
# One window for all channels: the same number in each of them.
windows = captum.attr.Occlusion(forward).attribute(films, sliding_window_shapes=(3, 24, 24), strides=(3, 16, 16))
found["occlusion input"] = windows[:, 0]
found["input-x-gradient input"] = captum.attr.InputXGradient(forward).attribute(films.clone()).sum(1)
found["smooth-grad input"] = captum.attr.Saliency(forward).attribute(films.clone(), abs=False).sum(1).abs()

packages = ("captum", "grad-cam", "torch", "torchvision")
metadata = {name: version(name) for name in packages}
save_file({key: value.detach().float().contiguous() for key, value in found.items()}, output, metadata)
