//! Memory that runs out: libtorch tells of it by an error or, through calls that cannot fail, by a panic.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tch::{Device, Kind};

use crate::device::memory;
use crate::error::{Error, Result};
use crate::recipe::Recipe;

/// Does `act`; where it fails or panics for want of memory, returns [`Error::Memory`] in libtorch's words, shortened.
///
/// # Errors
/// Those of `act`.
///
/// # Panics
/// If `act` does, for another reason.
pub fn told<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Err(Error::Torch(error))) => match in_words(&error.to_string()) {
            Some(words) => Err(Error::Memory(words)),
            None => Err(Error::Torch(error)),
        },
        Ok(done) => done,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            match text.or(panic.downcast_ref::<&str>().copied()).and_then(in_words) {
                Some(words) => Err(Error::Memory(words)),
                None => resume_unwind(panic),
            }
        }
    }
}

/// Refuses a training step on the CPU that cannot fit: one whose films and first feature maps, a small part of what it
/// needs, are more than this process can be given. Where memory is promised freely, or a container has a limit, such a
/// step would be killed without a message.
pub(crate) fn refuse_hopeless(recipe: &Recipe, device: Device, kind: Kind) -> Result<()> {
    let Some(available) = memory::available().filter(|_| device == Device::Cpu) else { return Ok(()) };
    let (batch, size) = (recipe.batch_size as u64, u64::from(recipe.preprocess.size));
    // The films in f32, and 64 maps of half the side in the kind that is computed in.
    let of_a_pixel = 4 * u64::from(recipe.preprocess.channels) + 16 * kind.elt_size_in_bytes() as u64;
    let least = batch.saturating_mul(size * size).saturating_mul(of_a_pixel);
    if least <= available {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (least, available) = (gib(least), gib(available));
    Err(Error::Memory(format!(
        "a step needs {least:.1} GiB and far more, and {available:.1} GiB are left; a smaller batch (--batch, now \
         {batch}) or film size (--size, now {size}) takes less"
    )))
}

/// What a failure says of memory, short; `None` if it is of something else.
fn in_words(text: &str) -> Option<String> {
    if !is_memory(text) {
        return None;
    }
    let after = |words: &str| text.split_once(words).map(|(_, rest)| rest);
    if let Some(rest) = after("tried to allocate ").or(after("Tried to allocate ")) {
        let amount: Vec<&str> = rest.split([' ', '.', ',']).take(1).collect();
        if let Ok(bytes) = amount.concat().parse::<u64>()
            && rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" bytes")
        {
            return Some(format!("{:.2} GiB more could not be had", bytes as f64 / f64::from(1 << 30)));
        }
        let words: Vec<&str> = rest.split_whitespace().take(2).collect();
        return Some(format!("{} more could not be had on the GPU", words.join(" ").trim_end_matches('.')));
    }
    Some("no more could be had".to_owned())
}

/// Whether the text of a failure or of a panic is about memory that could not be had.
pub fn is_memory(text: &str) -> bool {
    const SIGNS: [&str; 8] = [
        // oneDNN has one text for every failure; of shapes that were checked, memory is the one that is left.
        "could not create a primitive",
        "could not create a memory",
        "out of memory",
        "out_of_memory",
        "can't allocate memory",
        "bad_alloc",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn libtorchs_failures_to_get_memory_are_told_from_others() {
        // More than any machine's addresses.
        let size = [1 << 40, 1 << 14];
        let failed = told(|| Ok(Tensor::f_zeros(size, (Kind::Float, Device::Cpu))?)).unwrap_err();
        assert_eq!(failed.to_string(), "out of memory: 67108864.00 GiB more could not be had");
        let panicked = told(|| Ok(Tensor::zeros(size, (Kind::Float, Device::Cpu)))).unwrap_err();
        assert_eq!(panicked.to_string(), failed.to_string());
        let other = told(|| Ok(Tensor::f_zeros([2], (Kind::Float, Device::Cpu))?.f_view([3])?)).unwrap_err();
        assert!(matches!(other, Error::Torch(_)), "{other}");
        assert_eq!(told(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_step_that_cannot_fit_is_refused_before_it_is_tried() {
        let mut recipe = Recipe::default();
        refuse_hopeless(&recipe, Device::Cpu, Kind::Float).unwrap();
        (recipe.batch_size, recipe.preprocess.size) = (4096, 4096);
        let line = refuse_hopeless(&recipe, Device::Cpu, Kind::Float).unwrap_err().to_string();
        assert!(
            line.starts_with("out of memory: a step needs 4864.0 GiB and far more") && !line.contains('\n'),
            "{line}"
        );
        refuse_hopeless(&recipe, Device::Cuda(0), Kind::Float).unwrap();
    }

    #[test]
    fn what_a_gpu_says_is_understood() {
        let words = in_words("CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 79 GiB");
        assert_eq!(words.as_deref(), Some("20.50 GiB more could not be had on the GPU"));
        assert_eq!(in_words("std::bad_alloc").as_deref(), Some("no more could be had"));
        assert_eq!(in_words("could not create a primitive").as_deref(), Some("no more could be had"));
        assert_eq!(in_words("index out of range"), None);
    }
}
