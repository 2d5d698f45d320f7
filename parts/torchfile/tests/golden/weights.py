"""Writes weight files of every kind that PyTorch writes, with what is in them.

usage: weights.py small|odd|networks|reported|hostile FOLDER

small: a handful of tensors of every kind in every container; `expected.json` holds names, kinds, shapes and values.
odd: small files with objects beside tensors, modules of foreign classes and several networks, to be damaged. networks:
DenseNets under the names that other tools use; `expected.safetensors` holds torchvision's. reported: the same with what
people reported trouble with: objects beside tensors, whole modules of foreign classes, several networks in a file.
hostile: pickles that would run a program.
"""

import argparse
import collections
import datetime
import decimal
import functools
import json
import os
import pathlib
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
            torch.save(
                tensors, path(f"dict{protocol}-{end}"), _use_new_zipfile_serialization=zipped, pickle_protocol=protocol
            )
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
    torch.save(
        {old(n): t for n, t in state.items() if "num_batches" not in n},
        path("old.pth"),
        _use_new_zipfile_serialization=False,
    )
    chexnet = {f"module.densenet121.{old(n)}": t for n, t in state.items() if "classifier" not in n}
    chexnet["module.densenet121.classifier.0.weight"] = torch.zeros(14, 1024)
    chexnet["module.densenet121.classifier.0.bias"] = torch.zeros(14)
    torch.save(
        {"epoch": 3, "state_dict": chexnet, "optimizer": {"state": {0: {"exp_avg": torch.zeros(5)}}}},
        path("chexnet.pth.tar"),
    )
    monai = {
        (n.replace(".norm", ".layers.norm").replace(".conv", ".layers.conv") if "denselayer" in n else n): t
        for n, t in state.items()
    }
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


def made(module, name, *bases, **members):
    """A class that a pickle finds under this name; gone again, for whoever reads it, as other people's are."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    cls = type(name, bases, {"__module__": module, "__qualname__": name, **members})
    setattr(sys.modules[module], name, cls)
    return cls


def foreign(network, cls):
    """The network as a module of another class, its blocks too."""
    other = cls.__new__(cls)
    torch.nn.Module.__init__(other)
    for name, child in network.named_children():
        other.add_module(name, child)
    return other


def reported():
    network = torchvision.models.densenet121(num_classes=2)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    state = network.state_dict()
    save_file({name: t.clone() for name, t in state.items()}, path("expected.safetensors"))
    noise = {name: torch.randn_like(t) if t.is_floating_point() else t for name, t in state.items()}
    Config = made("my.settings", "Config", dict)
    Colour = made("my.settings", "Colour")
    odd = {
        "config_path": pathlib.PosixPath("/data/mura"),
        "date": datetime.datetime(2024, 2, 29, 12),
        "activation": functools.partial(torch.nn.functional.relu, inplace=True),
        "config": Config(lr=0.1),
        "colour": Colour(),
        "decimal": decimal.Decimal("0.1"),
        "history": {"auc": numpy.array([0.5, 0.8]), "when": [datetime.timedelta(seconds=3)]},
        "counts": collections.Counter("abba"),
        "scores": collections.defaultdict(list, {"a": [1.0]}),
    }
    optimiser = {"state": {0: {"exp_avg": torch.zeros(5)}}, "param_groups": [{"params": [0], "lr": 0.1}]}

    # chemprop 1227: objects beside tensors, in both containers.
    for zipped in (True, False):
        end = "zip.pth" if zipped else "legacy.pth"
        torch.save(
            {**odd, "state_dict": state, "optimizer": optimiser},
            path(f"objects-{end}"),
            _use_new_zipfile_serialization=zipped,
        )

    # Whole modules of classes that are not installed where they are read.
    Dense = made("timm.models.densenet", "DenseNet", torch.nn.Module)
    Norm = made("timm.layers.norm_act", "BatchNormAct2d", torch.nn.BatchNorm2d)
    whole = foreign(network, Dense)
    for name, module in list(network.features.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.__class__ = Norm
            module.drop, module.act = torch.nn.Identity(), torch.nn.ReLU()
    whole.global_pool, whole.drop_rate = torch.nn.AdaptiveAvgPool2d(1), 0.0
    torch.save(whole, path("timm-whole.pth"))
    torch.save(whole, path("timm-whole-legacy.pth"), _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "net": torch.nn.DataParallel(whole), **odd}, path("timm-wrapped.pth"))
    Own = made("lab.nets", "HumerusNet", torch.nn.Module)
    own = Own.__new__(Own)
    torch.nn.Module.__init__(own)
    own.backbone, own.loss, own.where = whole, functools.partial(torch.nn.functional.cross_entropy), pathlib.Path("a")
    torch.save(own, path("own-whole.pth"))
    Layer = made("monai.networks.nets.densenet", "_DenseLayer", torch.nn.Module)
    Monai = made("monai.networks.nets.densenet", "DenseNet121", torch.nn.Module)
    monai = foreign(network, Monai)
    features = torch.nn.Sequential()
    for name, block in network.features.named_children():
        if name.startswith("denseblock"):
            layers = torch.nn.Sequential()
            for at, layer in block.named_children():
                inner = Layer.__new__(Layer)
                torch.nn.Module.__init__(inner)
                inner.layers = torch.nn.Sequential(collections.OrderedDict(layer.named_children()))
                layers.add_module(at, inner)
            block = layers
        features.add_module(name, block)
    monai.features = features
    del monai.classifier
    monai.class_layers = torch.nn.Sequential(collections.OrderedDict(relu=torch.nn.ReLU(), out=network.classifier))
    torch.save(monai, path("monai-whole.pt"))
    # An object of a class that holds a network, and tensors of a class of their own, as MONAI's MetaTensor.
    State = made("lab.train", "State")
    kept = State()
    kept.model, kept.best, kept.me = state, 0.8, kept
    torch.save(kept, path("object-holds-state.pth"))
    Meta = made("monai.data.meta_tensor", "MetaTensor", torch.Tensor)
    torch.save(
        {name: t.as_subclass(Meta) if t.is_floating_point() else t for name, t in state.items()},
        path("own-tensors.pth"),
    )

    # moco 84: two encoders under one key; a queue; an optimiser.
    moco = {f"module.encoder_k.{n}": t for n, t in noise.items()}
    moco |= {f"module.encoder_q.{n}": t for n, t in state.items()}
    moco |= {"module.queue": torch.zeros(8, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"epoch": 1, "arch": "densenet121", "state_dict": moco, "optimizer": optimiser}, path("moco.pth.tar"))
    save_file({n: t.clone() for n, t in moco.items()}, path("moco.safetensors"))
    # timm 781 and others: a moving average beside the model.
    torch.save(
        {"state_dict_ema": noise, "state_dict": state, "args": argparse.Namespace(lr=0.1)}, path("timm-ema.pth.tar")
    )
    torch.save({"model_ema": {"module": noise}, "model": state, "optimizer": optimiser}, path("model-ema.pth"))
    averaged = {f"ema_model.{n}": t for n, t in noise.items()}
    torch.save({"state_dict": averaged | {f"model.{n}": t for n, t in state.items()}}, path("lightning-ema.ckpt"))
    torch.save({"left": state, "right": noise}, path("equals.pth"))
    alias = {f"net.{n}": t for n, t in state.items()} | {f"net.inner.{n}": t for n, t in state.items()}
    torch.save(alias, path("alias.pth"))
    # A tensor that is not known here, of the average and not of the network.
    torch.save({"model": state, "fft": {"weights": torch.zeros(3, dtype=torch.complex64)}}, path("complex.pth"))


def odd():
    small = lambda: collections.OrderedDict(
        {"features.conv0.weight": torch.randn(2, 1, 2, 2), "classifier.bias": torch.zeros(2)}
    )
    Own = made("lab.nets", "Net", torch.nn.Module)
    net = Own.__new__(Own)
    torch.nn.Module.__init__(net)
    net.fc, net.where = torch.nn.Linear(2, 3), pathlib.Path("a/b")
    Config = made("my.settings", "Config", dict)
    Slots = made("my.settings", "Slots", object, __slots__=("a", "b"))
    slots = Slots()
    slots.a, slots.b = torch.ones(2), [small()]
    Meta = made("monai.data.meta_tensor", "MetaTensor", torch.Tensor)
    checkpoint = {
        "state_dict": {f"module.encoder_{which}.{n}": t for which in "kq" for n, t in small().items()},
        "state_dict_ema": small(),
        "config": Config(a=1, weights=torch.ones(3)),
        "date": datetime.datetime(2024, 2, 29),
        "partial": functools.partial(torch.nn.functional.relu, inplace=True),
        "decimal": decimal.Decimal("0.1"),
        "slots": slots,
        "own": torch.ones(2).as_subclass(Meta),
        "list": [small(), {"more": (torch.ones(1),)}],
        "array": numpy.arange(3),
        "complex": torch.zeros(2, dtype=torch.complex64),
    }
    for zipped in (True, False):
        end = "zip.pth" if zipped else "legacy.pth"
        torch.save(net, path(f"own-{end}"), _use_new_zipfile_serialization=zipped)
        if not zipped:
            del checkpoint["complex"]  # the legacy format says nowhere how long it is
        torch.save(
            checkpoint, path(f"odd-{end}"), _use_new_zipfile_serialization=zipped, pickle_protocol=4 if zipped else 2
        )
        torch.save([1, {"a": checkpoint}], path(f"list-{end}"), _use_new_zipfile_serialization=zipped)


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


{"small": small, "odd": odd, "networks": networks, "reported": reported, "hostile": hostile}[what]()
