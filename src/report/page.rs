//! Draws the page.

use super::html::{STYLE, text};
use super::map::{MOST_CELLS, map};
use super::{Part, Report, basis, charts, figures};
use crate::record::{Latencies, Note};
use crate::units::{bytes, count, counted, per_second, time};
use std::fmt::Write as _;
use std::time::Duration;

/// The most notes on a page, and the most members whose figures are shown.
const MOST_NOTES: usize = 500;
const MOST_MEMBERS: usize = 2000;

/// The fewest squares of a member's map; with fewer there is none.
const FEWEST_CELLS: usize = 8;

/// Returns the complete page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::with_capacity(256 << 10);
    let title = format!("diskferry {}", report.action);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        text(&format!("{title}: {}", status(report.ending.status).1)),
    );
    header(report, &mut page);
    if let Some(summary) = &report.summary {
        let title = if report.ending.status == 0 { "Summary" } else { "What was done" };
        section(title, &figures::table(summary), &mut page);
    }
    if report.is_set {
        section(&counted(report.parts.len() as u64, "member"), &members(report), &mut page);
    }
    section("Rate over time", &charts::rate(&report.rate), &mut page);
    maps(report, &mut page);
    latency(report, &mut page);
    notes(report, &mut page);
    let title = if report.ending.status == 0 { "What exit 0 rests on" } else { "What is known" };
    let mut sentences = String::new();
    for sentence in basis::sentences(report) {
        let _ = write!(sentences, "<p>{}</p>", with_code(&text(&sentence)));
    }
    section(title, &sentences, &mut page);
    let _ = writeln!(
        page,
        "<footer>Written by diskferry {}. Sizes are in powers of 1024.</footer>\n</main>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    );
    page
}

/// Escapes text and marks up backticks as code.
fn with_code(text: &str) -> String {
    let mut parts: Vec<String> = text.split('`').map(str::to_owned).collect();
    if parts.len() % 2 == 1 {
        parts.iter_mut().skip(1).step_by(2).for_each(|code| *code = format!("<code>{code}</code>"));
        return parts.concat();
    }
    text.to_owned()
}

/// Returns the class and the words for an exit status.
fn status(status: u8) -> (&'static str, &'static str) {
    match status {
        0 => ("good", "done"),
        3 => ("warn", "incomplete"),
        130 => ("warn", "interrupted"),
        6 => ("bad", "contents differ"),
        _ => ("bad", "failed"),
    }
}

fn section(title: &str, body: &str, page: &mut String) {
    if !body.is_empty() {
        let _ = writeln!(page, "<section>\n<h2>{}</h2>\n{body}\n</section>", text(title));
    }
}

fn header(report: &Report, page: &mut String) {
    let (class, words) = status(report.ending.status);
    let _ = writeln!(
        page,
        "<header>\n<h1>diskferry {}</h1>\n<p><span class=\"status {class}\">{words}</span> \
         <span data-key=\"exit_status\" data-value=\"{code}\">exit status {code}</span></p>",
        text(&report.action),
        code = report.ending.status,
    );
    if let Some(error) = &report.ending.error {
        let _ = writeln!(page, "<p class=\"error\">{}</p>", text(error));
    }
    if let Some(hint) = &report.ending.hint {
        let _ = writeln!(page, "<p class=\"soft\">{}</p>", text(hint));
    }
    if let Some(resume) = &report.ending.resume {
        let _ = writeln!(page, "<p>Resume with:</p><pre id=\"resume\">{}</pre>", text(resume));
    }
    tiles(report, page);
    if report.ending.resume.as_ref() != Some(&report.command) {
        let command = text(&report.command);
        let _ = writeln!(page, "<p class=\"soft\">The command:</p><pre id=\"command\">{command}</pre>");
    }
    if let (false, Some(plan)) =
        (report.is_set, report.parts.first().and_then(|part| part.state.plan.as_ref()))
    {
        let format = if plan.format.is_empty() { String::new() } else { format!(" ({})", plan.format) };
        let _ = writeln!(
            page,
            "<p>{} {}{} to {}</p>",
            text(plan.action),
            text(&plan.from),
            text(&format),
            text(&plan.to)
        );
    }
    let _ = writeln!(
        page,
        "<p class=\"soft\">Began {}, took {}.</p>\n</header>",
        text(&httpdate::fmt_http_date(report.began)),
        time(report.took)
    );
}

/// Draws the most important figures.
fn tiles(report: &Report, page: &mut String) {
    let Some(summary) = &report.summary else { return };
    let number = |key: &str| summary.get(key).and_then(serde_json::Value::as_u64);
    let seconds = summary.get("elapsed_s").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let elapsed = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let mut tile = String::new();
    let mut add = |name: &str, value: String| {
        let _ = write!(tile, "<div><dt>{}</dt><dd>{}</dd></div>", text(name), text(&value));
    };
    if let (Some(done), Some(total)) = (number("members_done"), number("members_total")) {
        add("members done", format!("{} of {}", count(done), count(total)));
    }
    if let Some(size) = number("size") {
        add("image", bytes(size));
        if report.ending.status == 0 && !elapsed.is_zero() {
            add("a second", bytes(per_second(size, elapsed)));
        }
    }
    if let Some(wire) = number("bytes_wire") {
        add("on the wire", bytes(wire));
    }
    add("took", time(report.took));
    if let Some(retries) = number("retries") {
        add("retries", count(retries));
    }
    let _ = writeln!(page, "<dl class=\"tiles\">{tile}</dl>");
}

/// Returns the table of a set's members.
fn members(report: &Report) -> String {
    let mut rows = String::new();
    for part in report.parts.iter().take(MOST_MEMBERS) {
        let (class, state) = match (&part.error, &part.summary) {
            (Some(_), _) => ("bad", "failed"),
            (None, Some(_)) => ("good", "done"),
            (None, None) => ("warn", "not begun"),
        };
        let cell =
            |of: fn(&crate::event::Summary) -> String| part.summary.as_ref().map(of).unwrap_or_default();
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}{}</th><td><span class=\"status {class}\">{state}</span></td><td class=\"n\" data-label=\"size\">{}</td>\
             <td class=\"n\" data-label=\"sent\">{}</td><td class=\"n\" data-label=\"resumed\">{}</td>\
             <td class=\"n\" data-label=\"took\">{}</td></tr>",
            text(&part.name),
            part.error
                .as_ref()
                .map(|error| format!("<br><span class=\"soft\">{}</span>", text(error)))
                .unwrap_or_default(),
            cell(|s| bytes(s.size)),
            cell(|s| count(s.chunks_sent)),
            cell(|s| count(s.chunks_resumed)),
            cell(|s| Duration::try_from_secs_f64(s.elapsed_s).map(time).unwrap_or_default()),
        );
    }
    let more = match report.parts.len().saturating_sub(MOST_MEMBERS) {
        0 => String::new(),
        more => format!("<p class=\"soft\">and {} more</p>", count(more as u64)),
    };
    format!(
        "<div class=\"wide\"><table class=\"members\"><thead><tr><th scope=\"col\">member</th><th scope=\"col\">state</th>\
         <th scope=\"col\">size</th><th scope=\"col\">sent</th><th scope=\"col\">resumed</th><th scope=\"col\">took</th>\
         </tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )
}

fn maps(report: &Report, page: &mut String) {
    if !report.is_set {
        if let Some(part) = report.parts.first() {
            section("Map of the image", &map(&part.state, MOST_CELLS, &part.name), page);
        }
        return;
    }
    // Those that failed come first.
    let (failed, rest): (Vec<&Part>, Vec<&Part>) = report.parts.iter().partition(|part| part.error.is_some());
    let shown: Vec<&Part> =
        failed.into_iter().chain(rest).filter(|part| !part.state.cells.is_empty()).collect();
    let each = (MOST_CELLS / shown.len().max(1)).max(FEWEST_CELLS);
    let mut body = String::new();
    for part in shown.iter().take(MOST_CELLS / each) {
        let open = if part.error.is_some() || shown.len() == 1 { " open" } else { "" };
        let _ = writeln!(
            body,
            "<details{open}><summary>{}</summary>{}</details>",
            text(&part.name),
            map(&part.state, each, &part.name)
        );
    }
    section("Maps of the images", &body, page);
}

fn latency(report: &Report, page: &mut String) {
    let (mut reads, mut writes) = (Latencies::default(), Latencies::default());
    for part in &report.parts {
        reads.merge(&part.state.reads);
        writes.merge(&part.state.writes);
    }
    let body = charts::latencies("Reads", &reads) + &charts::latencies("Writes", &writes);
    if !body.is_empty() {
        section("How long requests took", &format!("<div class=\"columns\">{body}</div>"), page);
    }
}

/// Draws errors, warnings and retries.
fn notes(report: &Report, page: &mut String) {
    let mut items = String::new();
    let mut item = |kind: &str, at: Option<Duration>, name: &str, words: &str| {
        let name = if report.is_set { format!("{}: ", text(name)) } else { String::new() };
        let at = at.map(|at| format!("<span class=\"soft\">{}</span> ", time(at))).unwrap_or_default();
        let _ = writeln!(items, "<li>{at}<span class=\"tag {kind}\">{kind}</span>{name}{}</li>", text(words));
    };
    let mut all: Vec<(&Note, &str)> = Vec::new();
    for part in &report.parts {
        if let Some(error) = &part.error {
            item("failed", None, &part.name, error);
        }
        all.extend(part.state.notes.iter().map(|note| (note, &*part.name)));
    }
    all.sort_by_key(|(note, _)| note.at);
    all.iter().take(MOST_NOTES).for_each(|(note, name)| item(note.kind, Some(note.at), name, &note.text));
    let left = all.len().saturating_sub(MOST_NOTES) as u64
        + report.parts.iter().map(|part| part.state.notes_left_out).sum::<u64>();
    let more =
        if left > 0 { format!("<p class=\"soft\">and {} more</p>", count(left)) } else { String::new() };
    let body = if items.is_empty() {
        "<p class=\"soft\">None.</p>".to_owned()
    } else {
        format!("<ul class=\"notes\">{items}</ul>{more}")
    };
    section("Errors, warnings and retries", &body, page);
}
