use tch::{Device, Kind, Tensor};

use super::*;
use crate::network::{Architecture, Classifier, Head, Unfreeze};
use studies::Label;

const LINEAR: Head = Head::Linear { classes: 2 };
const REFERENCE: Head = Head::Reference { classes: 2 };

fn network(head: Head) -> Classifier {
    Classifier::new(Architecture::DenseNet121, head, 3, Device::Cpu)
}

fn batch() -> Tensor {
    (Tensor::arange(2 * 3 * 64 * 96, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 3, 64, 96])
}

/// Quick settings, with a chunk that cuts through films and channels.
fn quick(layer: &str) -> MapOptions {
    MapOptions { chunk: 5, window: Some(32), stride: Some(32), steps: 3, samples: 2, ..MapOptions::at(layer) }
}

/// A layer of 32 channels, so that a pass for each of them is soon done.
const FEW: &str = "features.denseblock4.denselayer16.conv2";

fn values(xs: &Tensor) -> Vec<f64> {
    Vec::try_from(xs.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// The film 0, 1, …, 15 of 4 × 4 through Captum's toy network: two filters of 3 × 3 ones with biases −50 and −75, a
/// ReLU, and a linear layer that adds the first five numbers and subtracts the last three. The maps are those that
/// Captum's own tests state for its LayerGradCam.
#[test]
fn grad_cam_of_captums_toy_network_is_what_its_tests_say() {
    let film = Tensor::arange(16, (Kind::Float, Device::Cpu)).view([1, 1, 4, 4]);
    let ones = Tensor::ones([2, 1, 3, 3], (Kind::Float, Device::Cpu));
    let bias = Tensor::from_slice(&[-50.0f32, -75.0]);
    let conv = film.conv2d(&ones, Some(&bias), [1, 1], [0, 0], [1, 1], 1).set_requires_grad(true);
    let relu = conv.relu();
    let weights = Tensor::from_slice(&[1.0f32, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0]);
    let score = (relu.view([8]) * weights).sum(Kind::Float);
    let gradients = Tensor::run_backward(&[score], &[&conv, &relu], false, false);
    let map = |at: &Tensor, gradient| cams::map(Method::GradCam, &at.detach(), Some(gradient));
    assert_eq!(values(&map(&conv, &gradients[0])), [11.25, 13.5, 20.25, 22.5]);
    assert_eq!(values(&map(&relu, &gradients[1])), [0.0, 4.0, 28.0, 32.5]);
}

/// Worked by hand: one channel, two places, activations 1 and 3, gradients 2 and −1.
#[test]
fn every_formula_gives_the_number_worked_by_hand() {
    let shape = [1, 1, 1, 2];
    let activation = Tensor::from_slice(&[1.0f32, 3.0]).view(shape);
    let gradient = Tensor::from_slice(&[2.0f32, -1.0]).view(shape);
    let near = |method: Method, want: [f64; 2]| {
        let found = values(&cams::map(method, &activation, Some(&gradient)));
        assert!(found.iter().zip(want).all(|(f, w)| (f - w).abs() < 1e-5), "{method}: {found:?} {want:?}");
    };
    near(Method::GradCam, [0.5, 1.5]);
    near(Method::HiResCam, [2.0, -3.0]);
    near(Method::LayerCam, [2.0, 0.0]);
    // The share of each place of the activation's sum 4: 2 · 1/4 − 1 · 3/4.
    near(Method::XGradCam, [-0.25, -0.75]);
    // g² / (2 g² + Σa g³) = 4 / (8 + 32) at the first place; the second has no positive gradient. Times 2.
    near(Method::GradCamPlusPlus, [0.2, 0.6]);
    // The only channel less its mean, its largest value positive.
    let found = values(&cams::map(Method::EigenCam, &activation, None));
    assert!((found[0].abs() - 1.0).abs() < 1e-5 && (found[0] + found[1]).abs() < 1e-5, "{found:?}");
}

/// With average pooling and one linear layer, the gradient at the last map is the class' weight over the area, so
/// Grad-CAM equals the classic CAM (Zhou et al., arXiv:1512.04150), an independent formula; and HiResCAM equals both.
#[test]
fn grad_cam_at_the_last_map_is_the_classic_cam() {
    let model = network(LINEAR);
    for class in Label::ALL {
        let options = MapOptions { target: Target::Logit(class.index() as i64), ..MapOptions::at("features.relu5") };
        let _guard = tch::no_grad_guard();
        let activation = model.activation(&batch(), "features.relu5").unwrap();
        let weights = model.variables().iter().find(|v| v.name == "classifier.weight").unwrap();
        let weights = weights.tensor.get(class.index() as i64).view([1, -1, 1, 1]);
        let cam = (activation * weights).sum_dim_intlist([1].as_slice(), false, Kind::Float) / 6.0;
        for method in [Method::GradCam, Method::HiResCam] {
            let found = heat_maps(&model, &batch(), method, &options).unwrap();
            assert!(found.layers[0].raw.allclose(&cam, 1e-3, 1e-5, false), "{class} {method}");
        }
    }
}

/// What is said without a backward pass is what a backward pass says.
#[test]
fn the_slope_known_in_closed_form_is_that_of_the_backward_pass() {
    let model = network(LINEAR);
    let layers = ["features.denseblock4", "features.norm5", "features.relu5"];
    for target in [Target::default(), Target::Logit(0), Target::ProbabilityDifference(Label::Normal)] {
        let names = layers.map(str::to_owned);
        let known = layered::seen(&model, &batch(), &names, Some(&target)).unwrap();
        // A layer further up has no closed form, so that all of them are differentiated.
        let all = ["features.denseblock3", layers[0], layers[1], layers[2]].map(str::to_owned);
        let slow = layered::seen(&model, &batch(), &all, Some(&target)).unwrap();
        for (at, layer) in layers.iter().enumerate() {
            assert!(known.activations[at].allclose(&slow.activations[at + 1], 1e-3, 1e-4, false), "{layer}");
            let (found, want) = (&known.gradients[at], &slow.gradients[at + 1]);
            let off = (found - want).abs().max().double_value(&[]) / want.abs().max().double_value(&[]);
            assert!(off < 1e-3, "{layer} {target}: {off}");
        }
    }
}

#[test]
fn every_method_gives_a_map_for_every_film_whatever_the_chunk_and_the_company() {
    for head in [LINEAR, REFERENCE] {
        let model = network(head);
        for method in Method::ALL.into_iter().filter(|method| head == LINEAR || method.is_of_layers()) {
            let options = quick(FEW);
            let whole = heat_maps(&model, &batch(), method, &options).unwrap();
            let side = if method.is_of_layers() { [2, 2, 3] } else { [2, 64, 96] };
            assert_eq!(whole.layers[0].raw.size(), side, "{method}");
            let scaled = whole.scaled();
            assert!(scaled.min().double_value(&[]) >= 0.0 && scaled.max().double_value(&[]) <= 1.0, "{method}");
            let alone = MapOptions { chunk: 1, ..quick(FEW) };
            let second = heat_maps(&model, &batch().narrow(0, 1, 1), method, &alone).unwrap();
            let (one, other) = (second.layers[0].raw.get(0), whole.layers[0].raw.get(1));
            let off = (&one - &other).abs().max().double_value(&[]) / other.abs().max().double_value(&[]);
            assert!(off < 2e-3, "{method} {head:?}: {off}");
            assert!(whole.to_string().starts_with(&format!("{method} of 2 films for abnormal")), "{whole}");
        }
    }
}

/// Ablation by the head alone, and by the rest of the network, beside the whole network with a layer replaced.
#[test]
fn ablation_is_the_same_whichever_part_of_the_network_is_run() {
    for head in [LINEAR, REFERENCE] {
        let model = network(head);
        let film = batch().narrow(0, 0, 1);
        let layers = ["features.denseblock4", "features.norm5", "features.relu5", "features.transition3.pool"];
        for layer in if head == LINEAR { &layers } else { &layers[..3] } {
            let layer = *layer;
            let _guard = tch::no_grad_guard();
            let activation = model.activation(&film, layer).unwrap();
            let logits = model.predict(&film).unwrap();
            let options = MapOptions { chunk: 200, ..MapOptions::default() };
            let fast = ablation::weights(&model, &film, layer, &activation, &logits, &options).unwrap();
            let largest = fast.abs().max().double_value(&[]);
            let target = Target::default();
            for channel in (0..activation.size()[1]).step_by(211) {
                let mut without = |xs: Tensor| {
                    let _ = xs.select(1, channel).zero_();
                    xs
                };
                let logits_without = model.logits_with(&film, layer, &mut without).unwrap();
                let lost = target.of(&logits).unwrap() - target.of(&logits_without).unwrap();
                let off = (lost.double_value(&[0]) - fast.double_value(&[0, channel])).abs();
                assert!(off < 1e-2 * largest + 1e-6, "{layer} {head:?} channel {channel}: {off}, largest {largest}");
            }
        }
    }
}

#[test]
fn explaining_leaves_weights_gradients_statistics_and_modes_as_they_were() {
    let model = network(LINEAR);
    let before: Vec<(Tensor, bool)> =
        model.variables().iter().map(|v| (v.tensor.copy(), v.tensor.requires_grad())).collect();
    let random = || tch::no_grad(|| values(&Tensor::rand([3], (Kind::Float, Device::Cpu))));
    tch::manual_seed(4);
    let expected = random();
    tch::manual_seed(4);
    for method in Method::ALL {
        let _ = heat_maps(&model, &batch(), method, &quick(FEW)).unwrap();
    }
    assert_eq!(random(), expected, "the generator has not moved");
    assert!((Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true) * 2.0).requires_grad());
    for (variable, (old, learnt)) in model.variables().iter().zip(&before) {
        assert!(variable.tensor.equal(old), "{}", variable.name);
        assert_eq!(variable.tensor.requires_grad(), *learnt, "{}", variable.name);
        assert!(!variable.tensor.grad().defined(), "{}", variable.name);
    }
}

#[test]
fn maps_are_the_same_inside_no_grad_and_on_a_frozen_network() {
    let mut model = network(LINEAR);
    let layers = ["features.denseblock1", "features.denseblock2.denselayer3.conv2", "features.transition3.pool"];
    let options = MapOptions { layers: layers.map(str::to_owned).to_vec(), ..MapOptions::default() };
    let of = |model: &Classifier| heat_maps(model, &batch(), Method::GradCam, &options).unwrap();
    let free = of(&model);
    model.unfreeze(Unfreeze::Head).unwrap();
    let _guard = tch::no_grad_guard();
    let frozen = of(&model);
    for (one, other) in free.layers.iter().zip(&frozen.layers) {
        assert!(one.raw.allclose(&other.raw, 1e-3, 1e-9, false), "{}", one.layer);
        assert!(one.raw.abs().max().double_value(&[]) > 0.0, "{}", one.layer);
    }
    assert_eq!(free.scaled().size(), [2, 16, 24]);
}

#[test]
fn integrated_gradients_add_up_and_say_by_how_much_they_miss() {
    let model = network(LINEAR);
    // A random network is nearly straight on the way from grey to a film; this target is not.
    let steep =
        Target::scalar("odds to the tenth", |logits| ((logits.select(1, 1) - logits.select(1, 0)) * 10.0).exp());
    let few = MapOptions { target: steep.clone(), ..quick(FEW) };
    let few = heat_maps(&model, &batch(), Method::IntegratedGradients, &few).unwrap();
    let many = MapOptions { steps: 24, chunk: 16, target: steep.clone(), ..MapOptions::default() };
    let many = heat_maps(&model, &batch(), Method::IntegratedGradients, &many).unwrap();
    let error = |maps: &HeatMaps| maps.completeness.as_ref().unwrap().iter().map(|it| it.error().abs()).sum::<f64>();
    assert!(error(&many) < 0.5 * error(&few) && error(&many) > 0.0, "{many} {few}");
    let told = many.completeness.as_ref().unwrap()[1];
    let logits = values(&model.predict(&batch()).unwrap());
    let nothing = values(&model.predict(&batch().zeros_like()).unwrap());
    let of = |normal: f64, abnormal: f64| (10.0 * (abnormal - normal)).exp();
    assert!((told.gain - of(logits[2], logits[3]) + of(nothing[2], nothing[3])).abs() < 1e-3, "{told}");
    assert!((told.sum - many.layers[0].raw.get(1).sum(Kind::Double).double_value(&[])).abs() < 1e-4, "{told}");
}

#[test]
fn occlusion_of_everything_is_what_the_target_gains_from_the_baseline() {
    let model = network(LINEAR);
    let film = batch().narrow(3, 0, 64);
    let white = Tensor::ones([3, 1, 1], (Kind::Float, Device::Cpu));
    let options = MapOptions { window: Some(64), stride: Some(64), baseline: Some(white), ..MapOptions::default() };
    let found = heat_maps(&model, &film, Method::Occlusion, &options).unwrap();
    let target = Target::default();
    let of = |films: &Tensor| target.of(&model.predict(films).unwrap()).unwrap();
    let want = (of(&film) - of(&film.ones_like())).view([2, 1, 1]);
    assert!((&found.layers[0].raw - want).abs().max().double_value(&[]) < 1e-5);
    let wide = MapOptions { window: Some(65), ..MapOptions::default() };
    let error = heat_maps(&model, &film, Method::Occlusion, &wide).unwrap_err().to_string();
    assert_eq!(error, "window: expected 1 to 64 pixels, got 65");
    let wrong = MapOptions { baseline: Some(Tensor::ones([5], (Kind::Float, Device::Cpu))), ..MapOptions::default() };
    assert!(heat_maps(&model, &film, Method::Occlusion, &wrong).unwrap_err().to_string().starts_with("baseline"));
}

#[test]
fn smooth_grad_without_noise_is_the_size_of_the_gradient() {
    let model = network(LINEAR);
    let options = MapOptions { noise: 0.0, samples: 2, ..MapOptions::default() };
    let smooth = heat_maps(&model, &batch(), Method::SmoothGrad, &options).unwrap();
    let product = heat_maps(&model, &batch(), Method::InputTimesGradient, &options).unwrap();
    // Of one grey, the same in all channels, input times gradient is the grey times their sum.
    let grey = batch().narrow(1, 0, 1).expand([-1, 3, -1, -1], false).contiguous();
    let found = heat_maps(&model, &grey, Method::SmoothGrad, &options).unwrap().layers.remove(0).raw;
    let product_of_grey = heat_maps(&model, &grey, Method::InputTimesGradient, &options).unwrap().layers.remove(0).raw;
    let (found, want) = (found * grey.select(1, 0).abs(), product_of_grey.abs());
    let off = (&found - &want).abs().max().double_value(&[]) / want.max().double_value(&[]);
    assert!(off < 1e-3, "{off}");
    assert!(smooth.layers[0].raw.min().double_value(&[]) >= 0.0 && product.layers[0].raw.min().double_value(&[]) < 0.0);
}

#[test]
fn a_map_without_evidence_says_so_and_shows_nothing() {
    let of = |values: &[f32]| LayerMaps {
        layer: "features.relu5".to_owned(),
        raw: Tensor::from_slice(values).view([-1, 1, 2]),
    };
    let maps = of(&[-1.0, -2.0, 3.0, 3.0, 0.0, 0.0, -1.0, 2.0]);
    use Evidence::{Flat, Found, OnlyAgainst};
    assert_eq!(maps.evidence(), [OnlyAgainst, Flat, Flat, Found]);
    assert_eq!(values(&maps.scaled()), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let logits = Tensor::zeros([4, 2], (Kind::Float, Device::Cpu));
    let (method, target) = (Method::GradCam, Target::default());
    let told = HeatMaps { method, target, layers: vec![maps], logits, completeness: None }.to_string();
    assert!(told.contains("\nfilm 0: no positive evidence: every place speaks against it"), "{told}");
    assert!(
        told.contains("\nfilm 2: no evidence: the map is the same everywhere") && !told.contains("film 3"),
        "{told}"
    );
}

#[test]
fn an_unknown_layer_and_a_layer_of_the_head_are_refused() {
    let model = network(LINEAR);
    let error = |layer, method| heat_maps(&model, &batch(), method, &MapOptions::at(layer)).unwrap_err().to_string();
    for method in Method::ALL.into_iter().filter(|method| method.is_of_layers()) {
        assert!(error("features.denseblock9", method).contains("features.denseblock9"), "{method}");
        assert!(error("pooled", method).contains("[N, C, h, w]"), "{method}");
    }
    let class = MapOptions { target: Target::Logit(2), ..MapOptions::at("features.relu5") };
    for method in Method::ALL {
        assert!(heat_maps(&model, &batch(), method, &class).unwrap_err().to_string().starts_with("target"), "{method}");
    }
}
