"""Measures one warm kernel through the Jupyter protocol, with nothing of ours added to the cells.

usage: bench.py CRATE_DIR

Reports {"event": "started", "seconds", "kernel"} (from the start of the process to the first result that needs the
crate; to the kernel's first answer), {"event": "cell", "line", "seconds"} for each later cell, whose own work is
microseconds, so that its time is overhead, and last {"event": "end", "failure"}.
"""

import json
import os
import sys
import tempfile
import time

from execute import report
from kernel import Kernel, KernelDied

FIRST = """use humerus::tch::{Device, Kind, Tensor};
let ones = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
ones.sum(Kind::Float).double_value(&[])"""

CELLS = [
    "let threshold = 0.5;",
    "let labels = vec![0.0, 1.0, 1.0, 0.0];",
    "let scores = Tensor::from_slice(&labels).to_kind(Kind::Float);",
    "scores.mean(Kind::Float).double_value(&[])",
    "scores.double_value(&[1])",
    "use std::path::PathBuf;",
    'println!("{} labels", labels.len());',
    "fn above(value: f64, threshold: f64) -> bool { value > threshold }",
    "above(0.7, threshold)",
    "struct Picture(u8);\nimpl Picture { fn evcxr_display(&self) { "
    'println!("EVCXR_BEGIN_CONTENT text/html\\n<b>{}</b>\\nEVCXR_END_CONTENT", self.0) } }',
    "Picture(7)",
    "let chosen: Vec<f64> = labels.iter().copied().filter(|&value| above(value, threshold)).collect();",
    "chosen",
    "let total: f64 = chosen.iter().sum();",
    "assert!(total > threshold);",
]


def main():
    crate_dir = sys.argv[1]
    kernel, failure = None, "interrupted"
    try:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            kernel = Kernel(folder, dict(os.environ))
            answered = time.monotonic() - started
            results = []

            def keep(message):
                if message["msg_type"] == "execute_result":
                    results.append(message["content"]["data"].get("text/plain"))
                elif message["msg_type"] == "error":
                    results.append(message["content"]["evalue"])

            kernel.request(f":dep humerus = {{ path = {json.dumps(crate_dir)} }}\n" + FIRST, keep)
            if results != ["4.0"]:
                failure = f"2 x 2 ones summed to {results}, not to 4"
                return
            report("started", seconds=time.monotonic() - started, kernel=answered)
            for source in CELLS:
                results.clear()
                before = time.monotonic()
                reply = kernel.request(source, keep)
                seconds = time.monotonic() - before
                if reply["status"] != "ok":
                    failure = f"{source}: {results}"
                    return
                report("cell", line=source.splitlines()[0], seconds=seconds)
            failure = None
    except KernelDied as death:
        failure = str(death)
    finally:
        if kernel is not None:
            kernel.stop()
        report("end", failure=failure)


main()
