//! As much of tch as slices and kernels ask for, on memory of Rust's own, so that an interpreter can watch every
//! access.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::c_void;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Uint8,
    Half,
    BFloat16,
    Float,
    Double,
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Kind::Uint8 => 1,
            Kind::Half | Kind::BFloat16 => 2,
            Kind::Float => 4,
            Kind::Double => 8,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Cuda(usize),
}

#[derive(Debug)]
pub struct TchError;
impl std::fmt::Display for TchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no memory")
    }
}

#[derive(Debug)]
struct Memory {
    place: *mut u8,
    layout: Layout,
}
impl Drop for Memory {
    fn drop(&mut self) {
        if !self.place.is_null() {
            unsafe { dealloc(self.place, self.layout) }
        }
    }
}

/// Always contiguous.
#[derive(Debug)]
pub struct Tensor {
    memory: Arc<Memory>,
    start: usize,
    size: Vec<i64>,
    kind: Kind,
}

unsafe impl Send for Tensor {}

impl Tensor {
    pub fn f_empty(size: &[i64], (kind, device): (Kind, Device)) -> Result<Tensor, TchError> {
        assert_eq!(device, Device::Cpu);
        let bytes = size.iter().product::<i64>() as usize * kind.bytes();
        let layout = Layout::from_size_align(bytes, 64).unwrap();
        // As libtorch: no values are nowhere. Not initialised, so that a read of what nobody wrote is seen.
        let place = if bytes == 0 { std::ptr::null_mut() } else { unsafe { alloc(layout) } };
        Ok(Tensor { memory: Arc::new(Memory { place, layout }), start: 0, size: size.to_vec(), kind })
    }
    pub fn from_slice<T: Value>(values: &[T]) -> Tensor {
        let tensor = Tensor::f_empty(&[values.len() as i64], (T::KIND, Device::Cpu)).unwrap();
        if !values.is_empty() {
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), tensor.data_ptr() as *mut T, values.len()) };
        }
        tensor
    }
    pub fn view(mut self, size: &[i64]) -> Tensor {
        assert_eq!(size.iter().product::<i64>(), self.numel() as i64);
        self.size = size.to_vec();
        self
    }
    pub fn shallow_clone(&self) -> Tensor {
        Tensor { memory: self.memory.clone(), size: self.size.clone(), ..*self }
    }
    /// Rows `from..from + count`.
    pub fn rows(&self, from: usize, count: i64) -> Tensor {
        let row: i64 = self.size[1..].iter().product();
        let mut part = self.shallow_clone();
        part.start += from * row as usize * self.kind.bytes();
        part.size[0] = count;
        part
    }
    pub fn size(&self) -> Vec<i64> {
        self.size.clone()
    }
    pub fn stride(&self) -> Vec<i64> {
        Vec::new()
    }
    pub fn kind(&self) -> Kind {
        self.kind
    }
    pub fn device(&self) -> Device {
        Device::Cpu
    }
    pub fn numel(&self) -> usize {
        self.size.iter().product::<i64>() as usize
    }
    pub fn is_contiguous(&self) -> bool {
        true
    }
    pub fn data_ptr(&self) -> *mut c_void {
        self.memory.place.wrapping_add(self.start).cast()
    }
    pub fn to_kind(&self, kind: Kind) -> Tensor {
        assert_eq!((self.kind, kind), (Kind::Double, Kind::Float));
        let values: Vec<f32> = self.numbers().into_iter().map(|x| x as f32).collect();
        Tensor::from_slice(&values).view(&self.size)
    }
    pub fn numbers(&self) -> Vec<f64> {
        let at = |at: usize| unsafe {
            match self.kind {
                Kind::Double => (self.data_ptr() as *const f64).add(at).read(),
                Kind::Float => f64::from((self.data_ptr() as *const f32).add(at).read()),
                Kind::BFloat16 => {
                    f64::from(f32::from_bits(u32::from((self.data_ptr() as *const u16).add(at).read()) << 16))
                }
                _ => f64::from((self.data_ptr() as *const u8).add(at).read()),
            }
        };
        (0..self.numel()).map(at).collect()
    }
}

pub trait Value: Copy {
    const KIND: Kind;
}
impl Value for f32 {
    const KIND: Kind = Kind::Float;
}
impl Value for f64 {
    const KIND: Kind = Kind::Double;
}
impl Value for u8 {
    const KIND: Kind = Kind::Uint8;
}

pub fn get_num_threads() -> i32 {
    3
}
