"""Templates: warmed build folders that every kernel begins with a copy of.

`template-<key>` beside `kernel.json` is a link to the folder `t-…` that was made last for a checkout; `spare-t-…-<n>`
is a copy that waits for a kernel. A template is made in `building-<key>` and then renamed: rustc takes up what it knows
of an earlier build only where it is to write to a folder of the same path, which may be another folder by then.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import built

FINISHED = (".rlib", ".rmeta", ".so", ".dylib", ".a", ".o")
PROGRAM = ("build-script-build", "build_script_build-")


def may_link(inside, name, own):
    """Whether nothing writes to the file in place: a dependency's finished artefact, not an own crate's or a cell's."""
    if "/incremental" in inside:
        return not name.endswith(".lock")  # rustc itself links them, and never changes one that has a name
    if "ctx" in name or name.startswith("libcode_") or "/.fingerprint" in inside or own.search(f"{inside}/{name}"):
        return False
    return name.endswith(FINISHED) or (name.startswith(PROGRAM) and not name.endswith(".d"))


def copy_tree(source, target, incremental=False, own=None, update=False):
    """Copies `source` to `target` with its modification times, hard-linking what [`may_link`] allows.

    What rustc knows of an earlier build comes along if `incremental` is true: of use only where the next build is to
    be. `own` names the crates that may be edited, by default those of the folder's Cargo.lock. With `update`, `target`
    is a copy already: what has the same size and time is left.
    """
    own = built.packages(source) if own is None else own
    spelt = [name for package in own for name in (package, package.replace("-", "_"))]
    own = re.compile(
        rf"/(lib)?({'|'.join(map(re.escape, spelt)) or 'humerus'})[-.]"
    )  # build/name-0123/out, deps/libname-0123.rlib
    copied = {}
    for folder, below, names in os.walk(source):
        inside = folder[len(str(source)) :]
        if not incremental and "incremental" in below:
            below.remove("incremental")
        os.makedirs(f"{target}{inside}", exist_ok=True)
        for name in names:
            old, new = f"{folder}/{name}", f"{target}{inside}/{name}"
            stat = os.lstat(old)
            if update and built.state(new) == [stat.st_size, stat.st_mtime_ns]:
                continue
            if update and os.path.lexists(new):
                os.unlink(new)  # not written in place: it may be linked
            if may_link(inside, name, own):
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


def link_of(kernel_dir, crate_dir):
    """The link to the template of the checkout with this crate."""
    return kernel_dir / f"template-{hashlib.sha256(os.fsencode(crate_dir)).hexdigest()[:12]}"


def building_of(link):
    """Where this checkout's templates are made."""
    return link.with_name(link.name.replace("template-", "building-"))


def template_for(kernel_dir, start):
    """The warmed template of the checkout that `start` lies in, else any template of this kernel, else None."""
    for folder in [start, *start.parents]:
        template = link_of(kernel_dir, folder / "crate")
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
        with open(template / ".in-use", "r+") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_SH)
            unfinished = tempfile.mkdtemp(prefix=".making-", dir=template.parent)
            copy_tree(template, unfinished)
            os.rename(unfinished, template.parent / f"spare-{template.name}-{os.getpid()}")
    except OSError:
        pass  # the template was replaced, or the disk is full: the next kernel copies for itself


def forget_earlier_builds(folder):
    """Leaves of what rustc knows of each crate that of the last build; it removes the one before at the next build
    only."""
    for crate in folder.glob("target/*/debug/incremental/*"):
        *earlier, _ = sorted(crate.glob("s-*-*-*"), key=lambda path: path.stat().st_mtime)
        for old in earlier:
            shutil.rmtree(old)
            old.with_name(old.name.rpartition("-")[0] + ".lock").unlink(missing_ok=True)


def publish(building, link):
    """Makes the finished folder the template, and returns it. The one before stays until [`sweep`]."""
    forget_earlier_builds(building)
    shutil.copyfile(building / "Cargo.lock", building / "Cargo.lock.pinned")
    (building / ".in-use").touch()
    template = Path(tempfile.mkdtemp(prefix="t-", dir=link.parent))
    os.chmod(template, 0o755)
    os.rename(building, template)
    unnamed = link.with_name(f".link-{template.name}")
    os.symlink(template.name, unnamed)
    os.replace(unnamed, link)
    return template


@contextlib.contextmanager
def locked(kernel_dir, wait=True):
    """Held by whoever makes or removes a template: the lock of `cargo lab`. Without `wait`, BlockingIOError where it is
    held."""
    with open(kernel_dir.with_name(".warm.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def sweep(kernel_dir):
    """Removes templates that were replaced, with their spare copies, unless a kernel is copying them."""
    try:
        with locked(kernel_dir, wait=False):
            named = {link.resolve() for link in kernel_dir.glob("template-*")}
            for old in set(kernel_dir.glob("t-*")) - named:
                with open(old / ".in-use", "a") as in_use:
                    fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    for folder in [old, *kernel_dir.glob(f"spare-{old.name}-*")]:
                        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # another kernel or `cargo lab` does so later
