"""What a build folder holds of the crates that are read from folders: the project's own, which may be edited at any
time.

A warmed folder remembers in `warmed.json` from which files they were built, by size and time. Sizes and times, not
times alone, as cargo compares them: a file that is put back from a copy is older than the build, and yet not what was
built.
"""

import json
import os
import re
from pathlib import Path

FROZEN = 4102444800  # the year 2100: no source file is newer


def packages(folder):
    """The packages of the folder's Cargo.lock that come from a path, without the cells' own."""
    try:
        blocks = (folder / "Cargo.lock").read_text().split("[[package]]")[1:]
    except OSError:
        return []
    names = [re.search(r'^name = "(.*)"$', block, re.MULTILINE)[1] for block in blocks if "\nsource = " not in block]
    return [name for name in names if name != "ctx"]


def marks_of(folder, package):
    """The files whose times cargo compares with those of the package's sources, one for each form of its library."""
    return list(folder.glob(f"target/*/debug/.fingerprint/{package}-{'[0-9a-f]' * 16}/dep-lib-*"))


def marks(folder):
    """Those of all packages from a path, with their times."""
    found = [mark for package in packages(folder) for mark in marks_of(folder, package)]
    try:
        return [(mark, mark.stat().st_mtime) for mark in found]
    except OSError:
        return []  # cargo is writing; a second later it is not


def freeze(folder):
    """Makes the built crates newer than any edit of their sources."""
    for mark, _ in marks(folder):
        os.utime(mark, (FROZEN, FROZEN))


def built_since(folder, started):
    """Whether the folder's crates were built after `started`, or are frozen."""
    return any(time > started for _, time in marks(folder))


def freeze_when_built(folder, started):
    """Freezes the crates if they were built after `started`."""
    if any(started < time < FROZEN for _, time in marks(folder)):
        freeze(folder)


def state(path):
    """Size and time of a file; None of one that is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def sources_of(folder, package):
    """The files that the package's library was built from, as rustc lists them, and its manifests and build script."""
    found = set()
    for mark in marks_of(folder, package):
        library = mark.name.removeprefix("dep-lib-").replace("-", "_")
        lists = sorted(mark.parents[2].glob(f"deps/{library}-*.d"), key=lambda path: path.stat().st_mtime)
        for line in lists[-1].read_text().splitlines() if lists else []:
            target, colon, names = line.partition(": ")
            if colon and target.endswith(".d"):
                found.update(re.sub(r"\\ ", " ", name) for name in re.findall(r"(?:\\ |\S)+", names))
    found = {name for name in found if not Path(name).is_relative_to(folder)}
    for home in {above for name in found for above in Path(name).parents if (above / "Cargo.toml").is_file()}:
        found.add(str(home / "Cargo.toml"))  # its own and the workspace's
        if (home / "build.rs").is_file():
            found.add(str(home / "build.rs"))
    return found


def states(stamped):
    """The files of a stamp as they are now."""
    return {path: state(path) for files in stamped["crates"].values() for path in files}


def stamp(folder, crate_dir, rustc, started, before):
    """Writes what the folder was built from.

    What changed after the build `started`, a time.time(), may or may not be in it, and counts as edited. `before` are
    `states` from before the build: what is still the same is in it, even where its time is in the future.
    """
    crates = {}
    for package in packages(folder):
        now = {path: state(path) for path in sorted(sources_of(folder, package))}
        certain = {
            path for path, found in now.items() if found and (found == before.get(path) or found[1] < started * 1e9)
        }
        crates[package] = {path: found if path in certain else [0, 0] for path, found in now.items()}
    text = json.dumps({"crate_dir": str(crate_dir), "rustc": rustc, "crates": crates}, indent=1)
    (folder / "warmed.json").write_text(text + "\n")


def read_stamp(folder):
    """What `stamp` wrote; of a folder that has nothing of the kind, what fits no crate."""
    try:
        return {"crates": {}, **json.loads((folder / "warmed.json").read_text())}
    except (OSError, ValueError):
        return {"crates": {}}


def edited(stamped):
    """The packages whose sources are no longer what was built."""
    return [name for name, files in stamped["crates"].items() if any(state(path) != was for path, was in files.items())]


def is_current(stamped):
    """Whether the crates are what was built."""
    return bool(stamped["crates"]) and not edited(stamped)


def outdate(folder, stamped):
    """Has cargo build what was edited, whatever the times of the edited files are."""
    for package in edited(stamped):
        for mark in marks_of(folder, package):
            os.utime(mark, (0, 0))
