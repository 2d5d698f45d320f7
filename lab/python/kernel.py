"""One Rust kernel, driven through the Jupyter protocol, with an honest answer to "did this cell succeed?".

evcxr replies "ok" for a cell that panicked and for one that a failed `?` left early. What it does not do then is store
the variables that the cell defined. So every cell is sent with one variable of ours in front, and after it the command
`:vars` (no compiler involved) says whether that variable arrived. Whatever the cell printed, an unfinished cell cannot
bring it along, and a finished one cannot lose it.
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

import narrate

MARKER = "lab_cell_finished"
PREFIX = f"let {MARKER}: u32 = 0; "
# What evcxr takes for a command, or skips while it still looks for commands.
COMMAND = re.compile(r"^( *:[^ ]*( +.*)?|!.*|//.*|\s*)$")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PANIC = re.compile(r"^thread .* panicked at ")
START_SECONDS = 900


class KernelDied(Exception):
    """The kernel process is gone."""


def marked(source):
    """`source` with our variable before its first statement, on the same line, so that line numbers stay true."""
    lines = source.split("\n")
    for index, line in enumerate(lines):
        if not COMMAND.match(line):
            lines[index] = PREFIX + line
            return "\n".join(lines)
    return source + "\n" + PREFIX


def plain(text):
    """`text` without colours and without our prefix; blanks keep the columns of rustc's underlines."""
    return ANSI.sub("", text).replace(PREFIX, " " * len(PREFIX))


class Cell:
    """What came of one executed cell: its outputs, and `failure`, None if it ran to its end."""

    def __init__(self):
        self.outputs = []
        self.failure = None
        self.seconds = 0.0

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
        errors = []

        def take(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self._stream(cell, content["name"], content["text"], on_stream)
            elif kind == "error":
                errors.append(plain(content["evalue"]))
                output = nbformat.v4.output_from_msg(message)
                output["traceback"] = [plain(line) for line in output["traceback"]]
                cell.outputs.append(output)
            elif kind in ("execute_result", "display_data"):
                cell.outputs.append(nbformat.v4.output_from_msg(message))

        started = time.monotonic()
        reply = self.request(marked(source), take)
        cell.seconds = time.monotonic() - started
        if reply["status"] != "ok":
            self._settle(take)
            cell.failure = self._reason(cell, errors) or "the kernel reports an error"
            return
        # The probe: did the cell reach the end, where its variables are stored? It also lets late stderr arrive.
        variables = []

        def probe(message):
            if message["msg_type"] == "execute_result":
                variables.append(message["content"]["data"].get("text/plain", ""))
            else:
                take(message)

        self.request(":vars", probe)
        if not re.search(rf"^{MARKER}: ", "".join(variables), re.MULTILINE):
            self._settle(take)
            cell.failure = self._reason(cell, errors) or "the cell did not run to its end"
        elif any(PANIC.match(line) for line in cell.text("stderr").splitlines()):
            self._settle(take)
            cell.failure = self._reason(cell, errors)

    def finish(self, on_stream=lambda name, text: None):
        """After the last cell: one real cell, so that a variable lost by an early `return` and late output come to
        light."""
        cell = Cell()
        self._run("", cell, on_stream)
        return cell

    def _settle(self, take):
        """Takes what still arrives of stderr, until it has been quiet for a third of a second."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            message = self._iopub(0.33)
            if message is None:
                return
            take(message)

    def _stream(self, cell, name, text, on_stream):
        if name == "stdout" and text.endswith("EVCXR_EXECUTION_COMPLETE\n"):
            # evcxr looks for that line alone; it will wait for ever.
            cell.failure = "the cell's output does not end with a newline: evcxr waits for ever (use println!)"
            raise KernelDied(cell.failure)
        on_stream(name, text)
        last = cell.outputs[-1] if cell.outputs else None
        if last and last["output_type"] == "stream" and last["name"] == name:
            last["text"] += text
        else:
            cell.outputs.append(nbformat.v4.new_output("stream", name=name, text=text))

    @staticmethod
    def _reason(cell, errors):
        """One line that says why: the panic, rustc's first error, or what a failed `?` printed last."""
        stderr = [line for line in plain(cell.text("stderr")).splitlines()]
        for index, line in enumerate(stderr):
            if PANIC.match(line):
                message = " ".join(part.strip() for part in _until_backtrace(stderr[index + 1 :]))
                return f"panicked: {message}" if message else line
        if errors:
            lines = [line.strip() for line in errors[0].splitlines() if line.strip()]
            # What a dying process printed comes first; how it died is the last line.
            return next((line for line in lines if line.startswith("Subprocess terminated")), lines[0] if lines else "")
        said = [line for line in stderr if line.strip() and not line.startswith(narrate.START)]
        said = [line for line in said if not line.startswith("[W")] or said  # libtorch's warnings are not the reason
        return f"`?` returned an error: {said[-1]}" if said else None

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
