"""Opens exported models as their users do, and compares logits with those of the network that wrote them.

usage: export.py MODEL.safetensors TRACED.pt BATCH.safetensors

BATCH holds films and logits, and films2 and logits2 of another number and size. Prints one JSON object: the largest
differences, as shares of the largest logit.
"""

import json
import sys

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

model, traced, batch = sys.argv[1:]
batch = load_file(batch)
with safe_open(model, "pt") as file:
    card = json.loads(file.metadata()["humerus"])
    weights = {name: file.get_tensor(name) for name in file.keys()}
network = torchvision.models.get_model(card["architecture"], num_classes=len(card["classes"])).eval()
if card["preprocess"]["channels"] == 1:
    network.features.conv0 = torch.nn.Conv2d(1, network.features.conv0.out_channels, 7, 2, 3, bias=False)
if card["head"]["kind"] == "linear":
    network.load_state_dict(weights)
    whole = network
else:
    # The features load by their names; the head is the original project's.
    features = {name.removeprefix("features."): w for name, w in weights.items() if name.startswith("features.")}
    network.features.load_state_dict(features)
    widths = [1024, 1024, 1024, 512, 2]
    layers = [layer for a, b in zip(widths, widths[1:]) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())][:-1]
    head = torch.nn.Sequential(*layers)
    head.load_state_dict({n.removeprefix("classifier."): w for n, w in weights.items() if n.startswith("classifier.")})
    whole = lambda films: head(torch.relu(network.features(films)).amax((2, 3)))
script = torch.jit.load(traced)
off = {}
with torch.no_grad():
    for end in ("", "2"):
        films, logits = batch["films" + end], batch["logits" + end]
        for name, f in (("torchvision", whole), ("torchscript", script)):
            share = ((f(films) - logits).abs().max() / logits.abs().max()).item()
            off[name] = max(off.get(name, 0.0), share)
print(json.dumps(off))
