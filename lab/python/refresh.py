"""Builds edited crates in the checkout's own build folder, and hands them to the kernel that is about to need them.

usage: refresh.py SESSION

The kernel's `cargo` runs this before the first build that needs the crate, if the launcher found sources edited. In the
checkout's folder rustc takes up what it knows of the build before, so an edit costs seconds, once; what was built is
the template of later kernels. Should anything fail, nothing is lost: the session's cargo builds for itself, and says
why not.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import built
from template import building_of, copy_tree, locked, publish

STALE = ".stale"  # lies in a session whose crates were edited, and names the link to the template
FLAGS = ".rustflags"  # lies in a build folder: what evcxr gave rustc, which depends on the linkers it found


def rustflags(folder):
    """The flags that the folder was built with."""
    try:
        return (folder / FLAGS).read_text()
    except OSError:
        return "-Cprefer-dynamic"


def build(folder, on_line):
    """Builds the crate in `folder` as evcxr would; returns cargo's exit status. The environment is a kernel's."""
    target = next(folder.glob("target/*/debug")).parent.name
    variables = {
        "CARGO_TARGET_DIR": "target",
        "CARGO_BUILD_BUILD_DIR": "target",
        "RUSTFLAGS": rustflags(folder),
        "EVCXR_CORE_EXTERN": "none",  # by this our `cargo` knows a build of cells
        "EVCXR_TMPDIR": str(folder),
    }
    process = subprocess.Popen(
        ["cargo", "build", "--package", "humerus", "--lib", "--target", target],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    for line in process.stderr:
        on_line(line.rstrip())
    status = process.wait()
    for second_name in folder.glob("target/*/debug/libhumerus.*"):
        second_name.unlink()  # what cargo leaves for those who ask for the library by name
    return status


def rebuild(link, on_line=lambda line: None):
    """Makes the template anew from itself; returns it, or None where the crate does not compile. To be called `locked`.
    """
    template, building, started = link.resolve(), building_of(link), time.time()
    stamped = built.read_stamp(template)
    before = built.states(stamped)
    shutil.rmtree(building, ignore_errors=True)
    try:
        copy_tree(template, building, incremental=True)
        built.outdate(building, stamped)
        if build(building, on_line) != 0:
            return None
        rustc = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
        built.stamp(building, stamped["crate_dir"], rustc, started, before)
        return publish(building, link)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def hand_over(template, session):
    """Puts what the template has newly built into a session that has a copy of an earlier one."""
    with open(template / ".in-use", "r+") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_SH)
        copy_tree(template / "target", session / "target", own=built.packages(template), update=True)
    stamped = built.read_stamp(template)
    built.outdate(session, stamped)
    if built.is_current(stamped):
        built.freeze(session)


def main():
    session = Path(sys.argv[1])
    stale = session / STALE
    if built.built_since(session, stale.stat().st_mtime):
        stale.unlink()  # the session's cargo has built them: they stay as they are
        return
    link = Path(stale.read_text())
    with locked(link.parent):
        if os.environ.get("RUSTFLAGS") != rustflags(link):
            return  # with flags of the reader's own, everything is the session's own
        current = built.is_current(built.read_stamp(link.resolve()))
        template = link.resolve() if current else rebuild(link)
        if template is not None:
            hand_over(template, session)
            stale.unlink()


if __name__ == "__main__":
    main()
