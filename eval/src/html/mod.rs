//! The report as one HTML page that needs nothing else: styles, plots and pictures are inside.

mod pictures;
mod plots;

use std::path::Path;

use anyhow::Context as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sandglass_eval::Dataset;
use sandglass_eval::analysis::{Confusion, GroupScore, Matched};
use sandglass_eval::tide::Kind;

use crate::output::percent;
use crate::result::{Analysis, ROUNDS, Whole};

const STYLE: &str = include_str!("style.css");

/// Writes the report.
pub(crate) fn write(path: &Path, whole: &Whole, matched: &Matched, truth: &Dataset) -> anyhow::Result<()> {
    let page = page(whole, matched, truth)?;
    std::fs::write(path, page.into_string()).with_context(|| format!("writing {}", path.display()))
}

fn page(whole: &Whole, matched: &Matched, truth: &Dataset) -> anyhow::Result<Markup> {
    let report = &whole.report;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Detection report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Detection report" }
                p.lead {
                    @if let Some(detector) = &whole.detector { (detector) ". " }
                    (report.images) " images, " (report.per_class.len()) " classes, a hit at an IoU of " (report.iou)
                    " or more. By the rules of the Pascal VOC devkit."
                }
                (headline(whole))
                (classes(whole, matched)?)
                @if let Some(analysis) = &whole.analysis { (behind(analysis, matched, truth)?) }
                (coco(whole))
                (oddities(whole))
                footer { "Made by sandglass-eval " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    })
}

fn headline(whole: &Whole) -> Markup {
    let card = |value: String, name: &str, hint: String| {
        html! { div.card { div.value { (value) } div { (name) } div.hint { (hint) } } }
    };
    let report = &whole.report;
    html! {
        div.cards {
            (card(percent(report.map_11_point), "mAP, 11-point", "VOC2007".into()))
            @if let Some(analysis) = &whole.analysis {
                @let interval = analysis.bootstrap.interval;
                (card(percent(report.map_all_point), "mAP, all-point", format!(
                    "95 % of {ROUNDS} drawings: {} to {}", percent(Some(interval.low)), percent(Some(interval.high))
                )))
            }
            @if let Some(coco) = &whole.coco {
                (card(percent(coco.ap), "AP, COCO", "IoU 0.50 to 0.95".into()))
            }
            @let found: usize = report.per_class.values().map(|class| class.tp).sum();
            @let npos: usize = report.per_class.values().map(|class| class.npos).sum();
            (card(format!("{found}"), "objects found", format!("of {npos}, at any score")))
        }
    }
}

fn classes(whole: &Whole, matched: &Matched) -> anyhow::Result<Markup> {
    let thresholds = whole.analysis.as_ref().map(|analysis| &analysis.thresholds);
    Ok(html! {
        h2 { "Classes" }
        p {
            "Average precision in percent. The threshold is the score with the best F1, the harmonic mean of precision and "
            "recall: a place to cut where both matter the same."
        }
        div.wide { table {
            thead { tr {
                th.name { "class" } th { "11-point" } th { "all-point" } th { "objects" } th { "hits" }
                th { "false alarms" } th { "ignored" } th { "threshold" } th { "F1" } th { "precision" } th { "recall" }
            } }
            tbody {
                @for (name, class) in &whole.report.per_class {
                    @let best = thresholds.and_then(|thresholds| thresholds.get(name));
                    tr {
                        td.name { (name) }
                        td { (percent(class.ap_11_point)) } td.strong { (percent(class.ap_all_point)) }
                        td { (class.npos) } td { (class.tp) } td { (class.fp) } td { (class.ignored) }
                        @if let Some(best) = best {
                            td { (format!("{:.2}", best.threshold)) } td { (format!("{:.2}", best.f1)) }
                            td { (format!("{:.2}", best.precision)) } td { (format!("{:.2}", best.recall)) }
                        } @else { td { "–" } td { "–" } td { "–" } td { "–" } }
                    }
                }
            }
        } }
        h2 { "Precision against recall" }
        div.grid {
            @for class in matched.classes.iter().filter(|class| class.npos() > 0) {
                figure {
                    (PreEscaped(plots::curve(&class.curve())?))
                    figcaption {
                        (class.name) " "
                        @if let Some(score) = whole.report.per_class.get(&class.name) { b { (percent(score.ap_all_point)) } }
                    }
                }
            }
        }
    })
}

fn behind(analysis: &Analysis, matched: &Matched, truth: &Dataset) -> anyhow::Result<Markup> {
    Ok(html! {
        h2 { "Errors by kind" }
        p {
            "How much mean average precision each kind of error costs, by TIDE's rules (its own mean average precision is "
            (percent(Some(analysis.errors.ap))) ")."
        }
        (PreEscaped(plots::errors(&analysis.errors)?))
        div.wide { table {
            thead { tr { th.name { "kind" } th.name { "meaning" } th { "count" } th { "costs" } } }
            tbody {
                @for (kind, cost) in &analysis.errors.errors {
                    tr {
                        td.name { (kind.name()) } td.name { (meaning(*kind)) } td { (cost.count) }
                        td { (percent(Some(cost.d_ap))) }
                    }
                }
                tr { td.name { "all false positives" } td.name { "if all of them had the lowest score" } td {} td { (percent(Some(analysis.errors.false_positives))) } }
                tr { td.name { "all false negatives" } td.name { "if nothing were missed" } td {} td { (percent(Some(analysis.errors.false_negatives))) } }
            }
        } }
        h2 { "Scores" }
        p { "How the scores of hits and of false alarms are spread. The scale is logarithmic." }
        (PreEscaped(plots::histogram(&analysis.scores)?))
        h2 { "Size and shape" }
        div.pair { (groups("Size", &analysis.by_size)) (groups("Width to height", &analysis.by_aspect)) }
        h2 { "Confusion" }
        p {
            "Rows: what an object is. Columns: what it was taken for, at the threshold of each class. The last row holds "
            "detections on background, the last column objects that were missed."
        }
        (confusion(&analysis.confusion))
        h2 { "The worst pictures" }
        p {
            "Most mistakes at the thresholds of the classes. " b.missed { "Missed" } ", " b.alarm { "false alarm" } ", "
            b.hit { "found" } "."
        }
        div.pictures {
            @for worst in &analysis.worst { (pictures::figure(worst, matched, truth)) }
        }
    })
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Classification => "on an object of another class",
        Kind::Localisation => "on an object of its class, with too little overlap",
        Kind::Both => "on an object of another class, with too little overlap",
        Kind::Duplicate => "on an object that a surer detection found",
        Kind::Background => "on nothing",
        Kind::Missed => "an object that nothing points at",
    }
}

fn groups(name: &str, groups: &[GroupScore]) -> Markup {
    html! {
        table {
            thead { tr { th.name { (name) } th { "objects" } th { "mAP" } th { "recall" } } }
            tbody {
                @for group in groups {
                    tr {
                        td.name { (group.group.name) } td { (group.npos) } td { (percent(group.map)) }
                        td { (percent(group.recall)) }
                    }
                }
            }
        }
    }
}

fn confusion(confusion: &Confusion) -> Markup {
    let last = confusion.classes.len();
    let name =
        |at: usize, otherwise: &str| confusion.classes.get(at).cloned().unwrap_or_else(|| otherwise.into());
    html! {
        div.wide { table.confusion {
            thead { tr { th {} @for column in 0..=last { th { span { (name(column, "missed")) } } } } }
            tbody {
                @for (number, row) in confusion.counts.iter().enumerate() {
                    @let sum: usize = row.iter().sum();
                    tr {
                        th.name { (name(number, "background")) }
                        @for (column, count) in row.iter().enumerate() {
                            @let share = if sum > 0 { *count as f64 / sum as f64 } else { 0.0 };
                            @let kind = if number == column { "right" } else { "wrong" };
                            td class=(kind) style=(format!("--share:{share:.3}")) {
                                @if *count > 0 { (count) }
                            }
                        }
                    }
                }
            }
        } }
    }
}

fn coco(whole: &Whole) -> Markup {
    let Some(coco) = &whole.coco else { return html! {} };
    html! {
        h2 { "By COCO's rules" }
        div.wide { table {
            thead { tr { @for (name, _) in coco.numbers() { th { (name) } } } }
            tbody { tr { @for (_, value) in coco.numbers() { td { (percent(value)) } } } }
        } }
    }
}

/// What was odd in the input, and what equal scores could do.
fn oddities(whole: &Whole) -> Markup {
    html! {
        @if let Some(ties) = &whole.report.ties {
            h2 { "Equal scores" }
            p {
                "In another order of equal scores the all-point mean could be " (percent(Some(ties.ap_all_point.low)))
                " to " (percent(Some(ties.ap_all_point.high))) ", the 11-point one "
                (percent(Some(ties.ap_11_point.low))) " to " (percent(Some(ties.ap_11_point.high))) "."
            }
        }
        @if !whole.skipped.is_empty() {
            h2 { "Odd input" }
            @for (kind, tally) in whole.skipped.kinds() {
                p { (kind.meaning()) ": " b { (tally.count) } }
                ul { @for place in &tally.first { li { (place) } } }
            }
        }
    }
}
