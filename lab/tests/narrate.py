"""Plays a kernel whose cargo builds the crate, and checks what stands under the cell. usage: narrate.py FOLDER"""

import subprocess
import sys
from os import getpid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import narrate  # noqa: E402

last = Path(sys.argv[1]) / "last-build"
built = False
# The child that runs cells is the kernel's own program once more; what it writes to standard error stands under the
# cell.
runtime = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cargo(crate):
    """A process that has started `rustc --crate-name`, once it has."""
    words = f"sh -c 'echo up; read line' rustc --crate-name {crate}; :"
    process = subprocess.Popen(["sh", "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    return process


def end(process):
    process.communicate("\n")


def line():
    text = runtime.stderr.readline()
    assert text.startswith(narrate.START), text
    return text.removeprefix(narrate.START).strip()


def kernel(is_warm=True):
    return narrate.Narrator(getpid(), sys.executable, is_warm, lambda: built, last)


# A cell of a kernel that has everything: not a word.
narrator = kernel()
cell = cargo("ctx")
narrator.look()
end(cell)

# An edited crate: said before the wait, during it, and at its end.
edited = cargo("humerus")
narrator.look()
assert line() == "the crate was edited after `cargo lab` built it, so it is built now, before the cell runs"
narrator.said -= narrate.SAY_EVERY + 1
narrator.look()
assert line() == "0 s, compiling humerus"
end(edited)
built = True
narrator.look()
assert line() == "built in 0 s"
narrator.look()

# The next time it is known how long that takes.
built = False
last.write_text("83.4\n")
narrator = kernel()
edited = cargo("humerus")
narrator.look()
assert line().endswith("before the cell runs, about 83 s")
end(edited)
narrator.look()  # it did not compile: the cell says why

# Without a warmed copy.
narrator = kernel(is_warm=False)
cold = cargo("libc")
narrator.look()
assert line() == "building the crate and all that it needs, before the cell runs; this takes minutes"
end(cold)
narrator.look()

# A dependency that the reader adds.
built = True
narrator = kernel()
added = cargo("polars")
narrator.look()
assert line() == "building polars and what it needs, before the cell runs"
end(added)

runtime.communicate("\n")
print("ok: what is built is said under the cell")
