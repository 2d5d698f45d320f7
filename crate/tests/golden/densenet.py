"""torchvision's DenseNet on weights and films that the test wrote: the numbers ours must equal.

    python densenet.py NETWORK WEIGHTS.safetensors INPUT.safetensors OUTPUT.safetensors

NETWORK is densenet121 and so on, or `reference`: the original project's network. Loading is strict, so it also shows
that our file needs no renaming. OUTPUT holds, computed in f32 and in f64 (`float.` and `double.` before each name), for
eval and train mode, features, pooled features, logits, loss and the gradient of every parameter, and BatchNorm's
running statistics after one pass in train mode.
"""

import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn


class Reference(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torchvision.models.densenet121(weights=None).features
        self.classifier = nn.Sequential(
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Linear(512, 2),
        )

    def pool(self, features):
        return torch.relu(features).amax((2, 3))


def build(name, classes):
    if name == "reference":
        return Reference()
    network = getattr(torchvision.models, name)(weights=None, num_classes=classes)
    network.pool = lambda features: torch.relu(features).mean((2, 3))
    return network


name, weights, given, output = sys.argv[1:]
weights, given = load_file(weights), load_file(given)
classes = weights["classifier.weight"].shape[0] if "classifier.weight" in weights else 2
result = {}
for prefix, kind in (("float", torch.float), ("double", torch.double)):
    network = build(name, classes).to(kind)
    # Channels last, as ours on a CPU: in train mode BatchNorm over few values magnifies what another order of summation
    # rounds differently.
    films = given["films"].to(kind, memory_format=torch.channels_last)
    found = {}
    for mode in ("eval", "train"):
        missing, unexpected = network.load_state_dict(weights, strict=False)
        missing = [key for key in missing if not key.endswith("num_batches_tracked")]
        assert not missing and not unexpected, (missing, unexpected)
        network.train(mode == "train")
        network.zero_grad()
        features = network.features(films)
        pooled = network.pool(features)
        logits = network.classifier(pooled)
        if mode == "eval" and name != "reference":
            # Through torchvision's own forward too, not only through its parts, and in its default memory format.
            assert torch.allclose(network(given["films"].to(kind)), logits, rtol=1e-4, atol=1e-5)
        loss = nn.functional.cross_entropy(logits, given["labels"])
        loss.backward()
        found |= {
            f"{mode}.features": features,
            f"{mode}.pooled": pooled,
            f"{mode}.logits": logits,
            f"{mode}.loss": loss,
        }
        found |= {f"{mode}.gradient.{key}": value.grad for key, value in network.named_parameters()}
    found |= {f"moved.{key}": value for key, value in network.named_buffers() if "running" in key}
    result |= {f"{prefix}.{key}": value for key, value in found.items()}
save_file({key: value.detach().clone().contiguous() for key, value in result.items()}, output)
