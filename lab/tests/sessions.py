"""Checks the life of kernels: many at once, each in its own directory, which goes with the kernel however that ends.

Runs inside the environment (lab/tests/kernel.rs starts it); prints `ok: ...` for each thing that holds, exits 1 at the
first that does not.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from kernel import Kernel  # noqa: E402

KERNEL = Path(os.environ["HUMERUS_KERNEL"])
SESSIONS = Path(json.loads(KERNEL.read_text())["sessions"])


def expect(condition, what):
    print(("ok: " if condition else "FAILED: ") + what, flush=True)
    if not condition:
        sys.exit(1)


def answer(kernel, code):
    """The text of the code's result."""
    cell = kernel.run(code)
    if cell.failure:
        return f"failure: {cell.failure}"
    return "".join(output["data"]["text/plain"] for output in cell.outputs if "data" in output)


def session_of(kernel):
    return Path(answer(kernel, 'std::env::var("EVCXR_TMPDIR").unwrap()').strip('"'))


def gone(path, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not path.exists() and not path.with_suffix(".lock").exists():
            return True
        time.sleep(0.1)
    return False


def together(starts):
    """Starts kernels at the same time."""
    started = {}

    def start(index, arguments):
        started[index] = Kernel(**arguments)

    threads = [threading.Thread(target=start, args=pair) for pair in enumerate(starts)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return [started[index] for index in sorted(started)]


def processes_of(session):
    """The processes whose environment names the session: kernel, its child, a compiler."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"EVCXR_TMPDIR={session}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def main():
    environment = dict(os.environ)
    folder = Path(tempfile.mkdtemp())

    # What a machine that lost its power leaves behind: a session nobody holds, with and without its lock file.
    SESSIONS.mkdir(parents=True, exist_ok=True)
    for name in ["s-left-over", "s-without-lock"]:
        (SESSIONS / name / "target").mkdir(parents=True)
    (SESSIONS / "s-left-over.lock").touch()

    polite, killed = together([{"cwd": folder, "env": environment}] * 2)
    expect(
        gone(SESSIONS / "s-left-over", 1) and gone(SESSIONS / "s-without-lock", 1),
        "a start sweeps what dead kernels left",
    )
    first, second = session_of(polite), session_of(killed)
    expect(first != second and first.is_dir() and second.is_dir(), "two kernels have a directory each")
    expect(answer(polite, "let here = 1; here + 1") == "2", "the first computes")
    expect(answer(killed, "here").startswith("failure"), "the second does not see the first one's variable")
    source = [path for path in first.glob("target/*/debug/deps/*tch*.rlib")]
    expect(source and source[0].stat().st_nlink > 1, "finished dependencies are shared, not copied")
    crate = [path for path in first.glob("target/*/debug/deps/*humerus*.rlib")]
    expect(crate and all(path.stat().st_nlink == 1 for path in crate), "the crate, which may be built again, is copied")

    polite.stop()
    expect(gone(first), "a kernel that is asked to stop takes its directory along")
    expect(second.is_dir(), "and leaves the other one's alone")

    # A kernel killed in the middle of a long cell: neither directory nor computing process may stay.
    killed.client.execute("loop { std::hint::black_box(1); }")
    time.sleep(8)
    running = processes_of(second)
    os.kill(killed.manager.provisioner.process.pid, signal.SIGKILL)
    expect(gone(second), "a killed kernel's directory is removed")
    expect(len(running) >= 2 and not processes_of(second), f"and its {len(running)} processes are ended")
    killed.stop()

    # SIGTERM to the kernel alone, and a kernel directory without any template: it works, slower.
    bare = folder / "kernel"
    bare.mkdir()
    shutil.copy(KERNEL, bare / "kernel.json")
    terminated = Kernel(folder, {**environment, "HUMERUS_KERNEL": str(bare / "kernel.json")})
    third = session_of(terminated)
    expect(third.is_dir(), "a kernel without a warmed copy starts")
    expect(any("no warmed copy" in line for line in terminated.log), "and says that it will be slower")
    os.kill(terminated.manager.provisioner.process.pid, signal.SIGTERM)
    expect(gone(third), "a terminated kernel's directory is removed")
    terminated.stop()

    # The program that started a kernel dies: nobody could reach the kernel any more.
    code = """if True:
        import os, sys, time
        from kernel import Kernel
        kernel = Kernel(sys.argv[1], dict(os.environ))
        print('up', flush=True)
        time.sleep(600)
    """
    before = set(SESSIONS.glob("s-*"))
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        env={**environment, "PYTHONPATH": sys.path[0]},
    )
    client.stdout.readline()
    orphan = next(path for path in set(SESSIONS.glob("s-*")) - before if path.is_dir())
    client.kill()
    client.wait()
    expect(gone(orphan) and not processes_of(orphan), "a kernel whose client was killed ends and is removed")

    # The kernel is found by JupyterLab under its own name; the stock name is not ours.
    listed = subprocess.run(
        ["jupyter", "kernelspec", "list", "--json"], capture_output=True, text=True, check=True
    ).stdout
    specs = json.loads(listed)["kernelspecs"]
    expect(specs["humerus"]["spec"]["display_name"] == "Rust (humerus)", "Jupyter lists the kernel")
    expect(specs["humerus"]["spec"]["interrupt_mode"] == "message", "and interrupts it by message")
    shutil.rmtree(folder)


main()
