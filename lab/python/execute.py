"""Executes one notebook in a kernel of its own, and writes it as an executed .ipynb and as one self-contained HTML
file.

usage: execute.py NOTEBOOK OUT_IPYNB OUT_HTML

Reports to `cargo lab` by JSON lines on stdout: {"event": "notebook", "cells"}, {"event": "building", "line"}, {"event":
"cell", "cell", "line"}, {"event": "stream", "name", "text"}, {"event": "done", "cell", "seconds", "pictures"}, and last
{"event": "end", "failure": null or {"cell", "line", "message"}, "seconds", "pictures"}. Both files are written whatever
happens, with all that was computed until then.
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from kernel import Kernel, KernelDied, plain

SAVE_EVERY = 10  # seconds


def report(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def write(path, text):
    """Writes by temporary file and rename, so that nobody reads half a notebook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unnamed = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(unnamed, 0o644)
    os.replace(unnamed, path)


# Without the scripts that nbconvert's page would fetch: the page must show the same in ten years, and offline.
PAGE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""


def to_html(notebook, folder, title):
    """The page of `notebook`, its pictures and styles inside."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, raw_template=PAGE)
    # nbconvert looks for the pictures of Markdown cells beside the notebook.
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"path": str(folder), "name": title}})
    return page


def first_line(source):
    lines = [line.strip() for line in source.splitlines() if line.strip() and not line.strip().startswith("//")]
    return lines[0] if lines else source.strip()[:80]


def execute(notebook, folder, save):
    """Runs the code cells in order; returns the failure, or None."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    wanted = [(number, cell) for number, cell in enumerate(cells, 1) if cell.source.strip()]
    report("notebook", cells=len(wanted))

    kernel = None
    number, line = 0, "starting the kernel"
    saved = time.monotonic()
    try:
        kernel = Kernel(folder, dict(os.environ), on_log=lambda line: report("building", line=plain(line)))
        for number, cell in wanted:
            line = first_line(cell.source)
            report("cell", cell=number, line=line)
            try:
                ran = kernel.run(cell.source, lambda name, text: report("stream", name=name, text=text))
            finally:
                if kernel.last is not None:
                    cell.outputs = kernel.last.outputs
                    cell.execution_count = kernel.last.execution_count
            if ran.failure:
                return stopped(cell, number, line, ran.failure)
            report("done", cell=number, seconds=ran.seconds, pictures=ran.pictures())
            if time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        if wanted:
            late = kernel.finish(lambda name, text: report("stream", name=name, text=text))
            wanted[-1][1].outputs += [output for output in late.outputs if output.output_type != "execute_result"]
            if late.failure:
                return stopped(wanted[-1][1], number, line, late.failure)
        return None
    except KernelDied as death:
        cell = next((cell for at, cell in wanted if at == number), None)
        reason = kernel.last.failure if kernel is not None and kernel.last is not None else None
        return stopped(cell, number, line, reason or str(death))
    finally:
        if kernel is not None:
            kernel.stop()


def stopped(cell, number, line, message):
    """The failure, also written under the cell where nothing there says so yet."""
    if cell is not None and not any(output.output_type == "error" for output in cell.outputs):
        cell.outputs.append(nbformat.v4.new_output("error", ename="CellFailed", evalue=message, traceback=[message]))
    return {"cell": number, "line": line, "message": message}


def main():
    source, ipynb, html = (Path(argument) for argument in sys.argv[1:4])
    started = time.monotonic()
    notebook = nbformat.read(source, as_version=4)
    folder = source.resolve().parent
    notebook.metadata["kernelspec"] = {"name": "humerus", "display_name": "Rust (humerus)", "language": "rust"}
    notebook.metadata["language_info"] = {
        "name": "rust",
        "file_extension": ".rs",
        "mimetype": "text/rust",
        "pygments_lexer": "rust",
        "codemirror_mode": "rust",
    }

    def save():
        write(ipynb, nbformat.writes(notebook) + "\n")

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    failure = {"cell": 0, "line": "", "message": "interrupted"}
    try:
        failure = execute(notebook, folder, save)
    except KeyboardInterrupt:
        pass
    finally:
        save()
        try:
            write(html, to_html(notebook, folder, source.stem))
        except Exception as problem:  # the notebook is written; a page that cannot be made is a failure of its own
            failure = failure or {"cell": 0, "line": "HTML", "message": f"cannot convert to HTML: {problem}"}
        pictures = sum(
            any(mime.startswith("image/") for mime in output.get("data", {}))
            for cell in notebook.cells
            if cell.cell_type == "code"
            for output in cell.outputs
        )
        report("end", failure=failure, seconds=time.monotonic() - started, pictures=pictures)
    sys.exit(1 if failure else 0)


if __name__ == "__main__":
    main()
