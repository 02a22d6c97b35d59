//! Charts of the rate over time and of request latencies.

use super::html::text;
use crate::record::{BOUNDS_MS, Latencies, Rate};
use crate::units::{bytes, count, counted, per_second, time};
use std::fmt::Write as _;
use std::time::Duration;

/// The size of the drawing. It is stretched to the page's width, so it contains no text.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// The rates between two points, in bytes per second.
struct Step {
    from: f64,
    until: f64,
    image: u64,
    wire: u64,
}

/// Draws the rates of image bytes and bytes on the wire.
pub(super) fn rate(rate: &Rate) -> String {
    let steps: Vec<Step> = rate
        .points()
        .windows(2)
        .filter(|pair| pair[1].at > pair[0].at)
        .map(|pair| {
            let took = pair[1].at.saturating_sub(pair[0].at);
            let rate = |before: u64, after: u64| per_second(after.saturating_sub(before), took);
            Step {
                from: pair[0].at.as_secs_f64(),
                until: pair[1].at.as_secs_f64(),
                image: rate(pair[0].image, pair[1].image),
                wire: rate(pair[0].wire, pair[1].wire),
            }
        })
        .collect();
    let Some(last) = rate.points().last().filter(|_| !steps.is_empty()) else {
        return "<p class=\"soft\">It ended before anything was transferred.</p>".to_owned();
    };
    let (most, cut) = scale(&steps);
    let end = last.at.as_secs_f64();
    let line = |of: fn(&Step) -> u64| {
        let mut path = String::new();
        for step in &steps {
            let y = HEIGHT - of(step).min(most) as f64 / most as f64 * (HEIGHT - 4.0);
            let (x, until) = (step.from / end * WIDTH, step.until / end * WIDTH);
            let _ =
                write!(path, "{}{x:.1},{y:.1} L{until:.1},{y:.1}", if path.is_empty() { "M" } else { " L" });
        }
        path
    };
    let (image, wire) = (line(|step| step.image), line(|step| step.wire));
    let mean = |moved: u64| bytes(per_second(moved, last.at));
    let mut grid = String::new();
    for quarter in 1..4 {
        let y = HEIGHT / 4.0 * f64::from(quarter);
        let _ = write!(grid, "<path class=\"grid\" d=\"M0,{y} H{WIDTH}\"/>");
    }
    format!(
        "<div class=\"axis\"><span>{}/s{}</span></div>\
         <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Rate over time: {}/s of the image and {}/s on the wire on average\">{grid}\
         <path class=\"area\" d=\"{image} L{WIDTH},{HEIGHT} L0,{HEIGHT} Z\"/>\
         <path class=\"line image\" d=\"{image}\"/><path class=\"line wireline\" d=\"{wire}\"/></svg>\
         <div class=\"axis\"><span>0 s</span><span>{}</span></div>\
         <ul class=\"legend\"><li>{}image, {}/s on average</li><li>{}on the wire, {}/s on average</li></ul>",
        bytes(most),
        if cut { "; higher values are cut off" } else { "" },
        mean(last.image),
        mean(last.wire),
        time(last.at),
        swatch("sent"),
        mean(last.image),
        swatch("wire"),
        mean(last.wire),
    )
}

/// Returns the rate at the top of the chart, and whether higher rates are cut off. Gigabytes of holes take a
/// moment, and scaling to them would hide everything else.
fn scale(steps: &[Step]) -> (u64, bool) {
    let mut rates: Vec<u64> = steps.iter().map(|step| step.image.max(step.wire)).collect();
    rates.sort_unstable();
    let most = rates.last().copied().unwrap_or(0).max(1);
    let usual = rates.get(rates.len().saturating_sub(1) * 49 / 50).copied().unwrap_or(most);
    let top = usual.saturating_add(usual / 4);
    if top > 0 && most / 4 > top { (top, true) } else { (most, false) }
}

/// Returns a colour swatch for a legend.
pub(super) fn swatch(class: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><rect class=\"{class}\" x=\"1\" y=\"1\" width=\"14\" height=\"14\" rx=\"3\"/></svg>"
    )
}

/// Draws the latencies of reads or writes.
pub(super) fn latencies(title: &str, all: &Latencies) -> String {
    if all.total() == 0 {
        return String::new();
    }
    let counts = all.counts();
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut rows = String::new();
    for (class, n) in counts.iter().copied().enumerate().take(last + 1).skip(first) {
        let percent = n as f64 / most as f64 * 100.0;
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td><svg class=\"bar\" role=\"img\" aria-label=\"{percent:.0} per cent of the most frequent\">\
             <rect width=\"{percent:.1}%\" height=\"100%\" rx=\"2\"/></svg></td><td class=\"n\">{}</td></tr>",
            class_name(class),
            count(n),
        );
    }
    let within = |share| all.within(share).map(time).unwrap_or_default();
    format!(
        "<div><h3>{}</h3><table class=\"latency\"><tbody>{rows}</tbody></table>\
         <p class=\"soft\">{}: half within {}, 99 % within {}, the longest {}</p></div>",
        text(title),
        counted(all.total(), "request"),
        within(0.5),
        within(0.99),
        time(all.longest()),
    )
}

fn class_name(class: usize) -> String {
    let ms = |class: usize| BOUNDS_MS.get(class).map(|ms| Duration::from_millis(*ms));
    let short = |bound: Duration| match bound.as_millis() {
        ms if ms < 1000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000),
    };
    match (class.checked_sub(1).and_then(ms), ms(class)) {
        (None, Some(bound)) => format!("up to {}", short(bound)),
        (Some(bound), None) => format!("over {}", short(bound)),
        (_, Some(bound)) => format!("to {}", short(bound)),
        (None, None) => String::new(),
    }
}
