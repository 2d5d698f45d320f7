//! Notebooks and kernels for real. These need the environment and the warm kernel, so `cargo lab test` runs them;
//! elsewhere they say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set by `cargo lab test`.
fn kernel_is_there() -> bool {
    let there = std::env::var_os("HUMERUS_LAB_KERNEL_TESTS").is_some();
    if !there {
        println!("skipped: needs the warm kernel; `cargo lab test` runs it");
    }
    there
}

/// What `cargo lab run` did with all test notebooks.
struct Run {
    out: PathBuf,
    stdout: String,
    success: bool,
}

/// Runs one of the Python scripts beside this file inside the environment; returns what it printed.
fn python(name: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).args(["exec", "--", "python"]).arg(script).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    stdout
}

const NOTEBOOKS: [&str; 14] = [
    "passes",
    "takes_its_time",
    "panics",
    "panics_after_picture",
    "panics_in_thread",
    "returns_err",
    "returns_silent_err",
    "returns_lying_err",
    "returns_early",
    "does_not_compile",
    "exits",
    "aborts",
    "kills_kernel",
    "never_ends_its_line",
];

/// One run of the lab over all of them: starting it fourteen times would only take longer.
fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notebooks");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("notebooks");
        let _ = std::fs::remove_dir_all(&out);
        let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
        lab.arg("run").arg("--out").arg(&out);
        for name in NOTEBOOKS {
            lab.arg("--notebook").arg(folder.join(format!("{name}.ipynb")));
        }
        let output = lab.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
        Run { out, stdout, success: output.status.success() }
    })
}

/// The closing line about a notebook that failed.
fn failure(name: &str) -> Option<String> {
    let start = format!("FAILED {name}.ipynb");
    run().stdout.lines().rfind(|line| line.starts_with(&start)).map(str::to_owned)
}

/// Asserts that the notebook failed, in this cell, with this line and reason, and that its row says so.
#[track_caller]
fn fails(name: &str, cell: usize, line: &str, reason: &str) {
    if !kernel_is_there() {
        return;
    }
    let failure = failure(name).unwrap_or_else(|| panic!("{name} passed"));
    assert!(failure.starts_with(&format!("FAILED {name}.ipynb, cell {cell} (`{line}")), "{failure}");
    assert!(failure.contains(reason), "{reason:?} is not in {failure:?}");
    let row = run().stdout.lines().rfind(|row| row.split_whitespace().next() == Some(name));
    assert!(row.is_some_and(|row| row.ends_with(&format!("failed in cell {cell}"))), "{row:?}");
    assert!(!run().success);
    let stdout = &run().stdout;
    assert!(!stdout.contains("never printed"), "a cell after the failing one ran");
}

/// The executed notebook and its page.
fn written(name: &str) -> (serde_json::Value, String) {
    let read = |extension: &str| std::fs::read_to_string(run().out.join(format!("{name}.{extension}"))).unwrap();
    (serde_json::from_str(&read("ipynb")).unwrap(), read("html"))
}

#[test]
fn a_panic_fails_the_notebook() {
    fails("panics", 2, "let x = xs[xs.len() + 4];", "panicked: index out of bounds: the len is 3 but the index is 7");
}

#[test]
fn a_panic_in_a_thread_fails_the_notebook() {
    fails("panics_in_thread", 1, "let handle", "panicked: alone");
}

#[test]
fn an_error_through_the_question_mark_fails_the_notebook() {
    fails("returns_err", 2, "let n: i64", "invalid digit found in string");
}

#[test]
fn an_error_that_prints_nothing_fails_the_notebook() {
    fails("returns_silent_err", 2, "Err::<(), Silent>(Silent)?;", "`?` returned Silent");
}

#[test]
fn an_error_that_looks_like_a_warning_fails_the_notebook() {
    fails("returns_lying_err", 1, "Err::<(), String>", "all is well");
}

#[test]
fn an_early_return_that_loses_variables_fails_the_notebook() {
    fails("returns_early", 1, "let early = 1;", "gone missing");
}

#[test]
fn code_that_does_not_compile_fails_the_notebook() {
    fails("does_not_compile", 2, "let y: String = x;", "mismatched types");
}

#[test]
fn a_process_that_exits_with_success_fails_the_notebook() {
    fails("exits", 2, "std::process::exit(0);", "exit status: 0");
}

#[test]
fn a_process_that_aborts_fails_the_notebook() {
    fails("aborts", 1, "std::process::abort();", "SIGABRT");
}

#[test]
fn a_killed_kernel_fails_the_notebook() {
    fails("kills_kernel", 2, "let kernel", "signal: 9 (SIGKILL)");
}

#[test]
fn output_without_a_newline_neither_fails_nor_hangs_the_notebook() {
    if !kernel_is_there() {
        return;
    }
    assert_eq!(failure("never_ends_its_line"), None);
    assert!(written("never_ends_its_line").0.to_string().contains("no newline"));
}

#[test]
fn a_notebook_without_failures_passes_whatever_it_prints() {
    if !kernel_is_there() {
        return;
    }
    assert_eq!(failure("passes"), None);
    assert_eq!(failure("takes_its_time"), None);
    let row = run().stdout.lines().rfind(|row| row.starts_with("passes ")).unwrap_or_default();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!((words[1], words[3], words[4]), ("10/10", "1", "ok"), "{row}");
}

#[test]
fn tch_works_on_tensors_in_cells() {
    if !kernel_is_there() {
        return;
    }
    let (notebook, _) = written("passes");
    let results: Vec<_> = notebook["cells"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default())
        .filter_map(|output| text_of(&output["data"]["text/plain"]))
        .collect();
    assert_eq!(results, ["3.0", "1.0", "42"]); // mean of 1, 2, 6; the first of them; twice 21
}

fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(lines) => Some(lines.iter().filter_map(|line| line.as_str()).collect()),
        _ => None,
    }
}

#[test]
fn pictures_survive_a_later_failure_and_pages_hold_everything() {
    if !kernel_is_there() {
        return;
    }
    fails("panics_after_picture", 2, "assert_eq!(1 + 1, 3", "panicked: assertion");
    for (name, pictures) in [("passes", 1), ("panics_after_picture", 1), ("panics", 0)] {
        let (notebook, page) = written(name);
        let all = notebook["cells"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default());
        let shown = all.filter(|output| output["data"]["image/png"].is_string()).count();
        assert_eq!(shown, pictures, "{name}.ipynb");
        assert_eq!(page.matches("src=\"data:image/png;base64,iVBOR").count(), pictures, "{name}.html");
        assert!(page.len() > 100_000, "{name}.html has its styles inside");
        for reference in [
            "<script src",
            "<link",
            "<iframe",
            "import(",
            "src=\"http",
            "src='http",
            "@import",
            "url(http",
            "url(\"http",
        ] {
            assert!(!page.contains(reference), "{name}.html refers to something outside: {reference}");
        }
    }
    let (_, page) = written("panics_after_picture");
    assert!(page.contains("arithmetic"), "the page tells why it stopped");
    let (notebook, _) = written("passes");
    assert!(!notebook.to_string().contains("\\u0001"), "the kernel's signs must not show");
}

#[test]
fn lines_are_shown_while_a_cell_runs() {
    if !kernel_is_there() {
        return;
    }
    for epoch in 1..=5 {
        assert!(run().stdout.lines().any(|line| line.trim() == format!("epoch {epoch}")));
    }
}

#[test]
fn kernels_live_side_by_side_and_leave_nothing_behind() {
    if !kernel_is_there() {
        return;
    }
    let stdout = python("sessions.py");
    assert!(stdout.lines().filter(|line| line.starts_with("ok: ")).count() == 16, "{stdout}");
}

/// Five seconds are the aim; machines that are busy with other tests get more. What must never happen is a build of the
/// dependencies in another form, which takes minutes.
#[test]
fn the_first_mistake_in_a_kernel_is_answered_at_once() {
    if !kernel_is_there() {
        return;
    }
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["exec", "--", "python"])
        .arg(lab.join("tests/mistake.py"))
        .arg(lab.join("../crate").canonicalize().unwrap())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    println!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    let mistakes: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors: Vec<_> = mistakes.iter().map(|mistake| mistake["error"].as_str().unwrap_or("none")).collect();
    assert!(errors[0].starts_with("no method named `foo` found for struct"), "{errors:?}");
    assert!(errors[1].starts_with("type annotations needed"), "{errors:?}");
    assert!(errors[2].starts_with("mismatched types"), "{errors:?}");
    for mistake in &mistakes {
        assert_eq!(mistake["built"], serde_json::json!(["ctx"]), "{mistake}");
        assert!(mistake["seconds"].as_f64().is_some_and(|seconds| seconds < 30.0), "{mistake}");
    }
}

#[test]
fn jupyterlab_does_not_ask_about_news() {
    if !kernel_is_there() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open.py");
    let lab = env!("CARGO_BIN_EXE_lab");
    let output = Command::new(lab).args(["exec", "--", "python"]).arg(script).arg(lab).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_active_conda_environment_gets_the_kernel() {
    if !kernel_is_there() {
        return;
    }
    let python = std::env::var_os("HUMERUS_PYTHON").unwrap();
    let prefix = Path::new(&python).ancestors().nth(2).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).arg("doctor").env("CONDA_PREFIX", prefix).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("active conda environment: {}", prefix.display())), "{told}");
    assert!(told.contains("torch          2.11.0"), "{told}");
}

#[test]
fn nbclient_sees_what_a_cell_came_to() {
    if !kernel_is_there() {
        return;
    }
    let stdout = python("clients.py");
    assert_eq!(stdout.lines().filter(|line| line.starts_with("ok: ")).count(), 6);
}
