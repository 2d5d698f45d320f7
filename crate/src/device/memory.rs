//! How much memory this process may still take: what the machine has, and what its container allows.
//!
//! In a container the machine's own figures stand in `/proc/meminfo` all the same; the limit is that of a control
//! group, in version 2 (`memory.max`, `memory.high`) or 1 (`memory.limit_in_bytes`), and each group above it may have a
//! lower one. What a group uses counts less the page cache that the kernel would give back first (`inactive_file`), as
//! Kubernetes counts it.

use std::path::{Path, PathBuf};

/// Bytes of memory that this process can still be given, on Linux: the least that machine and control groups leave;
/// `None` elsewhere.
pub(crate) fn available() -> Option<u64> {
    available_at(Path::new("/"))
}

/// As [`available`], with the system's files below `root`.
fn available_at(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let machine = machine(&read("proc/meminfo")?)?;
    let groups =
        groups(&read("proc/self/cgroup").unwrap_or_default(), &read("proc/self/mountinfo").unwrap_or_default());
    let left = groups.iter().filter_map(|group| group.left(root)).min();
    Some(left.map_or(machine, |left| left.min(machine)))
}

fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The names of a version's files.
#[derive(Debug)]
struct MemoryFiles {
    limits: &'static [&'static str],
    usage: &'static str,
    cache: &'static str,
}

static VERSION_1: MemoryFiles =
    MemoryFiles { limits: &["memory.limit_in_bytes"], usage: "memory.usage_in_bytes", cache: "total_inactive_file" };
static VERSION_2: MemoryFiles =
    MemoryFiles { limits: &["memory.max", "memory.high"], usage: "memory.current", cache: "inactive_file" };

/// The control group that a process is in, within what is mounted of its hierarchy.
#[derive(Debug)]
struct ControlGroup {
    /// Where the hierarchy, or a part of it, is mounted.
    mount: PathBuf,
    /// The group, relative to that.
    below: PathBuf,
    names: &'static MemoryFiles,
}

impl ControlGroup {
    /// The least that this group and those above it leave; `None` where none has a limit.
    fn left(&self, root: &Path) -> Option<u64> {
        let mount = root.join(self.mount.strip_prefix("/").unwrap_or(&self.mount));
        self.below.ancestors().filter_map(|group| self.left_in(&mount.join(group))).min()
    }

    fn left_in(&self, group: &Path) -> Option<u64> {
        let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
        // `max` is no number, and version 1 says "no limit" by one beyond any machine.
        let limit = self.names.limits.iter().filter_map(|name| read(name)?.trim().parse::<u64>().ok()).min()?;
        let used: u64 = read(self.names.usage)?.trim().parse().ok()?;
        let stat = read("memory.stat").unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.names.cache)?.trim().parse::<u64>().ok());
        Some(limit.saturating_sub(used.saturating_sub(cache.unwrap_or(0))))
    }
}

/// The groups of this process that may limit its memory, by `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<ControlGroup> {
    let mut groups = Vec::new();
    for line in mountinfo.lines() {
        // 30 23 0:26 ROOT MOUNT OPTIONS [TAGS…] - TYPE SOURCE SUPER-OPTIONS
        let Some((mounted, kind)) = line.split_once(" - ") else { continue };
        let mut kind = kind.split(' ');
        let names = match (kind.next(), kind.nth(1)) {
            (Some("cgroup2"), _) => &VERSION_2,
            (Some("cgroup"), Some(options)) if options.split(',').any(|option| option == "memory") => &VERSION_1,
            _ => continue,
        };
        let mut fields = mounted.split(' ').skip(3);
        let (Some(part), Some(mount)) = (fields.next(), fields.next()) else { continue };
        let own = cgroup.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_ours = match names.usage {
                "memory.current" => controllers.is_empty(),
                _ => controllers.split(',').any(|controller| controller == "memory"),
            };
            is_ours.then_some(path)
        });
        // Seen from inside a container the path may be the host's, of which nothing but the group itself is mounted.
        let below = Path::new(own.unwrap_or("/")).strip_prefix(part).map(Path::to_owned).unwrap_or_default();
        let climbs = below.components().any(|part| part.as_os_str() == "..");
        let below = if climbs { PathBuf::new() } else { below };
        groups.push(ControlGroup { mount: PathBuf::from(unescaped(mount)), below, names });
    }
    groups
}

/// Blanks and the like stand in `mountinfo` as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       65536 kB\nMemFree:  1 kB\nMemAvailable:   32768 kB\n";
    const MIB: u64 = 1 << 20;

    /// A system's files below a folder of their own.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [&[("proc/meminfo", MEMINFO)], files].concat() {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn available(files: &[(&str, &str)]) -> Option<u64> {
        available_at(system(files).path())
    }

    const MOUNT_2: (&str, &str) =
        ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");

    #[test]
    fn without_a_limit_the_machine_decides() {
        assert_eq!(available(&[]), Some(32 * MIB));
        let free = [
            MOUNT_2,
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.current", "5\n"),
        ];
        assert_eq!(available(&free), Some(32 * MIB));
        assert_eq!(available_at(Path::new("/nowhere")), None);
    }

    #[test]
    fn the_limit_of_a_container_counts_and_its_page_cache_does_not() {
        let files = [
            MOUNT_2,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "16777216\n"),
            ("sys/fs/cgroup/memory.current", "12582912\n"),
            ("sys/fs/cgroup/memory.stat", "anon 1\nactive_file 7\ninactive_file 4194304\n"),
        ];
        assert_eq!(available(&files), Some(8 * MIB));
        let more_than_all = [&files[..], &[("sys/fs/cgroup/memory.max", "1048576\n")]].concat();
        assert_eq!(available(&more_than_all), Some(0));
        let soft = [&files[..], &[("sys/fs/cgroup/memory.high", "10485760\n")]].concat();
        assert_eq!(available(&soft), Some(2 * MIB));
    }

    #[test]
    fn the_narrowest_of_nested_groups_decides() {
        let files = [
            MOUNT_2,
            ("proc/self/cgroup", "0::/slice/job/step\n"),
            ("sys/fs/cgroup/slice/memory.max", "20971520\n"),
            ("sys/fs/cgroup/slice/memory.current", "16777216\n"),
            ("sys/fs/cgroup/slice/job/memory.max", "16777216\n"),
            ("sys/fs/cgroup/slice/job/memory.current", "1048576\n"),
            ("sys/fs/cgroup/slice/job/step/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/job/step/memory.current", "1048576\n"),
        ];
        assert_eq!(available(&files), Some(4 * MIB));
    }

    #[test]
    fn version_1_counts_also_where_only_a_part_of_it_is_mounted() {
        // Docker without a namespace for groups: the path is the host's, the mount shows the container's group alone.
        let files = [
            (
                "proc/self/mountinfo",
                "40 30 0:33 /docker/ab /sys/fs/cgroup/memory ro master:15 - cgroup cgroup rw,memory\n\
                 41 30 0:34 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n",
            ),
            ("proc/self/cgroup", "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab/sub\n0::/system\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8388608\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "4194304\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576\n"),
            ("sys/fs/cgroup/memory/sub/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/sub/memory.usage_in_bytes", "4194304\n"),
        ];
        assert_eq!(available(&files), Some(5 * MIB));
        let elsewhere = [&files[..], &[("proc/self/cgroup", "4:memory:/kubepods/other\n")]].concat();
        assert_eq!(available(&elsewhere), Some(5 * MIB));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory() {
        let available = super::available().unwrap();
        assert!(available > 16 * MIB, "{available}");
    }
}
