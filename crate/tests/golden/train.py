"""torchvision's DenseNet-121 trained by PyTorch on weights and batches that the test wrote: the loss curve that ours
must follow.

    python train.py WEIGHTS.safetensors BATCHES.safetensors OUTPUT.safetensors

BATCHES holds `K.films` [B, 3, H, W] and `K.labels` [B] for each step K from 0, and `class_weights` [2]. SGD, OneCycleLR
to 1e-4 with a tenth of the steps rising, label smoothing 0.05. OUTPUT holds `losses`, and `untrained`: the same without
any step.

The learning rate is small because a network fresh from its random weights magnifies rounding: at 1e-3, or under Adam,
PyTorch's own curve in channels_last leaves its curve in contiguous format by several per cent within 12 steps. Adam's
steps are compared by optimizer.py.
"""

import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

torch.set_num_threads(1)  # As ours.
weights, given = load_file(sys.argv[1]), load_file(sys.argv[2])
network = torchvision.models.densenet121(weights=None, num_classes=2)
missing, unexpected = network.load_state_dict(weights, strict=False)
assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing), (missing, unexpected)
network.train()
steps = sum(key.endswith(".films") for key in given)


def loss_of(step):
    # Channels last, as ours, so that both round alike.
    logits = network(given[f"{step}.films"].to(memory_format=torch.channels_last))
    return nn.functional.cross_entropy(
        logits, given[f"{step}.labels"], weight=given["class_weights"], label_smoothing=0.05
    )


with torch.no_grad():
    # In train mode BatchNorm uses the batch's statistics, so its running ones change nothing here.
    untrained = [loss_of(step) for step in range(steps)]
update = torch.optim.SGD(network.parameters(), lr=1e-4)
cycle = torch.optim.lr_scheduler.OneCycleLR(
    update, max_lr=1e-4, total_steps=steps, pct_start=0.1, div_factor=25, final_div_factor=400, cycle_momentum=False
)
losses = []
for step in range(steps):
    loss = loss_of(step)
    update.zero_grad()
    loss.backward()
    update.step()
    cycle.step()
    losses.append(loss.detach())
save_file({"losses": torch.stack(losses), "untrained": torch.stack(untrained)}, sys.argv[3])
