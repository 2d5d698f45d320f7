"""Measures torchvision's DataLoader by the rival's own script, without the networks that the script measures before.

usage: loader.py SCRIPT FILMS

Prints what the script prints: JSON objects, one a line.
"""

import sys

script, films = sys.argv[1:]
with open(script, encoding="utf-8") as file:
    source = file.read()
# Were these not found, the script would run whole: minutes longer, with the same figure at the end.
source = source.replace("for fast in (False, True):", "for fast in ():", 1)
sys.modules["pytorch_grad_cam"] = None
sys.argv = [script, "--steps", "1", "--data", films]
exec(compile(source, script, "exec"), {"__name__": "__main__"})
