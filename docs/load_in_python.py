"""Scores films with a model of humerus by torchvision alone: python load_in_python.py MODEL FILM...

MODEL is `model.safetensors`, or the ONNX or TorchScript that `humerus export` makes of it (each carries the card).
Films are decoded and prepared as humerus does it; what would come out differently here, such as DICOM, is refused by
name. Needs numpy, Pillow, and torch, torchvision and safetensors, or for ONNX onnxruntime. For research and teaching;
not for clinical use.
"""

import json
import sys

import numpy as np
from PIL import Image, ImageOps


class Refused(ValueError):
    """A film that humerus reads and this file does not."""


def decode(path):
    """A film as 8-bit greys, turned as its EXIF data say."""
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        raise Refused("is DICOM, whose greys need more than is done here; `humerus score` reads it")
    film = Image.open(path)
    if film.format not in ("PNG", "JPEG", "MPO"):
        raise Refused(f"is {film.format}, PNG or JPEG was expected")
    if film.format == "PNG" and start[24] == 16 and start[25] != 0:
        raise Refused("is PNG of 16 bits with colour or transparency, which Pillow cuts to 8; `humerus score` reads it")
    if film.mode in ("CMYK", "YCCK"):
        raise Refused("is JPEG in the colours of print; `humerus score` reads it")
    with Image.open(path) as whole:
        whole.verify()  # Pillow looks at the checksums of a PNG's pixels only here
    film.load()  # a PNG may have its EXIF data behind the pixels
    film = ImageOps.exif_transpose(film)
    if film.mode.startswith("I"):  # 16 bits, which Pillow itself would clip to white
        return Image.fromarray(((np.asarray(film).astype(np.int64) + 128) // 257).astype(np.uint8))
    return film.convert("L")


def prepare(film, how):
    """What the network sees of a film: float32 [1, channels, size, size]."""
    if how.get("window"):
        black, white = np.percentile(np.asarray(film), how["window"])
        if white > black:
            levels = np.clip((np.arange(256) - black) / (white - black), 0, 1) * 255
            film = film.point(np.rint(levels).astype(int).tolist())
    fit = {"letterbox": ImageOps.pad, "stretch": Image.Image.resize}[how["fit"]]
    film = fit(film, (how["size"], how["size"]), Image.Resampling.BILINEAR)
    mean, std = (np.float32(how[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    if how.get("channels", 3) == 1:
        mean, std = mean.mean(0, keepdims=True), std.mean(0, keepdims=True)
    return ((np.asarray(film, np.float32) / 255 - mean) / std)[None]


def in_torchvision(path):
    """A card, and the network that it describes, from safetensors: torchvision's names, nothing to rename."""
    import torch
    import torchvision
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()["humerus"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    network = torchvision.models.get_model(card["architecture"], weights=None, num_classes=len(card["classes"]))
    if card["preprocess"].get("channels", 3) == 1:
        network.features.conv0 = torch.nn.Conv2d(1, network.features.conv0.out_channels, 7, 2, 3, bias=False)
    reference = card["head"]["kind"] == "reference"
    if reference:  # the original project's: max pooling, three hidden layers
        shapes = [weights[f"classifier.{at}.weight"].shape for at in (0, 2, 4, 6)]
        layers = [layer for out, into in shapes for layer in (torch.nn.Linear(into, out), torch.nn.ReLU())]
        network.classifier = torch.nn.Sequential(*layers[:-1])
    network.load_state_dict(weights)
    network.eval()

    def logits(films):
        with torch.inference_mode():
            maps = network.features(torch.from_numpy(films)).relu()
            return network.classifier(maps.amax((2, 3)) if reference else maps.mean((2, 3))).numpy()

    return card, logits


def in_torchscript(path):
    import torch

    extra = {"humerus": ""}
    network = torch.jit.load(path, map_location="cpu", _extra_files=extra).eval()

    def logits(films):
        with torch.inference_mode():
            return network(torch.from_numpy(films)).numpy()

    return json.loads(extra["humerus"]), logits


def in_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["humerus"])
    return card, lambda films: session.run(["logits"], {"films": films})[0]


class Model:
    """A model with its card, from any of the three files."""

    def __init__(self, path):
        with open(path, "rb") as file:
            start = file.read(9)
        kind = in_torchscript if start.startswith(b"PK") else in_torchvision if start.endswith(b"{") else in_onnx
        self.card, self.logits = kind(str(path))

    def probability(self, path):
        """Of *abnormal*, for one film."""
        logits = self.logits(prepare(decode(path), self.card["preprocess"]))[0].astype(float)
        logits /= self.card.get("temperature", {}).get("value", 1.0)
        odds = np.exp(logits - logits.max())
        return float(odds[self.card["classes"].index("abnormal")] / odds.sum())


def main():
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} MODEL FILM...")
    try:
        model, refused = Model(sys.argv[1]), 0
    except OSError as why:
        sys.exit(f"error: {sys.argv[1]}: {why.strerror}")
    threshold = model.card["operating_point"]["threshold"]
    for path in sys.argv[2:]:
        try:
            probability = model.probability(path)
        except (OSError, ValueError, SyntaxError) as why:
            print(f"error: {path}: {getattr(why, 'strerror', None) or why}", file=sys.stderr)
            refused += 1
            continue
        print(f"{probability:.6f}  {'abnormal' if probability >= threshold else 'normal':<8}  {path}")
    sys.exit(refused > 0)


if __name__ == "__main__":
    main()
