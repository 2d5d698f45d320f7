"""Scores a film with a model of humerus, by torchvision alone: python load_in_python.py model.safetensors film.png"""

import json
import sys

import torch
import torchvision
from PIL import Image, ImageOps
from safetensors import safe_open

with safe_open(sys.argv[1], "pt") as file:
    card = json.loads(file.metadata()["humerus"])
    weights = {name: file.get_tensor(name) for name in file.keys()}
network = torchvision.models.get_model(card["architecture"], num_classes=len(card["classes"])).eval()
network.load_state_dict(weights)  # torchvision's names: nothing to rename
how = card["preprocess"]
side = (how["size"], how["size"])
film = Image.open(sys.argv[2]).convert("L")
fit = ImageOps.pad if how["fit"] == "letterbox" else Image.Image.resize
film = torchvision.transforms.functional.to_tensor(fit(film, side, Image.BILINEAR)).expand(3, -1, -1)
film = torchvision.transforms.functional.normalize(film, how["mean"], how["std"])
with torch.no_grad():
    print("probability of abnormal:", network(film[None]).softmax(1)[0, card["classes"].index("abnormal")].item())
