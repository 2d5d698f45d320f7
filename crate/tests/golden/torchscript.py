"""Uses an exported TorchScript archive as people do.

usage: torchscript.py MODEL.pt BATCH.safetensors

Prints one JSON object: what differs between the network as loaded and frozen, trained on, moved to another kind of
number, and moved to a device that holds no values; the names of its parameters and buffers; devices that its graph
names.
"""

import json
import re
import sys

import torch
from safetensors.torch import load_file

path, batch = sys.argv[1:]
batch = load_file(batch)
films, logits = batch["films"], batch["logits"]
network = torch.jit.load(path)
said = {
    "training": network.training,
    "parameters": [name for name, _ in network.named_parameters()],
    "buffers": [name for name, _ in network.named_buffers()],
    "learn": sum(parameter.requires_grad for parameter in network.parameters()),
    # Constants of a device, as `device=torch.device("cpu")` leaves them.
    "devices": re.findall(r"Device = prim::Constant.*", str(network.inlined_graph)),
    "casts": str(network.inlined_graph).count("aten::to("),
    "constants": len(re.findall(r"Tensor = prim::Constant", str(network.inlined_graph))),
}


def off(found, expected=logits):
    return ((found.float() - expected.float()).abs().max() / expected.float().abs().max()).item()


with torch.no_grad():
    said["loaded"] = off(network(films))
    said["frozen"] = off(torch.jit.freeze(torch.jit.load(path))(films))
    said["optimised"] = off(torch.jit.optimize_for_inference(torch.jit.load(path))(films))
    said["double"] = off(torch.jit.load(path).double()(films.double()))
    said["bfloat16"] = off(torch.jit.load(path).to(torch.bfloat16)(films.bfloat16()))
    # A device other than the CPU on any machine: a constant that stayed behind would meet it and fail.
    moved = torch.jit.load(path, map_location="meta")
    there = moved(films.to("meta"))
    said["meta"] = [there.device.type, list(there.shape)]
network.train()
before = {name: value.clone() for name, value in network.named_buffers()}
torch.nn.functional.cross_entropy(network(films), torch.zeros(len(films), dtype=torch.long)).backward()
said["gradients"] = sum(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
said["moved"] = sum(not torch.equal(value, before[name]) for name, value in network.named_buffers())
print(json.dumps(said))
