"""Makes a checkout's template: builds the crate as kernels need it, runs a first cell where that was never done, and
tidies up.

usage: warm.py CRATE_DIR LINK [SEED]
       warm.py --ahead CRATE_DIR LINK

LINK will point to the template; SEED is one to start from. With `--ahead`, while the Rust kernel itself is still being
built, everything but the first cell is done, for the next call to go on with. Reports by JSON lines:
{"event": "building", "line"}, and last {"event": "end", "failure": null or text, "seconds"}.
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

AHEAD = ".built-ahead"  # lies in an unfinished template whose crates were built before there was a kernel

# As evcxr 0.22 writes it: of another profile, it would build everything anew.
MANIFEST = """
[package]
name = "ctx"
version = "1.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]
path = "src/lib.rs"

[profile.dev]
opt-level = 2
debug = false
strip = "debuginfo"
rpath = true
lto = false
debug-assertions = true
codegen-units = 16
panic = 'unwind'
incremental = true
overflow-checks = true

[dependencies]
humerus = {{ path = {crate_dir} }}
"""

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


def failure_of(build):
    """Reports the lines of `build`, which is called with what takes them and returns whether it went well; returns the
    first error among them, or None."""
    lines = []

    def say(line):
        lines.append(line)
        report("building", line=plain(line))

    return None if build(say) else next((line for line in lines if line.startswith("error")), "cargo failed")


def build_ahead(crate_dir, link):
    """Builds the crate and its dependencies by cargo alone; returns the failure, or None."""
    directory, started = building_of(link), time.time()
    shutil.rmtree(directory, ignore_errors=True)
    host = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    host = next(line.removeprefix("host: ") for line in host.splitlines() if line.startswith("host: "))
    for folder in ["src", f"target/{host}/debug"]:
        (directory / folder).mkdir(parents=True)
    (directory / "Cargo.toml").write_text(MANIFEST.format(crate_dir=json.dumps(crate_dir)))
    (directory / "src/lib.rs").touch()
    shutil.copyfile(os.environ["HUMERUS_PINNED_LOCK"], directory / "Cargo.lock")
    # evcxr takes mold where there is one, by a way that shows in no flag, else lld.
    linker = " -Clink-arg=-fuse-ld=lld" if shutil.which("lld") and not shutil.which("mold") else ""
    (directory / refresh.FLAGS).write_text(refresh.rustflags(directory) + linker)
    os.nice(10)  # the kernel is what everything waits for
    failure = failure_of(lambda say: refresh.build(directory, say) == 0)
    if failure is None:
        (directory / AHEAD).write_text(str(started))
    return failure


def make(crate_dir, link, seed):
    """Makes a template in which a kernel has run a cell; returns the failure, or None."""
    directory, started = building_of(link), time.time()
    ahead = seed is None and (directory / AHEAD).exists()
    if ahead:
        started = float((directory / AHEAD).read_text())
        (directory / AHEAD).unlink()
    else:
        shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir(exist_ok=True)
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
    return failure_of(lambda say: refresh.rebuild(link, say) is not None)


def main():
    ahead = sys.argv[1] == "--ahead"
    crate_dir, link, *seed = sys.argv[2 if ahead else 1 :]
    link, seed = Path(link), Path(seed[0]) if seed else None
    started = time.monotonic()
    kernel = json.loads(Path(os.environ["HUMERUS_KERNEL"]).read_text())
    os.environ.update(environment(kernel))
    os.environ["HUMERUS_PINNED_LOCK"] = kernel["cargo_lock"]
    if ahead:
        failure = build_ahead(crate_dir, link)
    elif seed == link and built.read_stamp(link)["crates"]:
        failure = renew(link)
    else:
        failure = make(crate_dir, link, seed)
    report("end", failure=failure, seconds=time.monotonic() - started)


main()
