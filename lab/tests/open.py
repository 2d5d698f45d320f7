"""Checks what `cargo lab open` starts: JupyterLab that asks nothing. usage: open.py PATH_OF_LAB, inside the
environment."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

home = tempfile.mkdtemp()  # a user who has chosen nothing yet
server = subprocess.Popen(
    [sys.argv[1], "open", "--", "--no-browser", "--allow-root", "--port=0"],
    env={**os.environ, "JUPYTER_CONFIG_DIR": home, "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings"},
    stderr=subprocess.PIPE,
    text=True,
)
try:
    url = next(
        found
        for found in (re.search(r"http://localhost:(\d+)/lab\S*\?token=(\w+)", line) for line in server.stderr)
        if found
    )
    port, token = url.groups()
    api = f"http://localhost:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
    for attempt in range(50):  # it names its address before it listens there
        try:
            settings = json.load(urllib.request.urlopen(api))
            break
        except urllib.error.URLError:
            time.sleep(0.2)
    default = {name: settings["schema"]["properties"][name]["default"] for name in ["fetchNews", "checkForUpdates"]}
    assert default == {"fetchNews": "false", "checkForUpdates": False}, default
    assert json.loads(settings["raw"]) == {}, settings["raw"]  # the user's own settings were not touched
    print("ok: JupyterLab asks nothing")
finally:
    server.terminate()
    server.wait()
