//! The map of a drive: a square for each cell, coloured by the outcome of its chunks.

use super::charts::swatch;
use crate::record::{Cells, ChunkOutcome, State};
use crate::units::{bytes, count, counted};
use std::fmt::Write as _;

/// The most squares of a map, and of all maps on a page.
pub(super) const MOST_CELLS: usize = 4096;

/// The width of a square including its gap, in the drawing and at most on the page.
const PITCH: usize = 12;

/// The squares in a line: as many as can be distinguished on a phone.
const LONGEST_LINE: usize = 64;

/// Draws a map of at most `most` squares with its legend. If nothing was transferred, the squares show the
/// comparison.
pub(super) fn map(state: &State, most: usize, called: &str) -> String {
    let cells = state.cells.merged(most.max(1));
    if cells.is_empty() {
        return String::new();
    }
    let compares = state.plan.as_ref().is_some_and(|plan| plan.action == "verify");
    let chunk_size = state.plan.as_ref().map_or(0, |plan| plan.chunk_size);
    let size = state.plan.as_ref().map_or(0, |plan| plan.size);
    let line = match cells.len() {
        0..=24 => cells.len(),
        25..=256 => 32,
        _ => LONGEST_LINE,
    };
    let lines = cells.len().div_ceil(line);
    let mut squares = String::new();
    for cell in 0..cells.len() {
        let (x, y) = (cell % line * PITCH + 1, cell / line * PITCH + 1);
        let first = cell as u64 * cells.chunks_each();
        let (from, until) = (
            first.saturating_mul(chunk_size),
            (first + cells.chunks_each()).saturating_mul(chunk_size).min(size.max(chunk_size)),
        );
        let _ = write!(
            squares,
            "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"10\" height=\"10\" rx=\"2\"><title>{from} to {until}: {}</title></rect>",
            class(&cells, cell, compares),
            words(&cells, cell),
        );
    }
    let each = if cells.chunks_each() == 1 {
        format!("a square is a chunk of {}", bytes(chunk_size))
    } else {
        format!(
            "a square is {} of {}, coloured by the most important outcome",
            counted(cells.chunks_each(), "chunk"),
            bytes(chunk_size)
        )
    };
    format!(
        "<svg class=\"map\" viewBox=\"0 0 {w} {h}\" width=\"{wide}\" role=\"img\" aria-label=\"{label}\">{squares}</svg>\
         <p class=\"soft\">From the first byte to the last, line by line; {each}. Titles have the byte offsets.</p>{legend}",
        w = line * PITCH,
        h = lines * PITCH,
        wide = line * PITCH * if line <= 32 { 2 } else { 1 },
        label = super::html::text(&format!("Map of {called}: {}", totals(&state.cells))),
        legend = legend(&state.cells, compares),
    )
}

/// Returns the class of a square: its most important outcome, and whether it was compared.
fn class(cells: &Cells, cell: usize, compares: bool) -> String {
    let has = |outcome| cells.count(cell, outcome) > 0;
    let order = [
        ChunkOutcome::Failed,
        ChunkOutcome::Differs,
        ChunkOutcome::Retried,
        ChunkOutcome::Sent,
        ChunkOutcome::Unchanged,
        ChunkOutcome::Resumed,
        ChunkOutcome::Zero,
    ];
    let fill = order.into_iter().find(|outcome| has(*outcome)).map_or("none", ChunkOutcome::name);
    match (has(ChunkOutcome::Verified), compares) {
        (true, true) if fill == "none" => "equal".to_owned(),
        (true, false) => format!("{fill} checked"),
        _ => fill.to_owned(),
    }
}

/// Describes the outcomes of a square's chunks.
fn words(cells: &Cells, cell: usize) -> String {
    let some: Vec<String> = ChunkOutcome::ALL
        .into_iter()
        .filter(|outcome| cells.count(cell, *outcome) > 0)
        .map(|outcome| match cells.chunks_each() {
            1 => outcome.name().to_owned(),
            _ => format!("{} {}", cells.count(cell, outcome), outcome.name()),
        })
        .collect();
    if some.is_empty() { "not transferred".to_owned() } else { some.join(", ") }
}

fn totals(cells: &Cells) -> String {
    let some: Vec<String> = ChunkOutcome::ALL
        .into_iter()
        .filter(|outcome| cells.total(*outcome) > 0)
        .map(|outcome| format!("{} {}", cells.total(outcome), outcome.name()))
        .collect();
    format!("{} chunks, {}", cells.chunks(), some.join(", "))
}

fn legend(cells: &Cells, compares: bool) -> String {
    let mut items = String::new();
    for outcome in ChunkOutcome::ALL {
        let n = cells.total(outcome);
        if n == 0 {
            continue;
        }
        let class = match outcome {
            ChunkOutcome::Verified if compares => "equal",
            ChunkOutcome::Verified => "checked",
            outcome => outcome.name(),
        };
        let words = match outcome {
            ChunkOutcome::Sent => "sent",
            ChunkOutcome::Retried => "of these, after a retry",
            ChunkOutcome::Zero => "zero",
            ChunkOutcome::Unchanged => "unchanged: already at the destination",
            ChunkOutcome::Resumed => "resumed: transferred by an earlier run",
            ChunkOutcome::Failed => "failed",
            ChunkOutcome::Verified if compares => "equal",
            ChunkOutcome::Verified => "verified: read back and equal",
            ChunkOutcome::Differs => "differs",
        };
        let _ = write!(
            items,
            "<li data-outcome=\"{}\" data-count=\"{n}\">{}{} {words}</li>",
            outcome.name(),
            swatch(class),
            count(n)
        );
    }
    let settled = [
        ChunkOutcome::Sent,
        ChunkOutcome::Zero,
        ChunkOutcome::Unchanged,
        ChunkOutcome::Resumed,
        ChunkOutcome::Failed,
    ]
    .map(|outcome| cells.total(outcome));
    let left = cells.chunks().saturating_sub(settled.iter().sum());
    if left > 0 && !compares {
        let _ = write!(items, "<li>{}{} not transferred</li>", swatch("none"), count(left));
    }
    format!("<ul class=\"legend\">{items}</ul>")
}
