"""Measures training steps and inference of PyTorch by the rival's own script, without its decoding and heat maps.

usage: steps.py SCRIPT DEVICE STEPS

Prints what the script prints: JSON objects, one a line. Its bf16 setting runs only where the device has instructions
for it; its fp32 network runs once more with channels last, which the script leaves out and is PyTorch's best setting on
other processors.
"""

import sys

import torch

script, device, steps = sys.argv[1:]
with open(script, encoding="utf-8") as file:
    source = file.read()


def run(replacements):
    text = source[: source.index("\ntry:\n    from pytorch_grad_cam")]
    for old, new in replacements:
        if old not in text:
            sys.exit(f"{script} has no {old!r}")
        text = text.replace(old, new)
    exec(compile(text, script, "exec"), {"__name__": "__main__"})


sys.argv = [script, "--device", device, "--steps", steps]
loop = "for fast in (False, True):"
has_bf16 = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
run([] if has_bf16 else [(loop, "for fast in (False,):")])
run([(loop, "for fast in (True,):"), ("enabled=fast", "enabled=False"), ("bf16 channels_last", "fp32 channels_last")])
