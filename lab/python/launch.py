"""Starts one Rust kernel in a build directory of its own, and removes the directory when the kernel ends.

usage: launch.py KERNEL.json CONNECTION_FILE

KERNEL.json is written by `cargo lab`. The session directory starts as a copy of a warmed template, so that no kernel
builds the dependencies again: large files of finished dependencies are hard-linked, everything cargo or rustc writes in
place is copied. This process then *becomes* the kernel, so that Jupyter's signals reach it itself: the program that
stands before evcxr_jupyter (`parts/kernel`), or evcxr_jupyter alone where that one is not built or the variable
`HUMERUS_PLAIN_KERNEL` is set. A small child of its own session (the janitor) outlives it, ends what the kernel left
running and removes the directory; it also ends a kernel whose Jupyter died. The kernel inherits a locked file: should
the janitor be killed too, the next start finds the lock free and sweeps.

A kernel keeps the crate that it began with. Built anew between two cells, the crate would read the variables of the
earlier cells with types of another layout; so once it is built, its sources count as old, whatever is edited. The next
kernel sees the edits: `refresh.py` builds them before its first cell that needs the crate.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import built
import refresh
from narrate import Narrator
from template import copy_tree, link_of, make_spare, take_spare, template_for
from template import sweep as sweep_templates

RESTORE = '!cp "$HUMERUS_PINNED_LOCK" "$EVCXR_TMPDIR/Cargo.lock" || true'
SPARE_AFTER = 60  # seconds; until then the kernel itself needs the processor


def sweep(sessions):
    """Removes the sessions whose kernel and janitor are gone."""
    for lock_path in sessions.glob("*.lock"):
        with open(lock_path, "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
            lock_path.unlink(missing_ok=True)
    for directory in sessions.glob("s-*"):
        # A directory without its lock file: the sweep itself was cut short. One that is being made has the lock
        # already.
        if directory.is_dir() and not directory.with_suffix(".lock").exists():
            shutil.rmtree(directory, ignore_errors=True)


def copy_template(kernel_dir, session):
    """Fills `session` from a template, which it returns. Without one the kernel is slower, not broken."""
    problem = "there is none"
    for _ in range(3):  # a template that `cargo lab` replaces meanwhile is looked up again
        template = template_for(kernel_dir, Path.cwd())
        if template is None:
            break
        if take_spare(template, session):
            return template
        try:
            session.mkdir()
            with open(template / ".in-use", "r+") as in_use:
                fcntl.flock(in_use, fcntl.LOCK_SH)
                copy_tree(template, session)
            return template
        except OSError as error:
            problem = error
            shutil.rmtree(session, ignore_errors=True)
    print(f"humerus kernel: no warmed copy ({problem}); the first cell builds everything", file=sys.stderr)
    session.mkdir(exist_ok=True)
    return None


def begin_with(session, kernel_dir):
    """Freezes the crates of the session's copy; or, where they were edited, leaves word for the first cell's cargo."""
    stamped = built.read_stamp(session)
    if built.is_current(stamped):
        built.freeze(session)
    else:
        built.outdate(session, stamped)
        (session / refresh.STALE).write_text(str(link_of(kernel_dir, Path(stamped.get("crate_dir", "")))))


def environment(kernel):
    """The variables of a kernel, and of every build for it."""
    variables = dict(kernel["environment"])
    for variable, first in [("LD_LIBRARY_PATH", kernel["library_path"]), ("PATH", kernel["program_path"])]:
        inherited = [entry for entry in os.environ.get(variable, "").split(":") if entry and entry not in first]
        variables[variable] = ":".join(first + inherited)
    return variables


def alive(pid):
    """Whether the process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def leave_spare(kernel_dir):
    """Removes templates that were replaced, and leaves a copy of the one in use."""
    sweep_templates(kernel_dir)
    current = template_for(kernel_dir, Path.cwd())
    if current is not None:
        make_spare(current)


def janitor(kernel_pid, evcxr, session, lock_path, template, kernel_dir):
    """Waits for the kernel to end, ends its process group, removes its directory. Runs in a session of its own."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    client = int(os.environ.get("JPY_PARENT_PID", "0"))  # Jupyter, or our runner: a kernel nobody can reach ends too
    started, born, looked = time.monotonic(), time.time(), 0.0
    narrator = Narrator(
        kernel_pid, evcxr, template is not None, lambda: built.built_since(session, born), kernel_dir / "last-build"
    )
    while os.getppid() == kernel_pid and (client == 0 or alive(client)):
        time.sleep(0.2)
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            narrator.look()
            built.freeze_when_built(session, born)
        if template is not None and time.monotonic() - started > SPARE_AFTER:
            leave_spare(kernel_dir)
            template = None
    try:
        if os.getppid() == kernel_pid:
            os.kill(kernel_pid, signal.SIGKILL)
        os.killpg(kernel_pid, signal.SIGKILL)  # where the kernel leads a group: a cell may still be computing
    except OSError:
        pass
    for _ in range(20):
        shutil.rmtree(session, ignore_errors=True)
        if not session.exists():
            break
        time.sleep(0.2)  # a dying compiler may still have been writing
    lock_path.unlink(missing_ok=True)
    if template is not None:
        leave_spare(kernel_dir)
    os._exit(0)


def main():
    kernel_file, connection_file = Path(sys.argv[1]), sys.argv[2]
    kernel_file = Path(os.environ.get("HUMERUS_KERNEL", kernel_file))
    kernel = json.loads(kernel_file.read_text())

    (kernel_file.parent / ".used").touch()  # `cargo lab` removes what nobody uses
    lock, template = None, None
    if kept := os.environ.get("HUMERUS_SESSION"):  # warming: this very directory, and it stays
        session = Path(kept)
    else:
        sessions = Path(kernel["sessions"])
        sessions.mkdir(parents=True, exist_ok=True)
        sweep(sessions)
        # The lock is held before its file gets the name that a sweep looks for.
        descriptor, unnamed = tempfile.mkstemp(prefix=".new-", dir=sessions)
        lock = os.fdopen(descriptor, "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        session = sessions / ("s-" + Path(unnamed).name.removeprefix(".new-"))
        lock_path = session.with_suffix(".lock")
        os.rename(unnamed, lock_path)
        template = copy_template(kernel_file.parent, session)
        if template is not None:
            begin_with(session, kernel_file.parent)

    os.environ.update(environment(kernel))
    os.environ["EVCXR_TMPDIR"] = str(session)
    os.environ["JUPYTER_PATH"] = str(session)  # or evcxr_jupyter would "update" a stock kernel of another version
    # evcxr's very first build, which has no dependency, empties Cargo.lock; init.evcxr puts this one back.
    pinned = session / "Cargo.lock.pinned"
    os.environ["HUMERUS_PINNED_LOCK"] = str(pinned if lock is not None and pinned.exists() else kernel["cargo_lock"])

    if lock is not None:
        pid = os.getpid()
        if os.fork() == 0:
            try:
                # The janitor must not hold the lock: a sweep may only wait for the kernel and what it started.
                os.close(lock.fileno())
                janitor(pid, kernel["evcxr_jupyter"], session, lock_path, template, kernel_file.parent)
            finally:
                os._exit(1)
        os.set_inheritable(lock.fileno(), True)
    proxy, evcxr = kernel.get("proxy", ""), kernel["evcxr_jupyter"]
    if os.environ.get("HUMERUS_PLAIN_KERNEL") or not os.path.exists(proxy):
        os.execv(evcxr, [evcxr, "--control_file", connection_file])
    command = [evcxr, "--control_file", "{own_connection_file}"]
    # The proxy's first cell is a build without dependencies, which empties Cargo.lock as evcxr's own does.
    os.execv(proxy, [proxy, "--folder", str(session), "--first-cell", RESTORE, connection_file, "--", *command])


if __name__ == "__main__":
    main()
