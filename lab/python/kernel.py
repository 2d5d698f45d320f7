"""One Rust kernel, driven through the Jupyter protocol.

The kernel tells how a cell ended (`parts/kernel`). Two things only come to light here: that a thread panicked for which
nobody waited, and, in the next real cell, that an early `return` lost the variables of its cell.
"""

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PANIC = re.compile(r"^thread .* panicked at ")
START_SECONDS = 900


class KernelDied(Exception):
    """The kernel process is gone."""


def plain(text):
    """`text` without colours."""
    return ANSI.sub("", text)


def reason(reply):
    """One line that says why a cell failed."""
    name, value = reply.get("ename", ""), plain(reply.get("evalue", ""))
    if name == "Panic":
        return "panicked: " + " ".join(value.split())
    if name in ("Error", "Interrupted", "KernelEnded", "ProcessEnded"):
        return next((line.strip() for line in value.splitlines() if line.strip()), name)
    return f"`?` returned {name}: " + " ".join(value.split())


class Cell:
    """What came of one executed cell: its outputs, and `failure`, None if it ran to its end."""

    def __init__(self):
        self.outputs = []
        self.displays = {}
        self.said = ""
        self.execution_count = None
        self.failure = None
        self.seconds = 0.0

    def tell(self, text, on_stream):
        """Of a display that grows by lines, hands on the new ones, as if they were printed."""
        if text.startswith(self.said):
            new = text[len(self.said) :].strip("\n")
            if new:
                on_stream("stdout", new + "\n")
            self.said = text

    def text(self, name):
        """Everything the cell wrote to the stream `name`."""
        return "".join(o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == name)

    def pictures(self):
        """How many outputs are pictures."""
        return sum(any(mime.startswith("image/") for mime in o.get("data", {})) for o in self.outputs)


class Kernel:
    """A started kernel `humerus` of this environment. `on_log` gets each line the kernel process itself prints."""

    def __init__(self, cwd, env, on_log=lambda line: None):
        specs = KernelSpecManager(kernel_dirs=[str(Path(sys.prefix) / "share" / "jupyter" / "kernels")])
        self.manager = KernelManager(kernel_name="humerus", kernel_spec_manager=specs)
        self.log = []
        self.last = None
        env = {name: value for name, value in env.items() if name != "HUMERUS_PLAIN_KERNEL"}
        self.manager.start_kernel(cwd=str(cwd), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        pipe = self.manager.provisioner.process.stdout
        self.reader = threading.Thread(target=self._read_log, args=(pipe, on_log), daemon=True)
        self.reader.start()
        self.client = self.manager.client()
        self.client.start_channels()
        self._handshake()

    def _read_log(self, pipe, on_log):
        for raw in iter(pipe.readline, b""):
            line = raw.decode(errors="replace").rstrip()
            self.log = (self.log + [line])[-200:]
            on_log(line)

    def _handshake(self):
        """Waits until the kernel answers on both channels: a subscription that comes late loses messages."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            request = self.client.kernel_info()
            patience = time.monotonic() + 5
            while time.monotonic() < patience:
                self._assert_alive()
                message = self._iopub(0.2)
                if message and message["parent_header"].get("msg_id") == request:
                    self._drain_shell()
                    return
        raise KernelDied(f"no answer within {START_SECONDS} s of starting")

    def _drain_shell(self):
        while True:
            try:
                self.client.get_shell_msg(timeout=0.05)
            except queue.Empty:
                return

    def _assert_alive(self):
        if not self.manager.is_alive():
            process = self.manager.provisioner.process
            code = process.returncode if process else None
            how = "it is gone"
            if code is not None:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            said = next((line for line in reversed(self.log) if line.strip()), "")
            raise KernelDied(f"the kernel died ({how})" + (f": {ANSI.sub('', said)}" if code and code > 0 else ""))

    def _iopub(self, timeout):
        try:
            return self.client.get_iopub_msg(timeout=timeout)
        except queue.Empty:
            return None

    def request(self, code, on_message=lambda message: None):
        """Runs `code` as it is; returns the reply's content. Every other message goes to `on_message`."""
        msg_id = self.client.execute(code, allow_stdin=False, stop_on_error=False)
        while True:
            message = self._iopub(0.5)
            if message is None:
                self._assert_alive()
                continue
            if message["msg_type"] == "status":
                idle = message["content"]["execution_state"] == "idle"
                if idle and message["parent_header"].get("msg_id") == msg_id:
                    break
                continue
            on_message(message)
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=5)
            except queue.Empty:
                self._assert_alive()
                continue
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply["content"]

    def run(self, source, on_stream=lambda name, text: None):
        """Runs one cell and finds out whether it ran to its end. [`KernelDied`] becomes the cell's failure."""
        cell = self.last = Cell()
        started = time.monotonic()
        try:
            self._run(source, cell, on_stream)
        except KernelDied as death:
            cell.failure = cell.failure or str(death)
            cell.seconds = time.monotonic() - started
            raise
        finally:
            cell.seconds = cell.seconds or time.monotonic() - started
        return cell

    def _run(self, source, cell, on_stream):
        def take(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                on_stream(content["name"], content["text"])
                last = cell.outputs[-1] if cell.outputs else None
                if last and last["output_type"] == "stream" and last["name"] == content["name"]:
                    last["text"] += content["text"]
                else:
                    cell.outputs.append(nbformat.v4.new_output("stream", name=content["name"], text=content["text"]))
            elif kind == "error":
                output = nbformat.v4.output_from_msg(message)
                output["traceback"] = [plain(line) for line in output["traceback"]]
                cell.outputs.append(output)
            elif kind in ("execute_result", "display_data"):
                cell.outputs.append(nbformat.v4.output_from_msg(message))
                cell.displays[content.get("transient", {}).get("display_id")] = cell.outputs[-1]
                cell.said = content["data"].get("text/plain", "")
            elif kind == "update_display_data":
                shown = cell.displays.get(content["transient"]["display_id"])
                if shown is not None:
                    shown["data"], shown["metadata"] = content["data"], content["metadata"]
                    cell.tell(content["data"].get("text/plain", ""), on_stream)
            elif kind == "clear_output":
                cell.outputs.clear()

        started = time.monotonic()
        reply = self.request(source, take)
        cell.seconds = time.monotonic() - started
        cell.execution_count = reply.get("execution_count")
        if reply["status"] != "ok":
            cell.failure = reason(reply)
            return
        stderr = plain(cell.text("stderr")).splitlines()
        for index, line in enumerate(stderr):
            if PANIC.match(line):
                message = " ".join(part.strip() for part in _until_backtrace(stderr[index + 1 :]))
                cell.failure = f"panicked: {message}" if message else line
                return

    def finish(self, on_stream=lambda name, text: None):
        """After the last cell: one more, so that a variable lost by an early `return` and late output come to light."""
        cell = Cell()
        self._run("let _ = 0;", cell, on_stream)
        return cell

    def stop(self):
        """Ends the kernel: politely, then not."""
        try:
            self.client.stop_channels()
            if self.manager.is_alive():
                self.client = self.manager.client()
                self.manager.shutdown_kernel(now=False)
        except Exception:
            pass
        try:
            self.manager.shutdown_kernel(now=True)
        except Exception:
            pass


def _until_backtrace(lines):
    taken = []
    for line in lines:
        if line.startswith(("stack backtrace:", "note: ")) or not line.strip():
            break
        taken.append(line)
    return taken
