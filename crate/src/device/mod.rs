//! Where tensors live, and the libraries that CUDA needs.
//!
//! A plain link of a libtorch program drops `libtorch_cuda` as unneeded, after which CUDA looks absent for good. So we
//! open that library ourselves before anything asks about CUDA: on the first [`resolve`], and inside a notebook as soon
//! as the first cell is loaded.

use std::ffi::c_int;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind};

pub(crate) mod memory;

use crate::counted;
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
        Error::named("device", "auto, cpu or cuda", text)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Opens libtorch's CUDA library where it is installed; whether a GPU is there does not matter. Returns whether it is
/// loaded.
pub fn load_cuda_library() -> bool {
    #[cfg(target_os = "linux")]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: what runs when it is loaded registers kernels and devices with libtorch, which is loaded already, as
        // this crate is linked to it; any CUDA program of libtorch loads it the same way at start. Its name is found
        // where libtorch's own is.
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

/// In a notebook, runs when the first cell that uses this crate is loaded, before the cell can ask about CUDA by
/// itself.
#[cfg(all(target_os = "linux", feature = "notebook"))]
#[used]
// SAFETY: the section holds addresses of functions that the loader calls without looking at what they return, as this
// one is. Arguments that it passes are left alone, and nothing unwinds out of a function of C's, it would end the
// process.
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

/// The dtype of feature maps; weights, statistics, losses and updates are always `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// [`Bf16`](Self::Bf16) where the processor computes with it (x86 with AVX-512-BF16, NVIDIA from Ampere on), else
    /// [`Fp32`](Self::Fp32).
    #[default]
    Auto,
    /// 32 bits: `f32`. The same seed gives the same bits on a CPU.
    Fp32,
    /// 16 bits with the range of `f32`, twice to three times as fast where there are instructions for it.
    Bf16,
}

impl Precision {
    /// The dtype to compute in on `device`.
    pub fn kind(self, device: Device) -> Kind {
        match self {
            Precision::Auto if computes_in_bf16(device) => Kind::BFloat16,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Auto | Precision::Fp32 => Kind::Float,
        }
    }

    /// The precision of this dtype.
    pub(crate) fn of(kind: Kind) -> Precision {
        if kind == Kind::BFloat16 { Precision::Bf16 } else { Precision::Fp32 }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Error::named("precision", "auto, fp32 or bf16", text)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

fn computes_in_bf16(device: Device) -> bool {
    match device {
        #[cfg(target_arch = "x86_64")]
        Device::Cpu => std::is_x86_feature_detected!("avx512bf16"),
        Device::Cuda(number) => compute_capability(number).is_some_and(|major| major >= 8),
        _ => false,
    }
}

/// NVIDIA's driver, which libtorch has loaded and initialised where there is a CUDA device to ask about.
fn driver() -> Option<libloading::Library> {
    let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    // SAFETY: it is loaded already and stays when this handle is dropped, as libtorch keeps its own. Where someone asks
    // about a device that is not there, it is loaded as any program of CUDA does, answers with an error, as nobody has
    // initialised it, and is unloaded.
    unsafe { libloading::Library::new(name) }.ok()
}

/// The first number of a CUDA device's compute capability: 8 for Ampere.
fn compute_capability(number: usize) -> Option<i32> {
    /// `cuDeviceGetAttribute`: writes an attribute of a device to an address, and returns 0 if it could.
    type GetAttribute = unsafe extern "C" fn(&mut c_int, c_int, c_int) -> c_int;
    /// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`.
    const MAJOR: c_int = 75;
    let driver = driver()?;
    // SAFETY: the function's signature, in every version of CUDA.
    let ask = unsafe { driver.get::<GetAttribute>(b"cuDeviceGetAttribute\0") }.ok()?;
    let (mut major, number) = (0, c_int::try_from(number).ok()?);
    // SAFETY: it writes one `int`, or nothing, and refuses numbers of devices that are not there.
    let answer = unsafe { ask(&mut major, MAJOR, number) };
    (answer == 0).then_some(major)
}

/// Bytes free on a CUDA device, as its driver counts them; `None` for a CPU, and where the driver does not tell.
pub fn free_memory(device: Device) -> Option<u64> {
    /// `cuMemGetInfo_v2`: writes free and whole memory of the device that is current on this thread, and returns 0 if
    /// it could.
    type GetMemory = unsafe extern "C" fn(&mut usize, &mut usize) -> c_int;
    let Device::Cuda(_) = device else { return None };
    // Asked of the driver itself, whose name is the same in every version of CUDA. libtorch makes the device current on
    // this thread when it first allocates there.
    drop(tch::Tensor::f_zeros([1], (tch::Kind::Uint8, device)).ok()?);
    let driver = driver()?;
    // SAFETY: the function's signature since CUDA 4, whose `size_t` is `usize`.
    let ask = unsafe { driver.get::<GetMemory>(b"cuMemGetInfo_v2\0") }.ok()?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: it writes these two, or nothing, and refuses where no device is current.
    let answer = unsafe { ask(&mut free, &mut total) };
    (answer == 0).then_some(free as u64)
}

/// Bytes of memory that this process can still be given without swapping, on Linux: what the machine has, or what its
/// container's limit leaves if that is less. `None` elsewhere.
pub fn available_memory() -> Option<u64> {
    crate::device::memory::available()
}

/// Lets glibc keep what is freed instead of giving it back to the system: each step frees and takes the same feature
/// maps, and new pages have to be cleared first, which is a tenth of a training step on a CPU.
///
/// Memory therefore stays at its peak after training. What the user has set by `MALLOC_MMAP_THRESHOLD_` or
/// `MALLOC_TRIM_THRESHOLD_` stays.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            /// The largest that glibc takes: 4 MiB times the size of a `long`.
            const LARGEST: libc::c_int = 32 << 20;
            if ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].iter().any(|name| std::env::var_os(name).is_some())
            {
                return;
            }
            for (parameter, value) in [(libc::M_MMAP_THRESHOLD, LARGEST), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)] {
                // SAFETY: sets a parameter of glibc's allocator under its own lock; one that it refuses stays as it
                // was.
                unsafe { libc::mallopt(parameter, value) };
            }
        });
    }
}

/// The device and the precision in words, for example `CPU, 2 threads, fp32`.
pub(crate) fn computing(device: Device, kind: Kind) -> String {
    format!("{}, {}", describe(device), Precision::of(kind))
}

/// The device in words, for example `CPU, 2 threads` or `CUDA device 0`.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cpu => format!("CPU, {}", counted(tch::get_num_threads().max(1) as usize, "thread")),
        Device::Cuda(number) => format!("CUDA device {number}"),
        other => format!("{other:?}"),
    }
}
