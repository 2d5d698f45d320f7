//! An archive larger than memory: its own test process, since the peak of a process' memory never falls.

use humerus::dataset::{CacheFolder, Feeding, Films, epoch_order};
use humerus::preprocess::{Fit, Preprocess};
use humerus::tch::Device;
use humerus::{Label, Split, Study, View};
use image::{GrayImage, Luma};

/// The most memory this process ever had, in MiB, mapped pages included.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? >> 10)
}

#[test]
fn an_epoch_over_more_films_than_it_may_hold_stays_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let views: Vec<View> = (0..1600u32)
        .map(|at| {
            let path = folder.path().join(format!("{at}.png"));
            GrayImage::from_fn(4, 4, |x, y| Luma([(at >> (4 * ((x + y) % 3))) as u8])).save(&path).unwrap();
            View::new(path)
        })
        .collect();
    let study = Study {
        id: "a".to_owned(),
        patient: None,
        group: "a".to_owned(),
        part: None,
        split: Split::Train,
        label: Label::Normal,
        views,
    };
    let preprocess = Preprocess { size: 512, fit: Fit::Stretch, ..Preprocess::default() };
    let feeding = Feeding { cache: CacheFolder::At(folder.path().join("cache")), ..Feeding::default() };
    let Some(before) = peak() else {
        eprintln!("skipped: this system has no /proc/self/status to look at");
        return;
    };
    let films = Films::open(&[&study], &preprocess, &feeding, &mut |_| ()).unwrap();
    let batches = epoch_order(films.len(), 0, 1).chunks(4).map(<[usize]>::to_vec).collect();
    let fed: usize = films.feed(batches, Device::Cpu, feeding.ahead).map(|batch| batch.unwrap().indices.len()).sum();
    assert_eq!(fed, 1600);
    films.statistics().unwrap();
    // The films take 400 MiB; films being decoded or read, up to 64 MiB.
    let taken = peak().unwrap() - before;
    assert!(taken < 256, "{taken} MiB");
}
