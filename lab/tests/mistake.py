"""Checks that the first mistake of a fresh kernel is answered without a build of anything but the cell.

Runs inside the environment (lab/tests/kernel.rs starts it). usage: mistake.py CRATE_DIR; prints one JSON object for
each kind of mistake: the cell, the error's first line, the seconds, and the crates that were built for it.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from kernel import Kernel  # noqa: E402

MISTAKES = {
    "no such method": "let unknown = humerus::preprocess::Preprocess::default().foo();",
    "no known type": "let unknown = Vec::new();",
    "wrong type": "let size: String = humerus::preprocess::Preprocess::default().size;",
}


def compiled(session):
    """When each unit of each package was last compiled."""
    return {
        mark.parent.name: mark.stat().st_mtime_ns
        for mark in session.glob("target/*/debug/.fingerprint/*/invoked.timestamp")
    }


def first_mistake(crate_dir, source):
    """Starts a kernel, makes the crate known, and makes the mistake."""
    sessions = Path(json.loads(Path(os.environ["HUMERUS_KERNEL"]).read_text())["sessions"])
    before = set(sessions.glob("s-*"))
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(folder, dict(os.environ))
        try:
            session = next(path for path in set(sessions.glob("s-*")) - before if path.is_dir())
            known = compiled(session)
            kernel.run(f":dep humerus = {{ path = {json.dumps(crate_dir)} }}\nuse humerus::Split;")
            started = time.monotonic()
            cell = kernel.run(source)
            seconds = time.monotonic() - started
            built = sorted({name.rsplit("-", 1)[0] for name, at in compiled(session).items() if known.get(name) != at})
            return {"cell": source, "error": cell.failure, "seconds": round(seconds, 2), "built": built}
        finally:
            kernel.stop()


for source in MISTAKES.values():
    print(json.dumps(first_mistake(sys.argv[1], source)), flush=True)
