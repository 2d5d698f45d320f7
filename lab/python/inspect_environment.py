"""What an interpreter can tell the lab, as one JSON object. With a requirements file: which of its lines are not met.

Runs on any Python 3, also one that is too old; imports nothing heavy.
"""

import json
import sys


def importable(name):
    try:
        __import__(name)
        return True
    except Exception:
        return False


def unsatisfied(path):
    from importlib.metadata import PackageNotFoundError, version

    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging"]
    missing = []
    with open(path) as file:
        for line in file:
            line = line.split("#")[0].strip()
            if not line:
                continue
            wanted = Requirement(line)
            try:
                met = wanted.specifier.contains(version(wanted.name), prereleases=True)
            except PackageNotFoundError:
                met = False
            if not met:
                missing.append(line)
    return missing


report = {
    "version": sys.version_info[:2],
    "prefix": sys.prefix,
    "executable": sys.executable,
    "venv": importable("venv") and importable("ensurepip"),
}
if sys.version_info >= (3, 8):
    import importlib.util

    torch = importlib.util.find_spec("torch")
    if torch is not None and torch.submodule_search_locations:
        report["torch"] = list(torch.submodule_search_locations)[0]
    if len(sys.argv) > 1:
        report["unsatisfied"] = unsatisfied(sys.argv[1])
elif len(sys.argv) > 1:
    report["unsatisfied"] = ["Python 3.10"]
print(json.dumps(report))
