"""Writes weight files of every kind that PyTorch writes, with what is in them.

usage: weights.py small|networks|hostile FOLDER

small: a handful of tensors of every kind in every container; `expected.json` holds names, kinds, shapes and values. networks: DenseNets under
the names that other tools use; `expected.safetensors` holds torchvision's. hostile: pickles that would run a program.
"""

import argparse
import collections
import json
import os
import sys
import types

import numpy
import torch
import torchvision
from safetensors.torch import save_file

what, folder = sys.argv[1:]
torch.manual_seed(7)


def path(name):
    return os.path.join(folder, name)


def small():
    shared = torch.arange(24, dtype=torch.float32)
    tensors = collections.OrderedDict(
        fp32=torch.randn(3, 4),
        fp64=torch.randn(2, dtype=torch.float64),
        fp16=torch.randn(5).half(),
        bf16=torch.randn(2, 3).bfloat16(),
        i64=torch.tensor([-5, 1 << 40]),
        i32=torch.tensor([[-7]], dtype=torch.int32),
        i16=torch.tensor([-300], dtype=torch.int16),
        i8=torch.tensor([-3], dtype=torch.int8),
        u8=torch.tensor([250, 1], dtype=torch.uint8),
        flags=torch.tensor([True, False]),
        scalar=torch.tensor(3.5),
        nothing=torch.empty(0, 3),
        transposed=torch.randn(3, 5).t(),
        part=shared[4:12].view(2, 4),
        other_part=shared[10:20:3],
        repeated=torch.tensor([1.0, 2.0]).expand(4, 2),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )
    expected = {
        name: {"dtype": str(t.dtype), "shape": list(t.shape), "values": t.detach().double().flatten().tolist()}
        for name, t in tensors.items()
    }
    with open(path("expected.json"), "w") as file:
        json.dump(expected, file)
    tensors._metadata = collections.OrderedDict({"": {"version": 1}})
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))])
    checkpoint = {
        "epoch": 12,
        "arch": "densenet121",
        "args": argparse.Namespace(lr=0.1),
        "best_auroc": numpy.float64(0.83),
        "history": [1.5, None, (1, 2), {3}, b"bytes"],
        "seen": torch.tensor(4),
        "optimizer": {**optimiser.state_dict(), "moment": torch.ones(2)},
        "state_dict": tensors,
    }
    for zipped in (True, False):
        end = "zip.pth" if zipped else "legacy.pth"
        for protocol in (2, 4):
            torch.save(tensors, path(f"dict{protocol}-{end}"), _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
        torch.save(dict(tensors), path(f"plain-{end}"), _use_new_zipfile_serialization=zipped)
        torch.save(checkpoint, path(f"checkpoint-{end}"), _use_new_zipfile_serialization=zipped)
        torch.save({"model": checkpoint}, path(f"nested-{end}"), _use_new_zipfile_serialization=zipped)
    save_file({name: t.detach().contiguous().clone() for name, t in tensors.items()}, path("dict.safetensors"))

    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, t in tensors.items():
                self.register_buffer(name, t.detach())

        def forward(self, x):
            return x + self.fp32.sum()

    torch.jit.save(torch.jit.script(Holder()), path("script.pt"))


def old(name):
    """torchvision's names before 0.3."""
    for part in ("norm", "conv"):
        for number in "12":
            name = name.replace(f".{part}{number}.", f".{part}.{number}.") if "denselayer" in name else name
    return name


def networks():
    network = torchvision.models.densenet121(num_classes=2)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    state = network.state_dict()
    save_file({name: t.clone() for name, t in state.items()}, path("expected.safetensors"))
    torch.save(state, path("torchvision.pth"))
    torch.save({old(n): t for n, t in state.items() if "num_batches" not in n}, path("old.pth"), _use_new_zipfile_serialization=False)
    chexnet = {f"module.densenet121.{old(n)}": t for n, t in state.items() if "classifier" not in n}
    chexnet["module.densenet121.classifier.0.weight"] = torch.zeros(14, 1024)
    chexnet["module.densenet121.classifier.0.bias"] = torch.zeros(14)
    torch.save({"epoch": 3, "state_dict": chexnet, "optimizer": {"state": {0: {"exp_avg": torch.zeros(5)}}}}, path("chexnet.pth.tar"))
    monai = {(n.replace(".norm", ".layers.norm").replace(".conv", ".layers.conv") if "denselayer" in n else n): t for n, t in state.items()}
    monai = {n.replace("classifier.", "class_layers.out."): t for n, t in monai.items()}
    torch.save(monai, path("monai.pt"))
    torch.save(network.features.state_dict(), path("features.pth"))
    torch.save({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, path("half.pth"))
    torch.save(torch.nn.DataParallel(network), path("whole.pth"))
    torch.jit.save(torch.jit.script(network.eval()), path("script.pt"))
    # torchxrayvision keeps whole modules of a class of its own, for one channel from -1024 to 1024.
    package, models = types.ModuleType("torchxrayvision"), types.ModuleType("torchxrayvision.models")
    sys.modules.update({"torchxrayvision": package, "torchxrayvision.models": models})

    class DenseNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = network.features
            self.classifier = torch.nn.Linear(1024, 18)
            self.pathologies = ["Atelectasis", ""]
            self.op_threshs = None

    DenseNet.__module__, DenseNet.__qualname__ = "torchxrayvision.models", "DenseNet"
    models.DenseNet = DenseNet
    first = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(network.features.conv0.weight.sum(1, keepdim=True))
    network.features.conv0 = first
    torch.save(DenseNet(), path("xrv.pt"), _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": torch.nn.DataParallel(DenseNet())}, path("xrv-wrapped.pt"))


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile():
    mark = path("executed")
    for name, function, arguments in [
        ("system", os.system, (f"touch {mark}",)),
        ("open", open, (mark, "w")),
        ("exec", exec, (f"open({mark!r}, 'w')",)),
        ("load", torch.load, (mark,)),
    ]:
        bad = {"weight": torch.zeros(2), "bad": Runs(function, *arguments)}
        for zipped in (True, False):
            torch.save(bad, path(f"{name}-{'zip' if zipped else 'legacy'}.pth"), _use_new_zipfile_serialization=zipped)


{"small": small, "networks": networks, "hostile": hostile}[what]()
