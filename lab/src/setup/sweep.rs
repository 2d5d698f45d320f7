//! Removes from the cache what earlier versions left there, with one line said.
//!
//! Several checkouts, and several states of one, share the cache: what another one uses looks like an earlier
//! version's. So each part says when it was last used, and goes when it was not for [`UNUSED`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Cache;
use super::evcxr;

/// What no checkout has used for so long is removed.
pub const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// How the names begin of what is made anew for another version.
const VERSIONED: [&str; 5] = ["python-", "evcxr_jupyter-", "kernel-", "scripts-", "proxy-"];

/// Says when a part was last used, by its time.
const USED: &str = ".used";

/// The folder of the installed command; its file `uses` names the libtorch that it is linked with.
pub const INSTALLED: &str = "installed";

/// The parts of the cache that are made anew for another version, each with whether `in_use` lie in it.
pub fn versioned(cache: &Cache, in_use: &[&Path]) -> Vec<(PathBuf, bool)> {
    let installed = std::fs::read_to_string(cache.join(INSTALLED).join("uses")).unwrap_or_default();
    let mut in_use: Vec<&Path> = in_use.to_vec();
    if !installed.trim().is_empty() {
        in_use.push(Path::new(installed.trim()));
    }
    let parts = VERSIONED.iter().flat_map(|start| cache.beginning_with(start));
    let with_use = |part: PathBuf| {
        let is_used = in_use.iter().any(|used| used.starts_with(&part));
        (part, is_used)
    };
    parts.map(with_use).collect()
}

/// Marks what is in use, and removes what nobody uses any more; returns the line that says so.
pub fn sweep(cache: &Cache, in_use: &[&Path]) -> Option<String> {
    let mut removed = Vec::new();
    let mut bytes = 0;
    let mut remove = |path: &Path| {
        let size = Cache::size_of(path);
        let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        if gone.is_ok() {
            bytes += size;
            removed.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    };
    let running = sessions(cache, &mut remove);
    for (part, used) in versioned(cache, in_use) {
        if used || last_used(&part).is_none() {
            drop(File::create(part.join(USED))); // of an earlier version, which did not say: from now on it counts
        } else if !running && last_used(&part).is_some_and(is_long_ago) {
            remove(&part);
        }
    }
    // What a build that was killed has left; an unfinished one is gone on with, unless it is no longer needed.
    if let Some(_lock) = cache.try_lock("evcxr") {
        let left = cache.beginning_with(".evcxr-").into_iter();
        left.filter(|path| !path.ends_with(evcxr::UNFINISHED) || evcxr::path(cache).is_file())
            .for_each(|path| remove(&path));
    }
    let gib = bytes as f64 / f64::from(1 << 30);
    (!removed.is_empty())
        .then(|| format!("removed from the cache what is no longer used: {} ({gib:.1} GiB)", removed.join(", ")))
}

/// Removes the sessions whose kernel is dead, as a starting kernel does; returns whether one is alive.
fn sessions(cache: &Cache, remove: &mut impl FnMut(&Path)) -> bool {
    let mut alive = false;
    let entries = std::fs::read_dir(cache.join("sessions")).into_iter().flatten().flatten();
    for lock in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "lock")) {
        match File::options().append(true).open(&lock) {
            Ok(file) if file.try_lock().is_ok() => {
                let folder = lock.with_extension("");
                if folder.is_dir() {
                    remove(&folder);
                }
                drop(std::fs::remove_file(&lock));
            }
            _ => alive = true,
        }
    }
    alive
}

/// When the part was last used, if it says so.
pub fn last_used(part: &Path) -> Option<SystemTime> {
    part.join(USED).metadata().and_then(|metadata| metadata.modified()).ok()
}

fn is_long_ago(time: SystemTime) -> bool {
    time.elapsed().is_ok_and(|age| age > UNUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Made {
        _folder: tempfile::TempDir,
        cache: Cache,
    }

    impl Made {
        fn new() -> Made {
            let folder = tempfile::tempdir().unwrap();
            Made { cache: Cache { root: folder.path().to_owned() }, _folder: folder }
        }

        fn part(&self, name: &str, days: Option<u64>) -> PathBuf {
            let part = self.cache.join(name);
            std::fs::create_dir_all(&part).unwrap();
            std::fs::write(part.join("file"), "content").unwrap();
            if let Some(days) = days {
                let file = File::create(part.join(USED)).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600)).unwrap();
            }
            part
        }
    }

    #[test]
    fn what_was_not_used_for_long_goes_and_what_is_in_use_stays() {
        let made = Made::new();
        let old = made.part("python-3.11-aaa", Some(15));
        let recent = made.part("kernel-bbb", Some(13));
        let unmarked = made.part("kernel-ccc", None);
        let ours = made.part("kernel-ddd", Some(99));
        let linked = made.part("python-3.12-eee", Some(99));
        let films = made.part("films", Some(99));
        made.part(INSTALLED, None);
        std::fs::write(made.cache.join(INSTALLED).join("uses"), format!("{}\n", linked.join("torch/lib").display()))
            .unwrap();
        let said = sweep(&made.cache, &[&ours.join("kernel.json")]).unwrap();
        assert!(said.contains("python-3.11-aaa") && !said.contains("kernel"), "{said}");
        assert!(!old.exists());
        assert!([&recent, &unmarked, &ours, &linked, &films].iter().all(|part| part.is_dir()));
        assert!(last_used(&unmarked).is_some(), "its time begins");
        assert_eq!(sweep(&made.cache, &[&ours]), None, "nothing is said of nothing");
    }

    #[test]
    fn sessions_of_dead_kernels_go_and_a_running_kernel_keeps_what_it_may_need() {
        let made = Made::new();
        let (dead, alive) = (made.part("sessions/s-dead", None), made.part("sessions/s-alive", None));
        File::create(dead.with_extension("lock")).unwrap();
        let held = File::create(alive.with_extension("lock")).unwrap();
        held.lock().unwrap();
        let old = made.part("kernel-old", Some(15));
        let said = sweep(&made.cache, &[]).unwrap();
        assert!(said.contains("s-dead") && !dead.exists() && !dead.with_extension("lock").exists(), "{said}");
        assert!(alive.exists() && old.exists());
        drop(held);
        let said = sweep(&made.cache, &[]).unwrap();
        assert!(said.contains("s-alive") && said.contains("kernel-old") && !old.exists(), "{said}");
    }

    #[test]
    fn a_killed_build_s_leftovers_go_and_an_unfinished_build_stays_while_it_is_needed() {
        let made = Made::new();
        let (left, unfinished) = (made.part(".evcxr-Xy12", None), made.part(evcxr::UNFINISHED, None));
        let lock = made.cache.lock("evcxr").unwrap();
        assert_eq!(sweep(&made.cache, &[]), None, "somebody builds");
        drop(lock);
        assert!(sweep(&made.cache, &[]).is_some() && !left.exists() && unfinished.exists());
        let program = evcxr::path(&made.cache);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        assert!(sweep(&made.cache, &[]).is_some() && !unfinished.exists());
    }
}
