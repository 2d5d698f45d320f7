//! Weight files that PyTorch itself writes, read and given to networks.

use std::collections::BTreeMap;
use std::path::Path;

use humerus::network::{Architecture, Classifier, Head, Mode};
use humerus::train::Recipe;
use humerus::weights::{self, file};
use safetensors::Dtype;
use serde::Deserialize;
use tch::{Device, Kind, Tensor, nn};

fn written(what: &str) -> Option<tempfile::TempDir> {
    let python = testing::python()?;
    let folder = tempfile::tempdir().unwrap();
    testing::script(&python, "parts/torchfile/tests/golden/weights.py", &[what.as_ref(), folder.path().as_os_str()]);
    Some(folder)
}

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn kind(dtype: Dtype) -> (&'static str, Kind) {
    match dtype {
        Dtype::F32 => ("torch.float32", Kind::Float),
        Dtype::F64 => ("torch.float64", Kind::Double),
        Dtype::F16 => ("torch.float16", Kind::Half),
        Dtype::BF16 => ("torch.bfloat16", Kind::BFloat16),
        Dtype::I64 => ("torch.int64", Kind::Int64),
        Dtype::I32 => ("torch.int32", Kind::Int),
        Dtype::I16 => ("torch.int16", Kind::Int16),
        Dtype::I8 => ("torch.int8", Kind::Int8),
        Dtype::U8 => ("torch.uint8", Kind::Uint8),
        Dtype::BOOL => ("torch.bool", Kind::Bool),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tensors_of_every_kind_are_the_same_in_every_container() {
    let Some(folder) = written("small") else { return };
    let text = std::fs::read_to_string(folder.path().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    let mut files = 0;
    for path in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.ends_with("expected.json") {
            continue;
        }
        files += 1;
        let read = file::read(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        // A checkpoint's names are those of all that its tensors lie in; beside them it has an optimiser's.
        let inner = |name: &str| {
            expected
                .keys()
                .find(|known| name.rsplit('.').next() == Some(known))
                .unwrap_or_else(|| panic!("{name}"))
                .as_str()
        };
        let beside = |name: &str| ["optimizer", "seen"].iter().any(|part| name.split('.').any(|it| it == *part));
        let entries: Vec<_> = read.entries().iter().filter(|entry| !beside(&entry.name)).collect();
        assert_eq!(entries.len(), expected.len(), "{}: {entries:?}", path.display());
        assert!(read.unreadable().is_empty() && read.foreign().is_empty(), "{}", path.display());
        for entry in entries {
            let Expected { dtype, shape, values } = &expected[inner(&entry.name)];
            let (name, kind) = kind(entry.dtype);
            assert_eq!((name, &entry.shape), (dtype.as_str(), shape), "{} in {}", entry.name, path.display());
            let size: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            let bytes = read.values(entry).unwrap();
            let tensor = match bytes.is_empty() {
                true => Tensor::zeros(&size, (kind, Device::Cpu)),
                false => Tensor::from_data_size(&bytes, &size, kind),
            };
            let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
            assert_eq!(&found, values, "{} in {}", entry.name, path.display());
        }
    }
    assert_eq!(files, 12);
}

fn network(channels: u8) -> Classifier {
    let mut recipe = Recipe { head: Head::Linear { classes: 2 }, ..Recipe::default() };
    recipe.preprocess.channels = channels;
    recipe.network(Device::Cpu)
}

fn logits(network: &Classifier, films: &Tensor) -> Tensor {
    tch::no_grad(|| network.forward(films, Mode::Eval).unwrap())
}

#[test]
fn networks_of_other_tools_are_loaded_under_their_own_names() {
    let Some(folder) = written("networks") else { return };
    let path = |name: &str| folder.path().join(name);
    tch::manual_seed(1);
    let films = Tensor::randn([2, 1, 96, 96], (Kind::Float, Device::Cpu)).expand([2, 3, 96, 96], false);
    let theirs = network(3);
    let loaded = weights::load(&theirs, path("expected.safetensors")).unwrap();
    let all = theirs.variables().len();
    assert_eq!((loaded.loaded.len(), loaded.kept.len(), loaded.unexpected.len()), (all, 0, 0));
    let expected = logits(&theirs, &films);
    // How many tensors of the head stay, how many of the file are not used; how far logits may be off where the head is
    // the same.
    for (name, kept, unexpected, off) in [
        ("torchvision.pth", 0, 0, Some(0.0)),
        ("old.pth", 0, 0, Some(0.0)),
        ("monai.pt", 0, 0, Some(0.0)),
        ("whole.pth", 0, 0, Some(0.0)),
        ("script.pt", 0, 0, Some(0.0)),
        ("half.pth", 0, 0, Some(2e-2)),
        ("features.pth", 2, 0, None),
        ("chexnet.pth.tar", 2, 2, None),
    ] {
        let ours = network(3);
        let loaded = weights::load(&ours, path(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((loaded.kept.len(), loaded.unexpected.len()), (kept, unexpected), "{name}: {loaded:?}");
        assert_eq!(loaded.loaded.len() + kept, all, "{name}");
        let rows: usize = loaded.rows().iter().map(|row| row.tensors).sum();
        let others: usize = loaded.others.iter().map(|other| other.tensors).sum();
        assert_eq!(rows, all + unexpected + others, "{name}");
        assert_eq!(others, usize::from(name == "chexnet.pth.tar"), "{name}: its optimiser has one");
        match off {
            Some(off) => {
                let found = (logits(&ours, &films) - &expected).abs().max().double_value(&[]);
                assert!(found <= off, "{name}: {found}");
            }
            None => {
                for (a, b) in
                    ours.variables().iter().zip(theirs.variables()).filter(|(a, _)| a.name.starts_with("features"))
                {
                    assert!(a.tensor.equal(&b.tensor), "{name}: {}", a.name);
                }
            }
        }
    }
    // Three channels to one, and torchxrayvision's one to three, which see the same film.
    let one = network(1);
    let loaded = weights::load(&one, path("torchvision.pth")).unwrap();
    assert_eq!(loaded.adapted.len(), 1, "{loaded}");
    assert!(logits(&one, &films.narrow(1, 0, 1)).allclose(&expected, 1e-4, 1e-4, false));
    assert_eq!(weights::scale(&path("xrv-wrapped.pt")).unwrap(), Some(([0.5; 3], [1.0 / 2048.0; 3])));
    assert_eq!(weights::load(&network(3), path("xrv-wrapped.pt")).unwrap().adapted.len(), 1);
    let spread = network(3);
    let loaded = weights::load(&spread, path("xrv.pt")).unwrap();
    assert_eq!((loaded.adapted.len(), loaded.kept.len(), loaded.unexpected.len()), (1, 2, 2), "{loaded}");
    let features = |network: &Classifier| network.activation(&films, "features.norm5").unwrap();
    assert!(features(&spread).allclose(&features(&theirs), 1e-3, 1e-3, false));
    assert_eq!(weights::scale(&path("xrv.pt")).unwrap(), Some(([0.5; 3], [1.0 / 2048.0; 3])));
    assert_eq!(weights::scale(&path("torchvision.pth")).unwrap(), None);
    // Another network's weights, and none of a DenseNet at all, in one line; the network stays as it was.
    let other = Classifier::new(Architecture::DenseNet169, Head::Linear { classes: 2 }, 3, Device::Cpu);
    let before = other.variables()[0].tensor.copy();
    let line = weights::load(&other, path("torchvision.pth")).unwrap_err().to_string();
    assert!(line.contains("torchvision.pth") && line.contains("densenet169") && !line.contains('\n'), "{line}");
    let hint =
        "which `humerus weights --architecture densenet121` and a recipe with \"architecture\": \"densenet121\" take";
    assert!(line.ends_with(&format!("it is of a densenet121, {hint}")), "{line}");
    assert!(other.variables()[0].tensor.equal(&before));
    // The other way round, where some of it has another shape.
    let folder = tempfile::tempdir().unwrap();
    let larger: Vec<_> = other.variables().iter().map(|it| (it.name.as_str(), it.tensor.detach())).collect();
    Tensor::write_safetensors(&larger, folder.path().join("169")).unwrap();
    let line = weights::load(&network(3), folder.path().join("169")).unwrap_err().to_string();
    assert!(line.contains("expects shape") && line.contains("; it is of a densenet169, which "), "{line}");
    let mut part = larger;
    part.retain(|(name, _)| !name.contains("denselayer32"));
    Tensor::write_safetensors(&part, folder.path().join("part")).unwrap();
    let line = weights::load(&other, folder.path().join("part")).unwrap_err().to_string();
    assert!(line.contains("has no ") && !line.contains("it is of a"), "{line}");
}

#[test]
fn weights_saved_by_tch_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.ot");
    let ours = network(3);
    let mut store = nn::VarStore::new(Device::Cpu);
    for variable in ours.variables() {
        let mut parts: Vec<&str> = variable.name.split('.').collect();
        let last = parts.pop().unwrap();
        let place = parts.iter().fold(store.root(), |place, part| place / part);
        let _ = place.var_copy(last, &variable.tensor.detach());
    }
    store.save(&path).unwrap();
    let other = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 5, Device::Cpu);
    let loaded = weights::load(&other, &path).unwrap();
    assert_eq!((loaded.loaded.len(), loaded.kept.len()), (ours.variables().len(), 0), "{loaded}");
    for (a, b) in ours.variables().iter().zip(other.variables()) {
        assert!(a.tensor.equal(&b.tensor), "{}", a.name);
    }
    store.freeze();
}

#[test]
fn pickles_that_would_run_a_program_run_nothing_and_the_program_is_named() {
    let Some(folder) = written("hostile") else { return };
    let mut named = 0;
    for path in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let read = file::read(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        let function = path.file_name().unwrap().to_str().unwrap().split('-').next().unwrap();
        let [foreign] = read.foreign() else { panic!("{}: {:?}", path.display(), read.foreign()) };
        assert!(foreign.ends_with(&format!(".{function}")), "{foreign}");
        assert_eq!(read.entries().len(), 1);
        let line = weights::load(&network(3), &path).unwrap_err().to_string();
        assert!(line.contains("none of its 1 tensors") && !line.contains('\n'), "{line}");
        named += 1;
    }
    assert!(named >= 8, "{named}");
    assert!(!folder.path().join("executed").exists());
}

#[test]
fn checkpoints_with_objects_modules_of_any_class_and_several_networks_give_the_network_and_name_the_rest() {
    let Some(folder) = written("reported") else { return };
    let path = |name: &str| folder.path().join(name);
    let theirs = network(3);
    weights::load(&theirs, path("expected.safetensors")).unwrap();
    let all = theirs.variables().len();
    let same =
        |ours: &Classifier| ours.variables().iter().zip(theirs.variables()).all(|(a, b)| a.tensor.equal(&b.tensor));
    let objects =
        ["pathlib.PosixPath", "datetime.datetime", "functools.partial", "my.settings.Config", "my.settings.Colour"];
    // The network's name in the file, what else is in it, and what is named as skipped.
    for (name, taken, others, skipped) in [
        ("objects-zip.pth", Some("state_dict"), &["optimizer"][..], &objects[..]),
        ("objects-legacy.pth", Some("state_dict"), &["optimizer"], &objects),
        ("timm-whole.pth", None, &[], &[]),
        ("timm-whole-legacy.pth", None, &[], &[]),
        ("timm-wrapped.pth", Some("net.module"), &[], &objects),
        ("own-whole.pth", Some("backbone"), &[], &["functools.partial", "pathlib.PosixPath"]),
        ("monai-whole.pt", None, &[], &[]),
        ("object-holds-state.pth", Some("model"), &[], &["lab.train.State"]),
        ("own-tensors.pth", None, &[], &["monai.data.meta_tensor.MetaTensor"]),
        (
            "moco.pth.tar",
            Some("state_dict.module.encoder_q"),
            &["state_dict.module.encoder_k", "state_dict.module.queue", "state_dict.module.queue_ptr", "optimizer"],
            &[],
        ),
        ("moco.safetensors", Some("module.encoder_q"), &["module.encoder_k", "module.queue", "module.queue_ptr"], &[]),
        ("timm-ema.pth.tar", Some("state_dict"), &["state_dict_ema"], &[]),
        ("model-ema.pth", Some("model"), &["model_ema.module", "optimizer"], &[]),
        ("lightning-ema.ckpt", Some("state_dict.model"), &["state_dict.ema_model"], &[]),
        ("alias.pth", Some("net"), &["net.inner"], &[]),
        ("complex.pth", Some("model"), &[], &[]),
    ] {
        let ours = network(3);
        let loaded = weights::load(&ours, path(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((loaded.loaded.len(), loaded.kept.len()), (all, 0), "{name}: {loaded}");
        assert!(same(&ours), "{name}: other values");
        assert_eq!(loaded.network.as_deref(), taken, "{name}");
        let mut found: Vec<&str> = loaded.others.iter().map(|other| other.name.as_str()).collect();
        found.sort_by_key(|name| others.iter().position(|other| other == name));
        assert_eq!(found, others, "{name}");
        for class in skipped {
            assert!(
                loaded.skipped.iter().any(|name| name == class),
                "{name}: {class} is not among {:?}",
                loaded.skipped
            );
        }
        assert!(!skipped.is_empty() || loaded.skipped.is_empty(), "{name}: {:?}", loaded.skipped);
        let rows: Vec<String> = loaded.rows().iter().map(|row| format!("{} {}", row.part, row.what)).collect();
        for named in others.iter().chain(skipped) {
            assert!(rows.iter().any(|row| row.starts_with(&format!("{named} "))), "{name}: {named} is not in {rows:?}");
        }
        let averages = loaded.others.iter().filter(|other| other.is_network);
        assert!(averages.clone().all(|other| other.tensors >= all), "{name}: {:?}", loaded.others);
        assert_eq!(loaded.to_string().contains("one of"), averages.count() > 0, "{loaded}");
    }
    assert_eq!(weights::load(&network(3), path("complex.pth")).unwrap().unreadable.len(), 1);
    // Another network by its name, and equals, of which none is taken unasked.
    for (file, name) in [("moco.pth.tar", "encoder_k"), ("model-ema.pth", "model_ema"), ("equals.pth", "right")] {
        let named: weights::Weights = format!("{}#{name}", path(file).display()).parse().unwrap();
        let found = named.find(Architecture::DenseNet121, false, &mut |_| ()).unwrap().unwrap();
        assert_eq!(found.origin.source, format!("{file}#{name}"));
        let ours = network(3);
        assert_eq!(found.load(&ours).unwrap().loaded.len(), all);
        assert!(!same(&ours), "{file}#{name}");
    }
    let line = weights::load(&network(3), path("equals.pth")).unwrap_err().to_string();
    assert!(line.contains("holds 2 networks") && line.contains("left, right") && !line.contains('\n'), "{line}");
    let absent: weights::Weights = format!("{}#key", path("moco.pth.tar").display()).parse().unwrap();
    let found = absent.find(Architecture::DenseNet121, false, &mut |_| ()).unwrap().unwrap();
    assert!(found.load(&network(3)).unwrap_err().to_string().contains("no network called key; it holds: "));
}

#[cfg(unix)]
#[test]
fn a_file_that_changes_while_it_is_open_gives_values_or_an_error_and_a_pipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    Tensor::write_safetensors(&[("a", Tensor::ones([1 << 16], (Kind::Float, Device::Cpu)))], &path).unwrap();
    let read = file::read(&path).unwrap();
    // Cut short: of a mapped file, this would be the end of the process.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    assert!(read.values(&read.entries()[0]).is_err());
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(file::read(&pipe).unwrap_err().to_string().contains("is no regular file"));
}

#[test]
fn a_network_file_cut_anywhere_is_an_error_in_one_line() {
    let Some(folder) = written("small") else { return };
    for name in ["dict2-zip.pth", "dict2-legacy.pth", "dict.safetensors", "script.pt", "checkpoint-zip.pth"] {
        let whole = std::fs::read(folder.path().join(name)).unwrap();
        for length in (0..whole.len()).step_by(7) {
            match file::read_bytes(whole[..length].to_vec()) {
                Err(file::Error::Reason(reason)) => assert!(!reason.contains('\n'), "{reason}"),
                other => panic!("{name} cut to {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn files_that_are_not_weights_are_refused_by_path() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in
        [("page.pth", &b"<html>"[..]), ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let line = weights::load(&network(3), &path).unwrap_err().to_string();
        assert!(line.contains(name) && !line.contains('\n'), "{line}");
    }
    assert!(weights::load(&network(3), Path::new("no such file")).unwrap_err().to_string().contains("no such file"));
}
