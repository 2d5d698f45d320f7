//! The command where the world is rough: odd file systems, readers that go away, little memory, names that are no text.
#![cfg(target_os = "linux")]

mod bench;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bench::Bench;

impl Bench {
    fn train(&self, out: &Path) -> Command {
        let mut command = self.command();
        command.args([
            "train",
            text(&self.path("films")),
            "--epochs",
            "1",
            "--size",
            "64",
            "--batch",
            "4",
            "--device",
            "cpu",
        ]);
        command.args(["--weights", "random", "--out"]).arg(out);
        command
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path in UTF-8")
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{:?}: {:?}", output.status, lines(&output.stderr));
}

/// A library that stands in for some of the system's calls; `None` without a C compiler.
fn shim(bench: &Bench, name: &str, source: &str) -> Option<PathBuf> {
    let [code, library] = ["c", "so"].map(|ending| bench.path(&format!("{name}.{ending}")));
    std::fs::write(&code, source).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &code]).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler");
        return None;
    }
    Some(library)
}

const NO_LOCKS: &str = "#include <errno.h>\nint flock(int fd, int op) { errno = ENOSYS; return -1; }\n";
const NO_FOLDER_SYNC: &str = "#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int fsync(int fd) {
  struct stat s;
  if (!fstat(fd, &s) && S_ISDIR(s.st_mode)) { errno = CODE; return -1; }
  return syscall(SYS_fsync, fd);
}
";

#[test]
fn training_and_export_go_on_with_one_note_where_the_file_system_cannot_lock_or_sync_folders() {
    let bench = Bench::with_films();
    let cases = [
        ("locks", NO_LOCKS.to_owned(), "knows no locks"),
        ("einval", NO_FOLDER_SYNC.replace("CODE", "EINVAL"), "cannot sync folders"),
        ("enotsup", NO_FOLDER_SYNC.replace("CODE", "ENOTSUP"), "cannot sync folders"),
    ];
    for (name, source, words) in cases {
        let Some(library) = shim(&bench, name, &source) else { return };
        let run = bench.path(name);
        let trained = bench.train(&run).env("LD_PRELOAD", &library).output().unwrap();
        done(&trained);
        let notes: Vec<String> = lines(&trained.stdout).into_iter().filter(|line| line.starts_with("note: ")).collect();
        assert!(notes.len() == 1 && notes[0].contains(words) && notes[0].contains(text(&run)), "{name}: {notes:?}");
        assert!(lines(&trained.stdout).last().unwrap().starts_with("held out: "));
        if name == "locks" {
            continue;
        }
        let (model, onnx) = (run.join("model.safetensors"), bench.path(&format!("{name}.onnx")));
        let export = ["export", text(&model), "--to", "onnx", "--out", text(&onnx)];
        let exported = bench.command().args(export).env("LD_PRELOAD", &library).output().unwrap();
        done(&exported);
        let said = lines(&exported.stderr);
        assert!(said.len() == 1 && said[0].starts_with("note: ") && said[0].contains(words), "{said:?}");
        assert!(onnx.exists());
    }
    // A disk that fails is an error as ever.
    let Some(library) = shim(&bench, "eio", &NO_FOLDER_SYNC.replace("CODE", "EIO")) else { return };
    let failed = bench.train(&bench.path("eio")).env("LD_PRELOAD", &library).output().unwrap();
    let said = lines(&failed.stderr);
    assert!(failed.status.code() == Some(1) && said.len() == 1 && said[0].contains("Input/output error"), "{said:?}");
}

#[test]
fn no_command_minds_a_reader_that_goes_away() {
    let bench = Bench::with_films();
    let [films, run, heat, onnx] = ["films", "run", "heat.png", "m.onnx"].map(|name| bench.path(name));
    done(&bench.train(&run).output().unwrap());
    let model = run.join("model.safetensors");
    let film = walk(&films.join("valid"));
    for arguments in [
        &["index", text(&films)][..],
        &["index", text(&films), "--json"],
        &["phantom", "--studies", "4", "--out", text(&bench.path("more"))],
        &["score", text(&model), text(&films)],
        &["score", text(&model), text(&films), "--json"],
        &["explain", text(&model), text(&film), "--out", text(&heat)],
        &["export", text(&model), "--to", "onnx", "--out", text(&onnx)],
        &["weights", text(&model)],
        &["weights", text(&model), "--json"],
        &["--help"],
        &["train", "--help"],
        &["--version"],
    ] {
        for both in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = bench.command();
            command.args(arguments).stdout(writer.try_clone().unwrap());
            if both {
                command.stderr(writer);
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{arguments:?} {both}: {:?} {:?}", output.status, lines(&output.stderr));
            assert!(output.stderr.is_empty(), "{arguments:?}: {:?}", lines(&output.stderr));
        }
    }
    // Training, and an error, with nobody left to read either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let again = bench.path("again");
    let output = bench.train(&again).stdout(writer.try_clone().unwrap()).stderr(writer.try_clone().unwrap()).status();
    assert!(output.unwrap().success() && again.join("finished.json").exists(), "a night's work is done all the same");
    let wrong = bench.command().args(["index", "nowhere"]).stdout(writer.try_clone().unwrap()).stderr(writer).status();
    assert_eq!(wrong.unwrap().code(), Some(1));
    // A disk without room is no reader that has had enough.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = bench.command().args(["index", text(&films)]).stdout(full).output().unwrap();
    let said = lines(&output.stderr);
    assert!(output.status.code() == Some(1) && said.len() == 1 && said[0].contains("No space left"), "{said:?}");
}

/// Some film below a folder.
fn walk(folder: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    while path.is_dir() {
        let mut names: Vec<PathBuf> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        path = names.into_iter().find(|path| path.is_dir() || path.extension().is_some_and(|it| it == "png")).unwrap();
    }
    path
}

#[test]
fn memory_that_runs_out_in_a_step_is_one_line_that_says_what_may_help() {
    let bench = Bench::with_films();
    let [films, run] = ["films", "run"].map(|name| bench.path(name));
    // Room for libtorch and its threads, not for feature maps of 64 films at 512 pixels.
    let train = [
        "train",
        text(&films),
        "--epochs",
        "1",
        "--size",
        "512",
        "--batch",
        "64",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--weights",
        "random",
        "--out",
        text(&run),
    ];
    let script = "ulimit -v 6000000; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_humerus")]).args(train);
    command.env("HUMERUS_CACHE", bench.path("cache")).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = lines(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{:?} {said:?}", output.status);
    assert!(said.len() == 1 && said[0].starts_with("error: out of memory: "), "{said:?}");
    // "0.09 GiB more could not be had" of libtorch's own, "no more could be had" where it is oneDNN that fails.
    for words in ["more could", "--batch, now 64", "--size, now 512", "No model was saved yet"] {
        assert!(said[0].contains(words), "{said:?}");
    }
}

#[test]
fn a_step_that_cannot_fit_is_not_tried() {
    let bench = Bench::with_films();
    // Where memory is promised freely, the system would kill it without a word.
    let hopeless = ["--size", "2048", "--batch", "4096", "--device", "cpu", "--weights", "random", "--out"];
    let mut command = bench.command();
    command.args(["train", text(&bench.path("films"))]).args(hopeless).arg(bench.path("run"));
    let output = command.output().unwrap();
    let said = lines(&output.stderr);
    assert!(output.status.code() == Some(1) && said.len() == 1, "{said:?}");
    assert!(
        said[0].starts_with("error: out of memory: a step needs") && said[0].contains("--batch, now 4096"),
        "{said:?}"
    );
}

#[test]
fn an_interrupted_run_in_a_folder_that_is_no_text_says_how_to_continue_and_does() {
    let bench = Bench::with_films();
    let run = bench.folder.path().join(OsStr::from_bytes(b"M\xfcller's run"));
    let train = || {
        let mut command = bench.train(&run);
        command.args(["--checkpoint-minutes", "0.001"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let child = train().spawn().unwrap();
    let began = Instant::now();
    while !run.join("resume.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = lines(&output.stderr);
    assert!(output.status.code() == Some(130) && said.len() == 1, "{:?} {said:?}", output.status);
    let Some((_, again)) = said[0].split_once("continue with: ") else { panic!("{said:?}") };
    let mut command = Command::new("bash");
    // With another number of threads, which is told, and goes on.
    command.args(["-c", again]).env("HUMERUS_CACHE", bench.path("cache")).env("OMP_NUM_THREADS", "2");
    let Ok(output) = command.output() else { return eprintln!("skipped: no bash") };
    done(&output);
    for words in ["continuing ", "note: the run was begun with 1 thread, now there are 2: its last bits will differ"] {
        let said = lines(&output.stdout);
        assert!(said.iter().any(|line| line.starts_with(words)), "{words:?} in {said:?}");
    }
    // The folder's name in JSON is as near as it gets.
    let json = train().args(["--resume", "--json"]).output().unwrap();
    done(&json);
    assert!(String::from_utf8(json.stdout).unwrap().contains("ller's run/model.safetensors"));
}
