//! A tensor in words: `tch` itself says its shape and dtype alone.

use tch::{Kind, Tensor};

/// Values that are shown.
const VALUES: i64 = 8;

/// Shape, dtype and device, the range, and the first values in row-major order.
pub(super) fn describe(tensor: &Tensor) -> String {
    if !tensor.defined() {
        return "an undefined tensor".to_owned();
    }
    let _guard = tch::no_grad_guard();
    let head = format!(
        "{:?} {} on {}{}",
        tensor.size(),
        kind(tensor.kind()),
        device(tensor),
        if tensor.requires_grad() { ", with gradient" } else { "" }
    );
    match (tensor.numel(), values(tensor)) {
        (0, _) => format!("{head}, empty"),
        // Complex, quantised and sparse ones.
        (_, Err(_)) => head,
        (_, Ok(told)) => format!("{head}, {told}"),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Uint8 => "u8",
        Kind::Int8 => "i8",
        Kind::Int16 => "i16",
        Kind::Int => "i32",
        Kind::Int64 => "i64",
        Kind::Half => "f16",
        Kind::Float => "f32",
        Kind::Double => "f64",
        Kind::BFloat16 => "bf16",
        Kind::Bool => "bool",
        Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble => "complex",
        Kind::QInt8 | Kind::QUInt8 | Kind::QInt32 => "quantised",
        _ => "of 8 bits",
    }
}

fn device(tensor: &Tensor) -> String {
    match tensor.device() {
        tch::Device::Cpu => "CPU".to_owned(),
        tch::Device::Cuda(number) => format!("CUDA {number}"),
        other => format!("{other:?}"),
    }
}

/// The range of the finite values, how many are not, and the first ones.
fn values(tensor: &Tensor) -> Result<String, tch::TchError> {
    let size = tensor.size();
    let first = (0..VALUES.min(tensor.numel() as i64)).map(|at| tensor.f_double_value(&place(at, &size)));
    let first: Vec<f64> = first.collect::<Result<_, _>>()?;
    if let ([only], true) = (&first[..], tensor.numel() == 1) {
        return Ok(number(*only));
    }
    let list: Vec<String> = first.iter().copied().map(number).collect();
    let more = if tensor.numel() as i64 > VALUES { ", …" } else { "" };
    let list = format!("[{}{more}]", list.join(", "));
    if tensor.kind() == Kind::Bool {
        let yes = tensor.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        return Ok(format!("{yes} of {} true: {list}", tensor.numel()));
    }
    let finite = tensor.f_isfinite()?;
    let odd = tensor.numel() as i64 - finite.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    if odd == tensor.numel() as i64 {
        return Ok(format!("none finite: {list}"));
    }
    let kept = if odd == 0 { tensor.shallow_clone() } else { tensor.f_masked_select(&finite)? };
    let ends = [kept.f_min()?.f_double_value(&[])?, kept.f_max()?.f_double_value(&[])?];
    let odd = if odd == 0 { String::new() } else { format!(", {odd} not finite") };
    let [low, high] = ends.map(number);
    Ok(format!("{low} to {high}{odd}: {list}"))
}

/// The indices of the element that stands at `at` in row-major order.
fn place(mut at: i64, size: &[i64]) -> Vec<i64> {
    let mut indices: Vec<i64> = Vec::with_capacity(size.len());
    for side in size.iter().rev() {
        indices.push(at % side);
        at /= side;
    }
    indices.reverse();
    indices
}

/// Whole numbers as they are, others to four digits.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let digits = value.abs().log10().floor();
    match digits as i32 {
        -3..=3 => format!("{value:.*}", (3 - digits as i32).max(0) as usize),
        _ if value.is_finite() => format!("{value:.3e}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_tensor_says_shape_kind_device_range_and_its_first_values() {
        let ramp = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]) / 4 - 1.0;
        assert_eq!(
            describe(&ramp),
            "[3, 4] f32 on CPU, -1 to 1.750: [-1, -0.7500, -0.5000, -0.2500, 0, 0.2500, 0.5000, 0.7500, …]"
        );
        let across = ramp.tr();
        assert!(describe(&across).ends_with("[-1, 0, 1, -0.7500, 0.2500, 1.250, -0.5000, 0.5000, …]"));
        assert!(describe(&ramp.to_kind(Kind::BFloat16)).starts_with("[3, 4] bf16 on CPU, -1 to 1.750: "));
        assert!(describe(&ramp.set_requires_grad(true)).contains("on CPU, with gradient, "));
    }

    #[test]
    fn odd_tensors_are_described_too() {
        let odd = Tensor::from_slice(&[f32::NAN, 1.0, 3.5, f32::INFINITY]);
        assert_eq!(describe(&odd), "[4] f32 on CPU, 1 to 3.500, 2 not finite: [NaN, 1, 3.500, inf]");
        assert_eq!(describe(&Tensor::from_slice(&[f64::NAN; 2])), "[2] f64 on CPU, none finite: [NaN, NaN]");
        assert_eq!(describe(&Tensor::from(7i64)), "[] i64 on CPU, 7");
        assert_eq!(describe(&Tensor::from(1.5e-9)), "[] f64 on CPU, 1.500e-9");
        assert_eq!(describe(&Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))), "[0, 3] f32 on CPU, empty");
        assert_eq!(describe(&Tensor::from_slice(&[true, false, true])), "[3] bool on CPU, 2 of 3 true: [1, 0, 1]");
        assert_eq!(describe(&Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu))), "[2] complex on CPU");
        assert_eq!(describe(&Tensor::new()), "an undefined tensor");
        assert_eq!(describe(&Tensor::from_slice(&[200u8, 3])), "[2] u8 on CPU, 3 to 200: [200, 3]");
    }

    #[test]
    fn a_look_at_a_tensor_leaves_its_gradient_alone() {
        let weight = Tensor::from_slice(&[2.0f32, 3.0]).set_requires_grad(true);
        describe(&weight);
        (&weight * &weight).sum(Kind::Float).backward();
        assert_eq!(Vec::<f32>::try_from(weight.grad()).unwrap(), [4.0, 6.0]);
    }
}
