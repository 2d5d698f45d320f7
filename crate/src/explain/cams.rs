//! Maps of an activation `[N, C, h, w]` and the target's slope there, of the same shape: formulas of the papers that
//! [`Method`] names.

use tch::{Kind, Tensor};

use super::Method;

pub(super) fn needs_gradients(method: Method) -> bool {
    !matches!(method, Method::ScoreCam | Method::AblationCam | Method::EigenCam)
}

/// `[N, h, w]`, signed. `gradient` is there for the methods that need one.
pub(super) fn map(method: Method, activation: &Tensor, gradient: Option<&Tensor>) -> Tensor {
    let Some(gradient) = gradient else { return eigen_cam(activation) };
    match method {
        Method::GradCamPlusPlus => weighed(activation, &plus_plus(activation, gradient)),
        Method::HiResCam => channels(&(activation * gradient)),
        Method::LayerCam => channels(&(activation * gradient.relu())),
        Method::XGradCam => {
            let sums = activation.sum_dim_intlist([2, 3].as_slice(), true, Kind::Float) + 1e-7;
            let shares = activation / sums;
            weighed(activation, &(gradient * shares).sum_dim_intlist([2, 3].as_slice(), true, Kind::Float))
        }
        _ => weighed(activation, &gradient.mean_dim([2, 3].as_slice(), true, Kind::Float)),
    }
}

/// The sum over the channels.
fn channels(xs: &Tensor) -> Tensor {
    xs.sum_dim_intlist([1].as_slice(), false, Kind::Float)
}

/// The channels' sum with weights `[N, C, 1, 1]`.
pub(super) fn weighed(activation: &Tensor, weights: &Tensor) -> Tensor {
    let size = activation.size();
    let flat = activation.flatten(2, 3);
    weights.to_kind(activation.kind()).view([size[0], 1, size[1]]).bmm(&flat).view([size[0], size[2], size[3]])
}

/// Equation 19 of the paper, with an exponential on top of the score, whose derivatives are powers of the gradient.
fn plus_plus(activation: &Tensor, gradient: &Tensor) -> Tensor {
    let square = gradient.square();
    let sums = activation.sum_dim_intlist([2, 3].as_slice(), true, Kind::Float);
    let shares = &square / (&square * 2.0 + sums * &square * gradient + 1e-6);
    (shares * gradient.relu()).sum_dim_intlist([2, 3].as_slice(), true, Kind::Float)
}

/// The projection of each place's channels, less their mean, on their first principal component.
fn eigen_cam(activation: &Tensor) -> Tensor {
    let size = activation.size();
    let places = activation.flatten(2, 3).transpose(1, 2).to_kind(Kind::Double);
    let centred = &places - places.mean_dim([1].as_slice(), true, Kind::Double);
    // Of the places' scalar products, `[N, h·w, h·w]`, or the channels', whichever is smaller, the first eigenvector.
    let transposed = centred.transpose(1, 2);
    let projection = if size[2] * size[3] <= size[1] {
        let (values, vectors) = centred.bmm(&transposed).linalg_eigh("L");
        let last = values.size()[1] - 1;
        vectors.select(2, last) * values.select(1, last).clamp_min(0.0).sqrt().unsqueeze(1)
    } else {
        let (values, vectors) = transposed.bmm(&centred).linalg_eigh("L");
        centred.bmm(&vectors.narrow(2, values.size()[1] - 1, 1)).squeeze_dim(2)
    };
    let (high, low) = (projection.amax([1], true), projection.amin([1], true));
    let sign = high.ge_tensor(&-low).to_kind(Kind::Double) * 2.0 - 1.0;
    (projection * sign).view([size[0], size[2], size[3]]).to_kind(Kind::Float)
}
