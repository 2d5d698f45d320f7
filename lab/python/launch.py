"""Starts one Rust kernel in a build directory of its own, and removes the directory when the kernel ends.

usage: launch.py KERNEL.json CONNECTION_FILE

KERNEL.json is written by `cargo lab`. The session directory starts as a copy of a warmed template, so that no kernel
builds the dependencies again: large files of finished dependencies are hard-linked, everything cargo or rustc writes in
place is copied. This process then *becomes* evcxr_jupyter, so that Jupyter's signals reach the kernel itself; a small
child of its own session (the janitor) outlives it, ends what the kernel left running and removes the directory; it also
ends a kernel whose Jupyter died. The kernel inherits a locked file: should the janitor be killed too, the next start finds
the lock free and sweeps.

A kernel keeps the crate that it began with. Built anew between two cells, the crate would read the variables of the
earlier cells with types of another layout; so once it is built, its sources count as old, whatever is edited. The next
kernel sees the edits.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from narrate import Narrator

FINISHED = (".rlib", ".rmeta", ".so", ".dylib", ".a", ".o")
SPARE_AFTER = 60  # seconds; until then the kernel itself needs the processor
PROGRAM = ("build-script-build", "build_script_build-")
FROZEN = 4102444800  # the year 2100: no source file is newer
# The file whose time cargo compares with those of the crate's sources.
BUILT = "target/*/debug/.fingerprint/humerus-*/dep-lib-humerus"


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
        # A directory without its lock file: the sweep itself was cut short. One that is being made has the lock already.
        if directory.is_dir() and not directory.with_suffix(".lock").exists():
            shutil.rmtree(directory, ignore_errors=True)


def may_link(inside, name):
    """Whether nothing writes to the file in place: a finished artefact of a dependency, not of the crate or a cell."""
    if "humerus" in name or "ctx" in name or name.startswith("libcode_"):
        return False
    if "/incremental" in inside or "/.fingerprint" in inside or "/humerus-" in inside:
        return False
    return name.endswith(FINISHED) or (name.startswith(PROGRAM) and not name.endswith(".d"))


def copy_tree(source, target):
    """Copies `source` to `target` with its modification times, hard-linking what [`may_link`] allows."""
    copied = {}
    for folder, _, names in os.walk(source):
        inside = folder[len(str(source)) :]
        os.makedirs(f"{target}{inside}", exist_ok=True)
        for name in names:
            old, new = f"{folder}/{name}", f"{target}{inside}/{name}"
            stat = os.lstat(old)
            if may_link(inside, name):
                try:
                    os.link(old, new)
                    continue
                except OSError:
                    pass
            # cargo hard-links within its directory (deps/libctx.so and libctx.so): keep such pairs together.
            if stat.st_ino in copied:
                os.link(copied[stat.st_ino], new)
                continue
            if stat.st_nlink > 1:
                copied[stat.st_ino] = new
            shutil.copyfile(old, new, follow_symlinks=False)
            os.chmod(new, stat.st_mode & 0o777)
            os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def template_for(kernel_dir, start):
    """The warmed template of the checkout that `start` lies in, else any template of this kernel, else None."""
    for folder in [start, *start.parents]:
        key = hashlib.sha256(os.fsencode(folder / "crate")).hexdigest()[:12]
        template = kernel_dir / f"template-{key}"
        if template.exists():
            return template.resolve()
    others = sorted(kernel_dir.glob("template-*"), key=lambda path: path.stat().st_mtime)
    return others[-1].resolve() if others else None


def take_spare(template, session):
    """Makes the spare copy of this template, if there is one, the session. Renaming decides between two kernels."""
    for spare in template.parent.glob(f"spare-{template.name}-*"):
        try:
            os.rename(spare, session)
            return True
        except OSError:
            continue
    return False


def make_spare(template):
    """Leaves a copy for the next kernel: making a thousand small files takes seconds, renaming a folder takes none."""
    try:
        if any(template.parent.glob(f"spare-{template.name}-*")):
            return
        unfinished = tempfile.mkdtemp(prefix=".making-", dir=template.parent)
        with open(template / ".in-use", "r+") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_SH)
            copy_tree(template, unfinished)
            os.rename(unfinished, template.parent / f"spare-{template.name}-{os.getpid()}")
    except OSError:
        pass  # the template was replaced, or the disk is full: the next kernel copies for itself


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


def is_built(session, template):
    """Whether the session's copy of the crate is as new as the sources, so that the first cell will not build it."""
    try:
        crate = Path(json.loads((template / "warmed.json").read_text())["crate_dir"])
        built = max(mark.stat().st_mtime for mark in session.glob(BUILT))
        sources = [crate / "Cargo.toml", crate / "build.rs", *(crate / "src").rglob("*")]
        return max(source.stat().st_mtime for source in sources) <= built
    except (OSError, ValueError, KeyError):
        return False


def freeze(session):
    """Makes the built crate newer than any edit of its sources."""
    for mark in session.glob(BUILT):
        os.utime(mark, (FROZEN, FROZEN))


def built_since(session, started):
    """Whether the session's copy of the crate was built after `started`, or is frozen."""
    return any(mark > started for mark in marks(session))


def freeze_when_built(session, started):
    """Freezes the crate if this kernel has built it by now."""
    if any(started < mark < FROZEN for mark in marks(session)):
        freeze(session)


def marks(session):
    """When the crate was built, in each of its forms."""
    try:
        return [mark.stat().st_mtime for mark in session.glob(BUILT)]
    except OSError:
        return []  # cargo is writing; a second later it is not


def alive(pid):
    """Whether the process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def janitor(kernel_pid, session, lock_path, template, last_build):
    """Waits for the kernel to end, ends its process group, removes its directory. Runs in a session of its own."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    client = int(os.environ.get("JPY_PARENT_PID", "0"))  # Jupyter, or our runner: a kernel nobody can reach ends too
    started, born, looked = time.monotonic(), time.time(), 0.0
    narrator = Narrator(kernel_pid, template is not None, lambda: built_since(session, born), last_build)
    while os.getppid() == kernel_pid and (client == 0 or alive(client)):
        time.sleep(0.2)
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            narrator.look()
            freeze_when_built(session, born)
        if template is not None and time.monotonic() - started > SPARE_AFTER:
            make_spare(template)
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
        make_spare(template)
    os._exit(0)


def main():
    kernel_file, connection_file = Path(sys.argv[1]), sys.argv[2]
    kernel_file = Path(os.environ.get("HUMERUS_KERNEL", kernel_file))
    kernel = json.loads(kernel_file.read_text())

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
        if template is not None and is_built(session, template):
            freeze(session)

    os.environ.update(kernel["environment"])
    for variable, first in [("LD_LIBRARY_PATH", kernel["library_path"]), ("PATH", kernel["program_path"])]:
        inherited = [entry for entry in os.environ.get(variable, "").split(":") if entry and entry not in first]
        os.environ[variable] = ":".join(first + inherited)
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
                janitor(pid, session, lock_path, template, kernel_file.with_name("last-build"))
            finally:
                os._exit(1)
        os.set_inheritable(lock.fileno(), True)
    os.execv(kernel["evcxr_jupyter"], [kernel["evcxr_jupyter"], "--control_file", connection_file])


if __name__ == "__main__":
    main()
