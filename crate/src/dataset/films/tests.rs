use super::*;
use image::{GrayImage, Luma};
use studies::{Label, Split};

/// Two studies of 300 and 5 films; film `n` is of grey level `n % 200`.
fn studies(folder: &std::path::Path) -> Vec<Study> {
    let study = |id: &str, label, numbers: std::ops::Range<u8>, copies: usize| {
        let views = (0..copies).flat_map(|_| numbers.clone()).map(|level| {
            let path = folder.join(format!("{level}.png"));
            GrayImage::from_pixel(40, 80, Luma([level])).save(&path).unwrap();
            View::new(path)
        });
        Study {
            id: id.to_owned(),
            patient: None,
            group: id.to_owned(),
            part: None,
            split: Split::Train,
            label,
            views: views.collect(),
        }
    };
    vec![study("a", Label::Abnormal, 0..150, 2), study("b", Label::Normal, 195..200, 1)]
}

fn preprocess() -> Preprocess {
    Preprocess { size: 64, fit: crate::preprocess::Fit::Stretch, ..Preprocess::default() }
}

#[test]
fn films_keep_their_order_labels_and_studies() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let films = Films::load(&studies.iter().collect::<Vec<_>>(), &preprocess()).unwrap();
    assert_eq!(films.len(), 305);
    for (at, level) in [(0, 0), (149, 149), (150, 0), (299, 149), (300, 195), (304, 199)] {
        let mut film = vec![0; 64 * 64];
        films.pixels.gather(&[at as usize], &mut film).unwrap();
        assert_eq!(film, vec![level; 64 * 64]);
        let is_second = at >= 300;
        assert_eq!(films.study[at as usize], usize::from(is_second));
        assert_eq!(films.labels.int64_value(&[at]), i64::from(!is_second));
    }
    let (mean, _) = films.statistics().unwrap();
    let want = (2.0 * (0..150).sum::<i32>() as f32 + (195..200).sum::<i32>() as f32) / 305.0 / 255.0;
    assert!((mean[1] - want).abs() < 1e-5, "{mean:?} {want}");
}

#[test]
fn a_film_is_the_same_in_every_batch_and_in_preprocess() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let films = Films::load(&[&studies[0]], &preprocess()).unwrap();
    let (one, label) = films.batch(&[7], Device::Cpu).unwrap();
    let (many, _) = films.batch(&[120, 3, 7], Device::Cpu).unwrap();
    assert_eq!(many.size(), [3, 3, 64, 64]);
    assert_eq!(one.get(0), many.get(2));
    assert_eq!(label.int64_value(&[0]), 1);
    assert_eq!(one, preprocess().load(&[&films.views[7].path]).unwrap());
}

fn cached(folder: &std::path::Path) -> Feeding {
    Feeding { cache: CacheFolder::At(folder.join("cache")), ..Feeding::default() }
}

#[test]
fn films_are_the_same_from_memory_from_the_cache_and_from_their_files_fed_ahead_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let studies: Vec<&Study> = studies.iter().collect();
    let memory = Films::load(&studies, &preprocess()).unwrap();
    let cache = Films::open(&studies, &preprocess(), &cached(folder.path()), &mut |_| ()).unwrap();
    let files = Films::undecoded(&studies, &preprocess()).unwrap();
    let order = epoch_order(memory.len(), 1, 2);
    for films in [&memory, &cache, &files] {
        assert_eq!(films.statistics().unwrap(), memory.statistics().unwrap());
        assert_eq!(films.class_counts(), [5, 300]);
        for (ahead, size) in [(1, 16), (4, 31), (1000, 305)] {
            let batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
            let mut met = 0;
            for (batch, indices) in films.feed(batches.clone(), Device::Cpu, ahead).zip(&batches) {
                let batch = batch.unwrap();
                let (direct, labels) = memory.batch(indices, Device::Cpu).unwrap();
                assert_eq!(&batch.indices, indices);
                assert_eq!(batch.labels, labels);
                assert_eq!(batch.standardised(&films.preprocess), direct);
                assert_eq!(films.preprocess.standardise(&batch.films()), direct);
                met += indices.len();
            }
            assert_eq!(met, 305);
        }
    }
}

#[test]
fn an_empty_batch_is_a_batch_without_films() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let films = Films::load(&[&studies[1]], &preprocess()).unwrap();
    let (batch, labels) = films.batch(&[], Device::Cpu).unwrap();
    assert_eq!((batch.size(), labels.size()), (vec![0, 3, 64, 64], vec![0]));
    let fed: Vec<Batch> = films.feed(vec![vec![], vec![4], vec![]], Device::Cpu, 2).map(Result::unwrap).collect();
    let sizes: Vec<i64> = fed.iter().map(|batch| batch.standardised(&films.preprocess).size()[0]).collect();
    assert_eq!(sizes, [0, 1, 0]);
    assert_eq!(fed[0].standardised(&films.preprocess).size(), [0, 3, 64, 64]);
    // Fields are open: pixels of another kind are standardised by libtorch.
    let [batch] =
        <[Batch; 1]>::try_from(films.feed(vec![vec![0, 4]], Device::Cpu, 1).map(Result::unwrap).collect::<Vec<_>>())
            .unwrap();
    let wider = Batch { pixels: batch.pixels.to_kind(Kind::Int), ..batch };
    assert_eq!(wider.standardised(&films.preprocess), films.batch(&[0, 4], Device::Cpu).unwrap().0);
}

#[test]
fn a_feed_that_is_left_early_ends_its_thread() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let films = Films::load(&[&studies[0]], &preprocess()).unwrap();
    let batches = vec![vec![1, 2]; 500];
    let mut feed = films.feed(batches, Device::Cpu, 2);
    assert!(feed.next().unwrap().is_ok());
    drop(feed);
    assert_eq!(Arc::strong_count(&films.pixels), 1);
}

#[test]
fn a_feed_names_a_film_that_cannot_be_decoded_and_then_ends() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    std::fs::write(folder.path().join("40.png"), b"\x89PNG").unwrap();
    let films = Films::undecoded(&[&studies[0]], &preprocess()).unwrap();
    let batches = (0..100).collect::<Vec<usize>>().chunks(16).map(<[usize]>::to_vec).collect();
    let met: Vec<_> = films.feed(batches, Device::Cpu, 2).collect();
    assert_eq!(met.len(), 3);
    assert!(met[0].is_ok() && met[1].is_ok());
    assert!(met[2].as_ref().unwrap_err().to_string().contains("40.png"));
}

#[test]
fn without_a_usable_cache_films_stay_in_memory_or_in_their_files_after_one_notice() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    std::fs::write(folder.path().join("cache"), b"a file").unwrap();
    let direct = Films::load(&[&studies[0]], &preprocess()).unwrap();
    for (memory_share, instead) in [(0.5, "kept in memory"), (0.0, "decoded in each epoch")] {
        let mut notices = Vec::new();
        let feeding = Feeding { memory_share, ..cached(folder.path()) };
        let films = Films::open(&[&studies[0]], &preprocess(), &feeding, &mut |event| {
            if let Preparing::Notice(text) = event {
                notices.push(text);
            }
        });
        let (batch, _) = films.unwrap().batch(&[3, 99], Device::Cpu).unwrap();
        assert_eq!(batch, direct.batch(&[3, 99], Device::Cpu).unwrap().0);
        assert_eq!(notices.len(), 1);
        assert!(notices[0].contains(instead) && notices[0].contains("cache"), "{notices:?}");
        assert!(!notices[0].contains('\n'));
    }
}

#[test]
fn on_a_cpu_films_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let mut films = Films::load(&[&studies[1]], &preprocess()).unwrap();
    assert!(!films.move_to(Device::Cpu, 1.0).unwrap());
    assert!(films.batch(&[4], Device::Cpu).is_ok());
}

#[test]
fn settings_out_of_range_are_refused() {
    let share = Feeding { device_share: 1.5, ..Feeding::default() };
    let ahead = Feeding { ahead: 0, ..Feeding::default() };
    for wrong in [share, ahead] {
        assert!(matches!(wrong.validate(), Err(Error::Setting { .. })), "{wrong:?}");
    }
}

#[test]
fn a_damaged_film_stops_the_loading_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let studies = studies(folder.path());
    let path = folder.path().join("17.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let error = Films::load(&[&studies[0]], &preprocess()).unwrap_err().to_string();
    assert!(error.contains("17.png"), "{error}");
    assert!(matches!(Films::load(&[], &preprocess()), Err(Error::Split(_))));
}

#[test]
fn an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_alone() {
    let order = epoch_order(1000, 3, 5);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    assert_eq!(order, epoch_order(1000, 3, 5));
    assert_ne!(order, epoch_order(1000, 3, 6));
    assert_ne!(order, epoch_order(1000, 4, 5));
    assert_ne!(epoch_order(1000, 1, 2), epoch_order(1000, 2, 1));
}
