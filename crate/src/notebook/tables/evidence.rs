//! The table of what tells whether heat maps mean something.

use crate::counted;
use crate::explain::EvidenceReport;
use render::Table;

/// Whether maps mean something: figures beside what chance gives, and kinds of films.
pub fn evidence(report: &EvidenceReport) -> [Table; 3] {
    let EvidenceReport { method, target, layers, size, films, without_evidence, threshold, tuned_on, .. } = report;
    let title =
        format!("{method} for {target} at {layers}, input of {size} pixels, {}", counted(*films, "true positive"));
    let iou = match tuned_on {
        0 => format!("IoU at {threshold} (not tuned)"),
        n => format!("IoU at {threshold} (tuned on {n})"),
    };
    let header = ["map", "hit rate", "energy in mask", "times uniform", &iou, "deletion", "insertion", "ROAD"];
    let mut figures = Table::new(title, header);
    let some = |mean: Option<crate::explain::evidence::Mean>| mean.map_or(String::new(), |it| it.to_string());
    for row in &report.figures {
        let times = row.times_uniform.map_or(String::new(), |it| format!("{it:.1}"));
        let cells = [row.whose.clone(), row.hit.to_string(), row.energy.to_string(), times, row.iou.to_string()];
        figures.row(cells.into_iter().chain([some(row.deletion), some(row.insertion), some(row.road)]));
    }
    let mut strata = Table::new("Hit rate by kind of film", ["films", "", "hit rate", "uniform map"]);
    for (name, hit, uniform) in &report.strata {
        strata.row([name.clone(), hit.films.to_string(), hit.to_string(), uniform.to_string()]);
    }
    let mut checks = Table::new("", ["check", ""]);
    checks.row(["maps without positive evidence".to_owned(), without_evidence.to_string()]);
    if let Some(cascade) = &report.cascade {
        checks.row(["learnt".to_owned(), cascade.to_string()]);
        for step in &cascade.steps {
            let (part, ssim, rank) = (step.part, step.ssim, step.rank_correlation);
            checks.row([format!("random down to {part}"), format!("SSIM {ssim:.3}, rank correlation {rank:.3}")]);
        }
    }
    checks.row(["film".to_owned(), report.independence.to_string()]);
    [figures, strata, checks]
}
