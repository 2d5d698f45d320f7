//! Where tensors live, and the libraries that CUDA needs.
//!
//! A plain link of a libtorch program drops `libtorch_cuda` as unneeded, after which CUDA looks absent for good. So we open that library
//! ourselves before anything asks about CUDA: on the first [`resolve`], and inside a notebook as soon as the first cell is loaded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device};

use crate::error::{Error, Result};

/// The device a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA where it works, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda),
            _ => Err(Error::setting("device", "auto, cpu or cuda", text)),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Cuda => "cuda",
        })
    }
}

/// Opens libtorch's CUDA library where it is installed; whether a GPU is there does not matter. Returns whether it is loaded.
pub fn load_cuda_library() -> bool {
    #[cfg(target_os = "linux")]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: libtorch's own library, which any CUDA program of libtorch loads the same way at start.
        match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Never closed: its kernels stay registered for the life of the process.
                std::mem::forget(library);
                true
            }
            Err(_) => false,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

/// In a notebook, runs when the first cell that uses this crate is loaded, before the cell can ask about CUDA by itself.
#[cfg(all(target_os = "linux", feature = "notebook"))]
#[used]
#[unsafe(link_section = ".init_array")]
static LOAD_CUDA_LIBRARY: extern "C" fn() = {
    extern "C" fn load() {
        if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
            load_cuda_library();
        }
    }
    load
};

/// Turns a choice into a device.
///
/// # Errors
/// [`Error::Device`] if CUDA is asked for and does not work here.
pub fn resolve(choice: DeviceChoice) -> Result<Device> {
    if choice == DeviceChoice::Cpu {
        return Ok(Device::Cpu);
    }
    let installed = load_cuda_library();
    if Cuda::is_available() {
        return Ok(Device::Cuda(0));
    }
    match choice {
        DeviceChoice::Cuda => Err(Error::Device {
            wanted: "cuda".to_owned(),
            reason: if installed {
                "libtorch has CUDA, but no NVIDIA GPU or driver answers".to_owned()
            } else {
                "this libtorch was built without CUDA".to_owned()
            },
        }),
        _ => Ok(Device::Cpu),
    }
}

/// The device in words, for example `CPU, 2 threads` or `CUDA device 0`.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cpu => format!("CPU, {} threads", tch::get_num_threads()),
        Device::Cuda(number) => format!("CUDA device {number}"),
        other => format!("{other:?}"),
    }
}
