//! A folder with films, and the command with a cache of its own in it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Bench {
    pub folder: tempfile::TempDir,
}

impl Bench {
    /// With 14 simulated studies in `films`.
    pub fn with_films() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let phantom = ["phantom", "--studies", "14", "--seed", "3", "--out"];
        let made = bench.command().args(phantom).arg(bench.path("films")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_humerus"));
        // One core: threads that wait for each other on a busy machine take ten times as long.
        command.env("HUMERUS_CACHE", self.path("cache")).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
        command
    }
}
