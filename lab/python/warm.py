"""Makes a checkout's template: builds the crate as kernels need it, runs a first cell where that was never done, and
tidies up.

usage: warm.py CRATE_DIR LINK [SEED]

LINK will point to the template; SEED is one to start from. Reports by JSON lines: {"event": "building", "line"}, and
last {"event": "end", "failure": null or text, "seconds"}.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import built
import refresh
from execute import report
from kernel import Kernel, KernelDied, plain
from launch import environment
from template import building_of, copy_tree, publish

CELLS = """use humerus::tch::{Device, Kind, Tensor};
let warm = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
warm.sum(Kind::Float).double_value(&[])"""


def first_cell(crate_dir, directory):
    """Builds the crate in a kernel and runs a cell that needs it; returns the failure, or None."""
    kernel = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            variables = {**os.environ, "HUMERUS_SESSION": str(directory)}
            kernel = Kernel(folder, variables, on_log=lambda line: report("building", line=plain(line)))
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
    """Copies `seed`; from another checkout's template, everything but that checkout's crates."""
    own = built.read_stamp(seed).get("crate_dir") == crate_dir
    copy_tree(seed.resolve(), directory, incremental=own)
    (directory / "warmed.json").unlink()
    if not own:
        for package in built.packages(directory):
            forget(directory, package)


def forget(directory, package):
    """Removes what cargo built of the package."""
    name = package.replace("-", "_")
    for debug in directory.glob("target/*/debug"):
        folders = [
            *debug.glob(f".fingerprint/{package}-*"),
            *debug.glob(f"build/{package}-*"),
            *debug.glob(f"incremental/{name}-*"),
        ]
        for found in folders:
            shutil.rmtree(found, ignore_errors=True)
        for found in [*debug.glob(f"deps/*{name}*"), *debug.glob(f"*{name}*")]:
            if found.is_file():
                found.unlink()


def make(crate_dir, link, seed):
    """Makes a template in which a kernel has run a cell; returns the failure, or None."""
    directory, started = building_of(link), time.time()
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir()
        if seed is not None:
            seed_from(seed, directory, crate_dir)
        if failure := first_cell(crate_dir, directory):
            return failure
        forget(directory, "ctx")  # the cells; each session has its own
        for code in directory.glob("target/*/debug/**/libcode_*"):
            code.unlink()
        rustc = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
        built.stamp(directory, crate_dir, rustc, started, {})
        publish(directory, link)
        return None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def renew(link):
    """Makes the template anew after an edit; returns the failure, or None."""
    lines = []

    def say(line):
        lines.append(line)
        report("building", line=plain(line))

    if refresh.rebuild(link, say) is not None:
        return None
    return next((line for line in lines if line.startswith("error")), "cargo failed")


def main():
    crate_dir, link = sys.argv[1], Path(sys.argv[2])
    seed = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    started = time.monotonic()
    os.environ.update(environment(json.loads(Path(os.environ["HUMERUS_KERNEL"]).read_text())))
    known = seed == link and built.read_stamp(link)["crates"]
    failure = renew(link) if known else make(crate_dir, link, seed)
    report("end", failure=failure, seconds=time.monotonic() - started)


main()
