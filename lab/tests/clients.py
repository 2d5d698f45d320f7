"""Checks that nbclient, by which nbconvert and papermill run notebooks, sees what a cell came to.

Runs inside the environment (lab/tests/kernel.rs starts it); prints `ok: ...` for each thing that holds.
"""

import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def run(*sources, **options):
    """Runs the cells; returns their outputs, and the error that stopped them, or None."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, kernel_name="humerus", timeout=600, startup_timeout=600, **options)
    try:
        client.execute()
    except CellExecutionError as error:
        return [cell.outputs for cell in notebook.cells], error
    return [cell.outputs for cell in notebook.cells], None


def expect(condition, what, seen):
    print(("ok: " if condition else f"FAILED: {seen}: ") + what, flush=True)
    if not condition:
        sys.exit(1)


QUESTION = 'let n: i64 = "many".parse()?;'
outputs, error = run('println!("before");', QUESTION, 'println!("never printed");')
expect(error is not None and error.ename == "ParseIntError", "a failed `?` stops nbclient, by its type", error)
expect(outputs[2] == [], "the cell behind it did not run", outputs)
kinds = [output.output_type for output in outputs[1]]
expect(kinds == ["error"], "its reason stands under its own cell, once, and not as printed text", outputs[1])

outputs, error = run(QUESTION, 'panic!("on purpose");', 'println!("after");', allow_errors=True)
expect(error is None and outputs[2][0].text == "after\n", "where errors are allowed the rest runs", outputs)
expect(outputs[1][0].evalue == "on purpose", "a panic has its message", outputs)
outputs, error = run(QUESTION, allow_error_names=["ParseIntError"])
expect(error is None, "an error can be allowed by its name", error)
