"""Warms a build directory: starts a kernel in it, builds the crate, runs a first cell, and tidies up for copying.

usage: warm.py CRATE_DIR DIRECTORY [SEED]      with HUMERUS_SESSION=DIRECTORY

SEED is a template to start from. Reports by JSON lines: {"event": "building", "line"}, and last
{"event": "end", "failure": null or text, "seconds"}.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from execute import report
from kernel import Kernel, KernelDied, plain
from launch import copy_tree

CELLS = """use humerus::tch::{Device, Kind, Tensor};
let warm = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
warm.sum(Kind::Float).double_value(&[])"""


def build(crate_dir):
    """Builds the crate in a kernel and runs a cell that needs it; returns the failure, or None."""
    kernel = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            kernel = Kernel(folder, dict(os.environ), on_log=lambda line: report("building", line=plain(line)))
            for source in [f":dep humerus = {{ path = {json.dumps(crate_dir)} }}", CELLS]:
                cell = kernel.run(source)
                if cell.failure:
                    return cell.failure
            result = [output["data"]["text/plain"] for output in cell.outputs if "data" in output]
            return None if result == ["4.0"] else f"2 x 2 ones summed to {result}, not to 4"
    except KernelDied as death:
        return str(death)
    finally:
        if kernel is not None:
            kernel.stop()


def seed_from(seed, directory, crate_dir):
    """Copies `seed`; from another checkout's template, everything but that checkout's crate."""
    copy_tree(str(seed.resolve()), directory)
    stamp = json.loads((seed / "warmed.json").read_text())
    (directory / "warmed.json").unlink()
    if stamp["crate_dir"] != crate_dir:
        forget(directory, "humerus")


def forget(directory, name):
    """Removes what cargo built of the package `name`."""
    for debug in directory.glob("target/*/debug"):
        for found in [*debug.glob(f".fingerprint/{name}-*"), *debug.glob(f"incremental/{name}-*"), *debug.glob(f"build/{name}-*")]:
            shutil.rmtree(found, ignore_errors=True)
        for found in [*debug.glob(f"deps/*{name}*"), *debug.glob(f"*{name}*")]:
            if found.is_file():
                found.unlink()


def main():
    crate_dir, directory = sys.argv[1], Path(sys.argv[2])
    started = time.monotonic()
    if len(sys.argv) > 3:
        seed_from(Path(sys.argv[3]), directory, crate_dir)
    failure = build(crate_dir)
    if failure is None:
        forget(directory, "ctx")  # the cells; each session has its own
        for code in directory.glob("target/*/debug/**/libcode_*"):
            code.unlink()
        shutil.copyfile(directory / "Cargo.lock", directory / "Cargo.lock.pinned")
        (directory / ".in-use").touch()
    report("end", failure=failure, seconds=time.monotonic() - started)


main()
