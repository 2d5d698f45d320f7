"""Says under the running cell that the crate is being built, while it is.

evcxr passes on nothing of a build until the cell runs. But what its child, the process that runs the cells, writes to
its standard error stands under the cell at once; on Linux, another process of the same user may write there too.
"""

import os
import time
from pathlib import Path

SAY_EVERY = 20  # seconds
START = "humerus kernel: "


def children(pid):
    """The processes that `pid`, in any of its threads, has started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in listed.read_text().split()]
        except OSError:
            pass
    return found


def program(pid):
    """The program that `pid` runs."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def crates(pid):
    """The names of the crates that rustc is compiling somewhere below `pid`, or that a process there waits for."""
    found = []
    for child in children(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--crate-name" in words[:-1]:
            found.append(os.fsdecode(words[words.index(b"--crate-name") + 1]))
        below = crates(child)
        refreshes = any(word.endswith(b"/refresh.py") for word in words)
        found += below or (["humerus"] if refreshes else [])  # the kernel beside this one may be building it
    return found


class Narrator:
    """Follows one kernel, whose program is `evcxr`. `look` is to be called every second or so; `is_built` says whether
    the crate is built by now.

    `last` is a file that remembers how long a build of the crate took.
    """

    def __init__(self, kernel, evcxr, is_warm, is_built, last):
        self.started, self.evcxr = kernel, os.path.realpath(evcxr)
        self.is_warm, self.is_built, self.last = is_warm, is_built, last
        self.began = self.said = None
        self.lacked = True

    def look(self):
        """Says what there is to say: that a build began, goes on, or is done."""
        # evcxr itself was started, or the program that stands before it, which starts it.
        own = [child for child in children(self.started) if program(self.started) != self.evcxr == program(child)]
        kernel = own[0] if own else self.started
        runtime = [child for child in children(kernel) if program(child) == program(kernel)]
        cargo = [child for child in children(kernel) if child not in runtime]
        # cargo asks rustc about itself by the name ___
        names = sorted({name for child in cargo for name in crates(child)} - {"___"})
        now = time.monotonic()
        if self.began is None:
            if any(name != "ctx" for name in names):
                self.began = self.said = now
                self.lacked = not self.is_built()
                self.say(runtime, self.opening(names))
        elif not cargo or names == ["ctx"]:
            # Where the crate is still lacking it did not compile, and the cell says why.
            if self.is_built():
                self.say(runtime, f"built in {now - self.began:.0f} s")
                self.remember(now - self.began)
            self.began = None
        elif now - self.said > SAY_EVERY:
            self.said = now
            what = ", ".join(names) or ("" if self.is_warm and self.lacked else "C++")
            self.say(runtime, f"{now - self.began:.0f} s" + (f", compiling {what}" if what else ""))

    def opening(self, names):
        if not self.lacked:
            return f"building {', '.join(names)} and what it needs, before the cell runs"
        if not self.is_warm:
            return "building the crate and all that it needs, before the cell runs; this takes minutes"
        try:
            took = f", about {float(self.last.read_text()):.0f} s"
        except (OSError, ValueError):
            took = ""
        return f"the crate was edited after `cargo lab` built it, so it is built now, before the cell runs{took}"

    def remember(self, seconds):
        if self.lacked and self.is_warm:
            try:
                self.last.write_text(f"{seconds:.1f}\n")
            except OSError:
                pass  # the next kernel names no time

    @staticmethod
    def say(runtime, text):
        """Writes a line to the standard error of the process that runs the cells."""
        for pid in runtime:
            try:
                pipe = os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue  # not Linux, or the process is gone
            try:
                os.write(pipe, f"{START}{text}\n".encode())
            except OSError:
                pass
            finally:
                os.close(pipe)
