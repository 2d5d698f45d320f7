//! How much memory this process takes.

use serde::{Deserialize, Serialize};

/// Memory of this process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// In RAM now (Linux' `VmRSS`).
    pub resident: u64,
    /// The most that was in RAM at any time (`VmHWM`).
    pub peak: u64,
}

/// What the operating system says, on Linux; `None` elsewhere.
pub fn memory() -> Option<Memory> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_figures_are_read() {
        let status = "Name:\thumerus\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t2\n";
        assert_eq!(parse(status), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse("Name: x"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_buffer_in_use_is_counted() {
        let before = memory().unwrap().resident;
        let buffer = std::hint::black_box(vec![1u8; 64 << 20]);
        let with = memory().unwrap();
        assert!(with.resident >= before + (48 << 20) && with.peak >= with.resident, "{before} {with:?}");
        drop(buffer);
    }
}
