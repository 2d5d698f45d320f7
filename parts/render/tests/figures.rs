//! Figures against truth files in `tests/golden/figures`; `REGENERATE=1 cargo test --test figures` rewrites them, and
//! then a person looks at what changed. `FIGURES=folder` writes every one of them there, as PNG and where it can be as
//! SVG.

use std::path::PathBuf;
use std::sync::LazyLock;

use humerus_render::{self as render, *};
use image::{GrayImage, Luma, Rgb, RgbImage};
use metrics::{self, Confusion, DeLong, Interval, IntervalKind, NoInterval, PrecisionRecall, Reliability, Roc};
use studies::Label;

/// A bright shaft across a dark film, leaning with `i`.
fn film(i: u32, width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let across = x as f32 / width as f32 - 0.5 - 0.05 * i as f32 * (y as f32 / height as f32 - 0.5);
        Luma([(30.0 + 190.0 * (-(across * 9.0).powi(2)).exp()) as u8])
    })
}

fn bump(side: usize, x0: f32, y0: f32) -> Map {
    let value = |i: usize| {
        let (x, y) = ((i % side) as f32 / side as f32 - x0, (i / side) as f32 / side as f32 - y0);
        (-12.0 * (x * x + y * y)).exp()
    };
    let values = (0..side * side).map(value).collect();
    Map::new(side, side, values).unwrap().normalised()
}

fn mask(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let inside = (width * 2 / 5..width * 3 / 5).contains(&x) && (height / 2..height / 2 + 8).contains(&y);
        Luma([if inside { 255 } else { 0 }])
    })
}

const LONG: &str = "valid/XR_HUMERUS/patient11186/study1_positive/image1.png: abnormal, probability 0.93, \
                    called abnormal at the operating point 0.41 chosen on the tuning split";

fn some_films(n: u32) -> Vec<Film> {
    let tones = [Tone::Abnormal, Tone::Normal, Tone::Right, Tone::Wrong, Tone::Plain];
    (0..n)
        .map(|i| Film {
            image: film(i, 60 + 40 * (i % 3), 100),
            caption: if i % 3 == 0 { LONG.to_owned() } else { format!("film {i}, p = 0.{i}3") },
            tone: tones[i as usize % tones.len()],
        })
        .collect()
}

fn some_curves(n: usize) -> Vec<CurvePoint> {
    (1..=n)
        .map(|epoch| {
            let left = (-(epoch as f64) / 4.0).exp();
            CurvePoint {
                epoch,
                train_loss: 0.15 + 0.6 * left,
                tune_loss: 0.3 + 0.4 * left + 0.01 * epoch as f64,
                tune_auroc: Some(0.92 - 0.35 * left - 0.0004 * epoch as f64),
            }
        })
        .collect()
}

fn some_scores() -> (Vec<Label>, Vec<f64>) {
    let labels = (0..60).map(|i| Label::ALL[i % 2]).collect();
    let scores = (0..60).map(|i| ((i * 37 % 60) as f64 / 85.0 + 0.28 * (i % 2) as f64).min(1.0));
    (labels, scores.collect())
}

fn some_panels(n: u32) -> Vec<CamPanel> {
    (0..n)
        .map(|i| CamPanel {
            film: film(i, 150, 200),
            map: Some(bump(7, 0.5, 0.55)),
            mask: (i == 0).then(|| mask(150, 200)),
            caption: LONG.to_owned(),
            tone: if i % 2 == 0 { Tone::Right } else { Tone::Wrong },
        })
        .collect()
}

fn some_maps(n: usize, side: usize) -> Vec<Map> {
    (0..n)
        .map(|i| match i % 5 {
            4 => Map::new(side, side, vec![0.0; side * side]).unwrap(),
            _ => bump(side, 0.2 * (i % 5) as f32, 0.13 * (i % 7) as f32),
        })
        .collect()
}

fn some_balance() -> Vec<BalanceRow> {
    [("train\nstudies", 321, 271), ("train\nviews", 673, 599), ("valid\nstudies", 68, 67)]
        .map(|(name, normal, abnormal)| BalanceRow { name: name.to_owned(), normal, abnormal })
        .to_vec()
}

static FIGURES: LazyLock<Vec<(&'static str, Figure)>> = LazyLock::new(every_figure);

/// Every kind of figure, with ordinary, tiny and oversized content.
fn every_figure() -> Vec<(&'static str, Figure)> {
    let (labels, scores) = some_scores();
    let curve = Roc::new(&labels, &scores).unwrap();
    let patients: Vec<usize> = (0..labels.len()).collect();
    let interval = DeLong::new(&labels, &scores, &patients).and_then(|found| found.logit_interval()).map_err(Some);
    let few = NoInterval::FewPatients { normal: 3, abnormal: 3, of: metrics::Drawn::Patients };
    let precise = PrecisionRecall::new(&labels, &scores).unwrap();
    let band = PrecisionRecall::band(&labels, &scores, &patients).unwrap();
    let average = metrics::Metrics::of(&labels, &scores, &patients, 0.5).unwrap().average_precision;
    let average = average.interval.ok_or(average.no_interval);
    let reliable = Reliability::new(&labels, &scores, &patients).unwrap();
    let sharper: Vec<f64> = scores.iter().map(|p| metrics::at_temperature(*p, 0.5)).collect();
    let mended = Reliability::new(&labels, &sharper, &patients).unwrap();
    let one_class = Reliability::new(&[Label::Normal; 3], &[0.01, 0.02, 0.99], &[1, 2, 3]).unwrap();
    let worse = Roc { auroc: 0.3, ..curve.clone() };
    let threshold = curve.youden().threshold;
    let counts = Confusion::at(&labels, &scores, threshold).unwrap();
    let (normal, abnormal): (Vec<_>, Vec<_>) = (0..60).partition(|i| i % 2 == 0);
    let pick = |of: &[usize]| of.iter().map(|&i| scores[i]).collect::<Vec<_>>();
    let patterns: Vec<_> = (0..9u32)
        .map(|i| FilterPattern {
            image: RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, (i * 28) as u8])),
            caption: format!("channel {i}"),
        })
        .collect();
    let rates: [f64; 100] = std::array::from_fn(|n| 1e-7 * 10f64.powf(0.07 * n as f64));
    let jet = OverlayOptions { colours: Colours::Jet, opacity: Opacity::Even, ..OverlayOptions::default() };
    let unknown: Vec<_> = some_curves(4)
        .into_iter()
        .map(|point| CurvePoint { tune_auroc: None, train_loss: f64::NAN, ..point })
        .collect();
    [
        ("films", films("Films with labels and scores", &some_films(7), 4)),
        ("film", films(LONG, &some_films(1), 4)),
        ("films-many", films("A batch", &some_films(64), 8)),
        ("films-dense", films("Twelve in a row", &some_films(24), 12)),
        ("balance", class_balance("Studies and views of each class", &some_balance())),
        ("balance-one", class_balance(LONG, &some_balance()[..1])),
        ("curves", learning_curves("Learning curves", &some_curves(12), None)),
        ("curves-one", learning_curves(LONG, &some_curves(1), Some(1))),
        ("curves-long", learning_curves("Learning curves", &some_curves(200), Some(77))),
        ("curves-unknown", learning_curves("Learning curves", &unknown, Some(2))),
        (
            "sweep",
            learning_rates(
                "Learning rates",
                &rates,
                &rates.map(|rate| 0.7 - 0.2 * (rate * 1e3).min(1.0) + 5.0 * rate),
                Some(1e-3),
            ),
        ),
        ("roc", render::roc("Held-out studies", &curve, interval, Some(threshold))),
        ("roc-worse", render::roc(LONG, &worse, Err(Some(few)), None)),
        ("precision-recall", precision_recall("Held-out studies", &precise, &band, average, Some(threshold))),
        ("precision-recall-plain", precision_recall(LONG, &precise, &[], Err(Some(few)), None)),
        ("reliability", reliability("Held-out studies", &[("before", &reliable), ("after", &mended)])),
        ("reliability-one", reliability(LONG, &[("", &one_class)])),
        ("confusion", confusion("Held-out studies", &counts, ["normal", "abnormal"])),
        ("confusion-long", confusion(LONG, &counts, [LONG, "abnormal"])),
        ("histogram", score_histogram("Scores", &pick(&normal), &pick(&abnormal), Some(threshold))),
        ("histogram-one", score_histogram(LONG, &[-2.5], &[], Some(7.0))),
        ("overlay", overlay(&film(1, 90, 120), &bump(7, 0.5, 0.5), jet, Some(&mask(90, 120)))),
        ("cam", cam_panel("Grad-CAM at features.norm5", &some_panels(3), OverlayOptions::default())),
        ("cam-one", cam_panel(LONG, &some_panels(1), jet)),
        ("activations", activation_grid("features.norm0", &some_maps(30, 7), 12)),
        ("activation", activation_grid(LONG, &some_maps(1, 7), 12)),
        ("activations-many", activation_grid("features.norm5", &some_maps(1000, 7), 12)),
        ("activations-large", activation_grid("features.conv0", &some_maps(20, 300), 12)),
        ("filters", filter_grid("Patterns that filters answer to", &patterns, 8)),
    ]
    .map(|(name, figure)| (name, figure.unwrap_or_else(|e| panic!("{name}: {e}"))))
    .into()
}

#[test]
fn nothing_reaches_the_edge_and_figures_have_a_readable_size() {
    for (name, figure) in FIGURES.iter() {
        if *name == "overlay" {
            assert_eq!((figure.width(), figure.height()), (90, 120));
            continue;
        }
        let (width, height) = (figure.width(), figure.height());
        assert!((400..=1500).contains(&width) && height <= 2800, "{name}: {width} × {height}");
        let (width, height) = figure.image().dimensions();
        assert_eq!(
            (width, height),
            (2 * figure.width(), 2 * figure.height()),
            "{name}: two pixels for each of a page's"
        );
        let white = |x: u32, y: u32| *figure.image().get_pixel(x, y) == Rgb([255; 3]);
        for edge in 0..24 {
            let clean = (0..width).all(|x| white(x, edge) && white(x, height - 1 - edge))
                && (0..height).all(|y| white(edge, y) && white(width - 1 - edge, y));
            assert!(clean, "{name}: ink {edge} pixels from the edge");
        }
        assert!(!figure.alt().is_empty(), "{name} has no words");
    }
}

#[test]
fn figures_are_the_same_each_time() {
    for ((name, once), (_, again)) in every_figure().into_iter().zip(FIGURES.iter()) {
        assert!(once == *again, "{name}");
    }
}

#[test]
fn figures_equal_their_truth_files() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/figures");
    let kept = [
        "films",
        "balance",
        "curves",
        "roc",
        "precision-recall",
        "reliability",
        "confusion",
        "histogram",
        "overlay",
        "cam",
        "activations",
        "filters",
    ];
    for (name, figure) in FIGURES.iter() {
        if let Some(folder) = std::env::var_os("FIGURES").map(PathBuf::from) {
            figure.save(folder.join(format!("{name}.png"))).unwrap();
            let _ = figure.svg().map(|_| figure.save(folder.join(format!("{name}.svg"))).unwrap());
        }
        if !kept.contains(name) {
            continue;
        }
        let path = folder.join(format!("{name}.png"));
        if std::env::var_os("REGENERATE").is_some() {
            figure.save(&path).unwrap();
        }
        let truth = image::open(&path).unwrap().into_rgb8();
        assert_eq!(truth.dimensions(), figure.image().dimensions(), "{name}");
        let differing = truth
            .pixels()
            .zip(figure.image().pixels())
            .filter(|(a, b)| (0..3).any(|c| a[c].abs_diff(b[c]) > 4))
            .count();
        let share = differing as f64 / truth.pixels().len() as f64;
        assert!(share < 1e-3, "{name}: {:.2} % of the pixels differ", 100.0 * share);
    }
}

#[test]
fn nothing_to_draw_is_an_error_and_not_a_blank_figure() {
    let empty = GrayImage::new(0, 0);
    let no_pixels = Film { image: empty.clone(), caption: String::new(), tone: Tone::Plain };
    let no_curve = Roc { points: Vec::new(), auroc: 0.5 };
    let no_precision = PrecisionRecall { points: Vec::new(), prevalence: 0.5, average_precision: 0.5 };
    let odd_map = Map { width: 2, height: 2, values: vec![0.0; 3] };
    let options = OverlayOptions::default();
    let wrong_mask = CamPanel { mask: Some(mask(10, 10)), ..some_panels(1).remove(0) };
    for (what, result) in [
        ("films", films("", &[], 4)),
        ("film", films("", &[no_pixels], 4)),
        ("per row", films("", &some_films(2), 0)),
        ("balance", class_balance("", &[])),
        ("curves", learning_curves("", &[], None)),
        ("roc", render::roc("", &no_curve, Err(None), None)),
        ("precision-recall", precision_recall("", &no_precision, &[], Err(None), None)),
        ("reliability", reliability("", &[])),
        ("empty reliability", reliability("", &[("", &Reliability { bins: Vec::new() })])),
        ("confusion", confusion("", &Confusion::default(), ["a", "b"])),
        ("histogram", score_histogram("", &[], &[], None)),
        ("NaN", score_histogram("", &[f64::NAN], &[], None)),
        ("overlay", overlay(&empty, &bump(2, 0.5, 0.5), options, None)),
        ("map", overlay(&film(0, 9, 9), &odd_map, options, None)),
        ("mask", cam_panel("", &[wrong_mask], options)),
        ("panels", cam_panel("", &[], options)),
        ("activations", activation_grid("", &[], 12)),
        ("odd map", activation_grid("", std::slice::from_ref(&odd_map), 12)),
        ("filters", filter_grid("", &[], 8)),
    ] {
        assert!(matches!(result, Err(Error::Figure(_))), "{what}: {result:?}");
    }
    let too_much = OverlayOptions { alpha: 1.5, ..options };
    let refused = overlay(&film(0, 9, 9), &bump(2, 0.5, 0.5), too_much, None);
    assert!(matches!(refused, Err(Error::Setting { what: "alpha", .. })));
}

#[test]
fn a_channel_is_drawn_in_the_plasma_of_its_standardised_value() {
    // Two values: standardised they are −1 and +1 deviations, 64 and 192 of 255.
    let map = Map::new(2, 1, vec![5.0, 9.0]).unwrap();
    let figure = activation_grid("two", &[map], 12).unwrap();
    for grey in [64.0, 192.0] {
        let colour = Colours::Plasma.at(grey / 255.0);
        let area = figure.image().pixels().filter(|p| **p == colour).count();
        assert!(area >= 100 * 100, "{grey}: {area} pixels");
    }
}

/// The alt text of a figure, and its height.
fn told(figure: Result<Figure>) -> (String, u32) {
    let figure = figure.unwrap();
    (figure.alt().to_owned(), figure.height())
}

#[test]
fn what_would_make_a_figure_too_long_is_left_out_and_counted() {
    let (alt, height) = told(activation_grid("features.relu5", &some_maps(1024, 7), 12));
    assert!(alt.starts_with("features.relu5 (the first 360 of 1024 channels): 360 channels of 7 × 7"), "{alt}");
    assert!((1000..1500).contains(&height), "{height}");
    let (alt, height) = told(films("Films", &some_films(500), 6));
    assert!(alt.starts_with("Films (the first ") && alt.contains(" of 500 films): "), "{alt}");
    assert!((2000..2800).contains(&height), "{height}");
    let (alt, _) = told(cam_panel("Evidence", &some_panels(30), OverlayOptions::default()));
    assert!(alt.starts_with("Evidence (the first 18 of 30 films)"), "{alt}");
    // What fits is whole.
    let (alt, _) = told(activation_grid("features.conv0", &some_maps(360, 7), 12));
    assert!(alt.starts_with("features.conv0: 360 channels"), "{alt}");
    let (alt, _) = told(films("Films", &some_films(24), 6));
    assert!(alt.starts_with("Films: 24 films."), "{alt}");
}

#[test]
fn an_overlay_without_evidence_keeps_the_film_and_one_with_it_shows_the_colour() {
    let film = film(0, 40, 40);
    let flat = Map::new(7, 7, vec![2.0; 49]).unwrap().normalised();
    let even = OverlayOptions { opacity: Opacity::Even, ..OverlayOptions::default() };
    let dark = overlay(&film, &flat, even, None).unwrap();
    for (x, y, pixel) in dark.image().enumerate_pixels() {
        // 0.6 of the film and 0.4 of inferno's first colour, (0, 0, 4).
        let expected = (0.6 * f32::from(film.get_pixel(x, y)[0])).round();
        assert!((f32::from(pixel[0]) - expected).abs() <= 1.0, "{x}, {y}: {pixel:?}");
    }
    let whole = OverlayOptions { alpha: 1.0, ..even };
    let bright = overlay(&film, &bump(7, 0.5, 0.5), whole, None).unwrap();
    let peak = bright.image().get_pixel(22, 22);
    assert!(peak[0] > 200 && peak[1] > 200, "{peak:?}");
}

#[test]
fn the_outline_runs_outside_the_mask_only() {
    let (film, mask) = (film(0, 100, 100), mask(100, 100));
    let flat = Map::new(1, 1, vec![0.0]).unwrap();
    let options = OverlayOptions::default();
    let plain = overlay(&film, &flat, options, None).unwrap();
    let outlined = overlay(&film, &flat, options, Some(&mask)).unwrap();
    let mut changed = 0;
    for (x, y, pixel) in outlined.image().enumerate_pixels() {
        let differs = pixel != plain.image().get_pixel(x, y);
        assert!(!(differs && mask.get_pixel(x, y)[0] > 0), "inside, at {x}, {y}");
        changed += u32::from(differs);
    }
    assert!(changed > 100);
}

#[test]
fn a_saved_figure_is_a_whole_png_and_replaces_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roc.png");
    std::fs::write(&path, "not a picture").unwrap();
    let (labels, scores) = some_scores();
    let curve = Roc::new(&labels, &scores).unwrap();
    let figure = render::roc("Studies", &curve, Ok(Interval::new(0.7, 0.9, IntervalKind::DeLongLogit)), None).unwrap();
    figure.save(&path).unwrap();
    assert!(image::open(&path).unwrap().into_rgb8() == *figure.image());
    assert_eq!(std::fs::read(&path).unwrap(), figure.png().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    assert!(figure.alt().contains("95 % CI 0.700–0.900, DeLong, logit"), "{}", figure.alt());
    let none = render::roc("Studies", &curve, Err(Some(NoInterval::SameOnEveryDraw)), None).unwrap();
    assert!(none.alt().contains("no interval: the same on every draw"), "{}", none.alt());

    figure.save(folder.path().join("roc.SVG")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("roc.SVG")).unwrap(), figure.svg().unwrap());
    for other in ["roc.jpg", "roc", ".png"] {
        let refused = figure.save(folder.path().join(other)).unwrap_err().to_string();
        assert!(refused.contains("ends in .png or .svg") && refused.contains(other), "{refused}");
        assert!(!folder.path().join(other).exists(), "{other}");
    }
    figure.save(folder.path().join("new/roc.png")).unwrap();
    let nowhere = figure.save(path.join("below/roc.png")).unwrap_err();
    assert!(nowhere.to_string().contains("roc.png/below"), "{nowhere}");
}

#[test]
fn charts_are_svg_with_their_words_and_films_are_not() {
    for (name, figure) in FIGURES.iter() {
        let pictures = ["film", "overlay", "cam", "activation", "filter"].iter().any(|kind| name.starts_with(kind));
        let Ok(svg) = figure.svg() else {
            assert!(pictures, "{name}");
            continue;
        };
        assert!(!pictures, "{name}");
        let (width, height) = (figure.width(), figure.height());
        let head = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=");
        assert!(svg.starts_with(&head) && svg.trim_end().ends_with("</svg>"), "{name}: {}", &svg[..200]);
        assert!(svg.contains("role=\"img\" aria-label=") && !svg.contains("NaN"), "{name}");
    }
    let (_, films) = &FIGURES[0];
    let folder = tempfile::tempdir().unwrap();
    let refused = films.save(folder.path().join("films.svg")).unwrap_err();
    assert!(refused.to_string().contains("save it as .png"), "{refused}");
}

#[test]
fn a_reader_draws_with_plotters_and_its_errors_are_one_line() {
    use humerus_render::plotters::prelude::*;
    let figure = Figure::draw((400, 300), "a < line \"of\" my own", |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(10).caption("Mine", ("serif", 20)).x_label_area_size(30).y_label_area_size(40);
        let mut chart = builder.build_cartesian_2d(0..10, 0.0..1.0)?;
        chart.configure_mesh().x_desc("step").draw()?;
        let line = LineSeries::new((0..=10).map(|x| (x, f64::from(x) / 10.0)), palette::VERMILLION.stroke_width(3));
        chart.draw_series(line)?.label("rising").legend(|(x, y)| Circle::new((x + 5, y), 4, RED.filled()));
        chart.configure_series_labels().border_style(BLACK).draw()?;
        Ok(())
    })
    .unwrap();
    assert_eq!((figure.width(), figure.image().width()), (400, 800));
    let line = palette::VERMILLION;
    let drawn = figure.image().pixels().filter(|p| p.0 == [line.0, line.1, line.2]).count();
    assert!(drawn > 2000, "{drawn}");
    let svg = figure.svg().unwrap();
    assert!(
        svg.contains("aria-label=\"a &lt; line &quot;of&quot; my own\"") && svg.contains("Mine"),
        "{}",
        &svg[..300]
    );

    let white = Figure::draw((20, 10), "nothing", |_| Ok(())).unwrap();
    assert!(white.image().pixels().all(|p| p.0 == [255; 3]));
    let failed = Figure::draw((20, 10), "", |_| Err("no such patient".into())).unwrap_err();
    assert!(matches!(&failed, Error::Figure(why) if why == "no such patient"), "{failed:?}");
    let own = Figure::draw((20, 10), "", |_| Err(Box::new(Error::setting("threshold", "0.0 to 1.0", 2)))).unwrap_err();
    assert!(matches!(own, Error::Setting { what: "threshold", .. }), "{own:?}");
    for size in [(0, 10), (10, 0), (10_001, 10), (9_000, 9_000), (u32::MAX, u32::MAX)] {
        let error = Figure::draw(size, "", |_| panic!("drawn")).unwrap_err();
        assert!(matches!(error, Error::Figure(_)), "{error:?}");
    }
}

#[test]
fn a_picture_on_a_figure_of_one_s_own_keeps_its_pixels() {
    use humerus_render::plotters::prelude::*;
    let picture = RgbImage::from_fn(5, 4, |x, y| Rgb([(x * 50) as u8, (y * 60) as u8, 7]));
    let figure = Figure::draw((20, 10), "", |area| {
        Ok(area.draw(
            &BitMapElement::<_, humerus_render::plotters::backend::RGBPixel>::with_owned_buffer(
                (3, 2),
                (5, 4),
                picture.to_vec(),
            )
            .unwrap(),
        )?)
    });
    let figure = figure.unwrap();
    for (x, y, pixel) in picture.enumerate_pixels() {
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            assert_eq!(figure.image().get_pixel(2 * (3 + x) + dx, 2 * (2 + y) + dy), pixel, "{x}, {y}");
        }
    }
    assert!(figure.svg().is_err());
}
