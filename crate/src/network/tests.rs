use super::*;

fn densenet(architecture: Architecture, head: Head) -> Classifier {
    Classifier::new(architecture, head, 0, Device::Cpu)
}

#[test]
fn torchvisions_densenet121_has_7_978_856_parameters_in_364_tensors() {
    let model = densenet(Architecture::DenseNet121, Head::Linear { classes: 1000 });
    assert_eq!(model.parameters().weights, 7_978_856);
    assert_eq!(model.variables().iter().filter(|v| v.kind == VariableKind::Weight).count(), 364);
}

#[test]
fn the_reference_network_has_the_originals_parameter_counts() {
    let mut model = densenet(Architecture::DenseNet121, Head::Reference { classes: 2 });
    assert_eq!(model.parameters().keras(), 9_662_530);
    model.unfreeze(Unfreeze::Reference).unwrap();
    assert_eq!(model.parameters().trainable, 3_739_394);
    model.unfreeze(Unfreeze::All).unwrap();
    assert_eq!(model.parameters().trainable, model.parameters().weights);
}

#[test]
fn a_frozen_batch_norm_never_moves_and_an_unfrozen_one_does() {
    let mut model = densenet(Architecture::DenseNet121, Head::Reference { classes: 2 });
    model.unfreeze(Unfreeze::Reference).unwrap();
    let before: Vec<Tensor> = model.variables().iter().map(|v| v.tensor.copy()).collect();
    let batch = Tensor::ones([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    let _ = model.forward(&batch, Mode::Train).unwrap();
    for (variable, old) in model.variables().iter().zip(&before) {
        let frozen = !variable.name.contains("norm5") && !Unfreeze::Reference.learns(&variable.name);
        let still = variable.tensor.equal(old);
        if variable.kind == VariableKind::Statistic {
            assert_eq!(still, frozen, "{}", variable.name);
        } else {
            assert!(still, "a forward pass moved {}", variable.name);
        }
    }
}

#[test]
fn any_input_of_64_pixels_or_more_gives_logits_and_a_smaller_one_an_error() {
    let model = densenet(Architecture::DenseNet121, Head::Linear { classes: 2 });
    for (h, w) in [(64, 64), (96, 130)] {
        let batch = Tensor::zeros([1, 3, h, w], (Kind::Float, Device::Cpu));
        assert_eq!(model.forward(&batch, Mode::Eval).unwrap().size(), [1, 2]);
    }
    let small = Tensor::zeros([1, 3, 32, 64], (Kind::Float, Device::Cpu));
    let error = model.forward(&small, Mode::Eval).unwrap_err().to_string();
    assert!(error.contains("[N, 3, H, W]") && error.contains("[1, 3, 32, 64]"), "{error}");
}

#[test]
fn every_layer_can_be_asked_for_by_name_and_an_unknown_one_is_refused() {
    let model = densenet(Architecture::DenseNet121, Head::Linear { classes: 2 });
    let layers = model.layers();
    assert_eq!(layers.first().map(String::as_str), Some("features.conv0"));
    assert!(layers.contains(&"features.denseblock4.denselayer16.conv2".to_owned()));
    let batch = Tensor::zeros([1, 3, 64, 64], (Kind::Float, Device::Cpu));
    assert_eq!(model.activation(&batch, "features.denseblock3").unwrap().size(), [1, 1024, 4, 4]);
    let error = model.activation(&batch, "features.nowhere").unwrap_err().to_string();
    assert!(error.contains("features.nowhere"), "{error}");
}

/// Gradients by libtorch's layers.
fn by_layers(model: &Classifier, batch: &Tensor, loss: impl Fn(&Tensor) -> Tensor) -> Vec<Tensor> {
    let wanted: Vec<&Tensor> = model.trainable().iter().map(|it| &it.tensor).collect();
    Tensor::run_backward(&[loss(&model.forward(batch, Mode::Train).unwrap())], &wanted, false, false)
}

fn statistics(model: &Classifier) -> Vec<Tensor> {
    model.variables().iter().filter(|it| it.kind == VariableKind::Statistic).map(|it| it.tensor.copy()).collect()
}

/// The largest distance between tensors of two lists, as a share of the second's length, or of 1e-3 if that is shorter:
/// the first norm's weight has a gradient of zero but for rounding, as the next norms undo what it does.
fn furthest<'a>(a: impl IntoIterator<Item = &'a Tensor>, b: impl IntoIterator<Item = &'a Tensor>) -> f64 {
    let off = a.into_iter().zip(b).map(|(a, b)| {
        assert_eq!(a.size(), b.size());
        let [a, b] = [a, b].map(|it| it.to_kind(Kind::Double));
        (a - &b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-3)
    });
    off.fold(0.0, f64::max)
}

fn noise(seed: i64, size: [i64; 4]) -> Tensor {
    tch::manual_seed(seed);
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

#[test]
fn the_way_back_by_hand_is_that_of_libtorchs_layers_whatever_learns() {
    let labels = Tensor::from_slice(&[0i64, 1, 1]);
    let loss = |logits: &Tensor| logits.cross_entropy_for_logits(&labels);
    for (architecture, head, what) in [
        (Architecture::DenseNet121, Head::Reference { classes: 2 }, Unfreeze::All),
        (Architecture::DenseNet121, Head::Reference { classes: 2 }, Unfreeze::Reference),
        (Architecture::DenseNet121, Head::Linear { classes: 2 }, Unfreeze::LastBlock),
        (Architecture::DenseNet121, Head::Linear { classes: 2 }, Unfreeze::Head),
        (Architecture::DenseNet161, Head::Linear { classes: 2 }, Unfreeze::All),
    ] {
        let [theirs, exactly_ours, ours] = [Kind::Double, Kind::Double, Kind::Float].map(|kind| {
            let mut model = densenet(architecture, head);
            model.compute_in(kind).unwrap();
            model.unfreeze(what).unwrap();
            model
        });
        for seed in 0..2 {
            // Maps of 7 and 11, of which averaging leaves a line out.
            let batch = noise(seed, [3, 3, 112, 176]);
            let expected = by_layers(&theirs, &batch, loss);
            // Gradients and statistics are f32 in the end, whatever they were computed in. In f32, some value within
            // rounding of zero passes a ReLU and in f64 not, or the other way round: libtorch's own f32 comes as far as
            // 5e-2 from its f64.
            for (model, near, moved_near) in [(&exactly_ours, 1e-6, 1e-6), (&ours, 1e-1, 1e-4)] {
                let (_, found) = model.gradients(&batch, loss).unwrap();
                assert_eq!(found.len(), expected.len());
                let off = furthest(&found, &expected);
                let moved = furthest(&statistics(model), &statistics(&theirs));
                let said = format!("{} {what:?}, batch {seed}, {:?}", architecture.name(), model.kind());
                println!("{said}: gradients within {off:.1e}, statistics within {moved:.1e}");
                assert!(off < near && moved < moved_near, "{said}: {off:.1e}, statistics {moved:.1e}");
            }
        }
    }
}

#[test]
fn any_choice_of_weights_may_learn() {
    let labels = Tensor::from_slice(&[0i64, 1]);
    let loss = |logits: &Tensor| logits.cross_entropy_for_logits(&labels);
    let batch = noise(3, [2, 3, 96, 80]);
    let block = |number: u8, rest: &str| format!("features.denseblock{number}.denselayer{rest}");
    for learn in [
        vec!["features.conv0.weight".to_owned()],
        vec!["features.norm0.bias".to_owned()],
        vec!["features.norm5.weight".to_owned()],
        vec!["features.norm5.bias".to_owned(), "classifier.bias".to_owned()],
        vec!["features.transition2.norm.bias".to_owned()],
        vec!["features.transition1.conv.weight".to_owned(), block(4, "3.norm2.bias")],
        vec![block(1, "4.norm1.weight")],
        vec![block(2, "1.conv1.weight"), block(3, "2.norm1.bias"), block(3, "2.conv2.weight")],
        vec![block(3, "5.norm2.weight")],
        vec!["classifier.weight".to_owned()],
    ] {
        let [ours, theirs] = [(); 2].map(|()| {
            let mut model = densenet(Architecture::DenseNet121, Head::Linear { classes: 2 });
            model.compute_in(Kind::Double).unwrap();
            for variable in model.variables() {
                let _ = variable.tensor.set_requires_grad(learn.contains(&variable.name));
            }
            model
        });
        assert_eq!(ours.trainable().len(), learn.len());
        let (_, found) = ours.gradients(&batch, loss).unwrap();
        let expected = by_layers(&theirs, &batch, loss);
        assert_eq!(found.len(), expected.len());
        let off = furthest(&found, &expected);
        assert!(off < 1e-6, "{learn:?}: {off:.1e}");
        let moved = furthest(&statistics(&ours), &statistics(&theirs));
        assert!(moved < 1e-6, "{learn:?}: statistics {moved:.1e}");
    }
}

#[test]
fn a_weight_without_a_gradient_is_named_and_no_other_gradient_takes_its_place() {
    let model = densenet(Architecture::DenseNet121, Head::Linear { classes: 2 });
    let batch = (Tensor::arange(2 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 3, 64, 64]);
    let loss = |logits: &Tensor| logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1]));
    let (_, found) = model.gradients(&batch, loss).unwrap();
    let complete = || found.iter().map(|gradient| Some(gradient.shallow_clone())).collect::<Vec<_>>();
    assert_eq!(model.in_order(complete().into_iter()).unwrap().len(), model.trainable().len());
    let mut one_missing = complete();
    one_missing[1] = None;
    let error = model.in_order(one_missing.into_iter()).unwrap_err().to_string();
    assert!(error.starts_with("gradient of features.norm0.weight: there is none"), "{error}");
    let mut shifted = complete();
    shifted.remove(1);
    assert!(matches!(model.in_order(shifted.into_iter()), Err(Error::Gradient { .. })));
    let mut exchanged = complete();
    exchanged.swap(0, 1);
    let error = model.in_order(exchanged.into_iter()).unwrap_err().to_string();
    assert!(error.contains("features.conv0.weight: expected shape [64, 3, 7, 7], got [64]"), "{error}");
    // A loss that asks nothing of the network.
    let nothing = |logits: &Tensor| {
        Tensor::zeros([], (Kind::Float, Device::Cpu)).set_requires_grad(true) + logits.detach().sum(Kind::Float)
    };
    assert!(model.gradients(&batch, nothing).is_err());
    // A statistic moves by itself: nothing is derived with respect to it.
    let mean = model.variables().iter().find(|it| it.name == "features.norm0.running_mean").unwrap();
    let _ = mean.tensor.set_requires_grad(true);
    let error = model.gradients(&batch, loss).unwrap_err().to_string();
    assert!(error.starts_with("gradient of features.norm0.running_mean: there is none"), "{error}");
    model.variables().iter().for_each(|it| drop(it.tensor.set_requires_grad(false)));
    assert!(matches!(model.gradients(&batch, loss), Err(Error::Torch(_))), "nothing learns");
}

#[test]
fn a_prediction_is_that_of_libtorchs_layers() {
    for (architecture, head) in [
        (Architecture::DenseNet121, Head::Reference { classes: 2 }),
        (Architecture::DenseNet161, Head::Linear { classes: 3 }),
    ] {
        let mut model = densenet(architecture, head);
        let batch = noise(5, [3, 3, 80, 112]);
        for (kind, most) in [(Kind::Double, 1e-9), (Kind::Float, 1e-4)] {
            model.compute_in(kind).unwrap();
            let logits = model.forward(&batch, Mode::Eval).unwrap();
            let off = furthest([&model.predict(&batch).unwrap()], [&logits]);
            assert!(off < most, "{} in {kind:?}: {off:.1e}", architecture.name());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let head = Head::Linear { classes: 2 };
    let [a, b] = [7, 7].map(|seed| Classifier::new(Architecture::DenseNet121, head, seed, Device::Cpu));
    assert!(a.variables().iter().zip(b.variables()).all(|(x, y)| x.tensor.equal(&y.tensor)));
}
