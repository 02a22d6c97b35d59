//! Explains what the exit status is based on, from what was actually done.

use super::{Part, Report};
use crate::event::{Plan, Summary};
use crate::units::counted;

/// Returns the sentences of the last section.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    if report.ending.status != 0 {
        return unproved(report);
    }
    if report.is_set {
        return of_set(report);
    }
    match report.parts.first() {
        Some(Part { state, summary: Some(summary), flushes, .. }) => {
            of_one(state.plan.as_ref(), summary, *flushes)
        }
        _ => vec!["Nothing had to be transferred.".to_owned()],
    }
}

/// Returns the evidence for a successful transfer.
fn of_one(plan: Option<&Plan>, s: &Summary, flushes: u64) -> Vec<String> {
    let action = plan.map_or("", |plan| plan.action);
    if action == "verify" {
        let all = if s.chunks_verified == s.chunks_total { "all" } else { "a sample" };
        return vec![format!(
            "{} of {} were read at both ends and compared byte by byte: {all} of the image. None differs.",
            counted(s.chunks_verified, "chunk"),
            s.chunks_total
        )];
    }
    let mut all = vec![format!(
        "None of the {} is missing. {}",
        counted(s.chunks_total, "chunk"),
        accounts(s, action == "download")
    )];
    if s.chunks_resumed > 0
        && let Some(plan) = plan
    {
        all.push(earlier(plan, s));
    }
    if flushes > 0 {
        all.push(format!(
            "The destination makes writes durable only when it is flushed: it confirmed {}, the last one after the last write.",
            counted(flushes, "flush").replace("flushs", "flushes")
        ));
    }
    all.push(verified(s));
    all.push(
        "At the end the source was checked for changes during the transfer; none was detected, as far as it can be told."
            .to_owned(),
    );
    if !s.digest.is_empty() {
        let of = match &*s.digest_kind {
            "sha256" => "the SHA-256 of the whole image, as sha256sum prints it",
            _ => "the digest over the digests of all chunks",
        };
        all.push(format!("{}: {} ({of}).", s.digest_kind, s.digest));
    }
    all
}

/// Returns what happened to the chunks, each with why it counts.
fn accounts(s: &Summary, is_download: bool) -> String {
    let mut parts = Vec::new();
    if s.chunks_sent > 0 {
        let n = counted(s.chunks_sent, "chunk");
        parts.push(if is_download {
            format!("{n} were received completely and written to the file, which was synced before it got its name")
        } else {
            format!(
                "{n} were written, and each counts because the remote acknowledged a write of exactly its bytes with the \
                 reply that its manual specifies"
            )
        });
    }
    if s.chunks_zero > 0 {
        let where_ = if is_download {
            "hold zeros and are holes of the file"
        } else {
            "hold zeros, where the destination reads as zero or was made to"
        };
        parts.push(format!("{} {where_}", counted(s.chunks_zero, "chunk")));
    }
    if s.chunks_unchanged > 0 {
        parts.push(format!(
            "{} were not written, because the destination was known to hold them",
            counted(s.chunks_unchanged, "chunk")
        ));
    }
    if s.chunks_resumed > 0 {
        parts.push(format!("{} were transferred by an earlier run", counted(s.chunks_resumed, "chunk")));
    }
    parts.join("; ") + "."
}

/// Returns how the work of an earlier run was checked.
fn earlier(plan: &Plan, s: &Summary) -> String {
    let why = if plan.resume_why.is_empty() { String::new() } else { format!(" ({})", plan.resume_why) };
    match &*plan.resume {
        "full" => {
            format!("All {} of the earlier run were compared again{why}.", counted(s.chunks_resumed, "chunk"))
        }
        "sample" => format!(
            "A sample of the earlier run's work, including the first and the last chunk, was read back and compared{why}. \
             Any difference would have caused a comparison of all of it."
        ),
        _ => format!(
            "The earlier run's work was not compared again{why}: that part relies on its journal, and on nobody having \
             written there since."
        ),
    }
}

fn verified(s: &Summary) -> String {
    match s.chunks_verified {
        0 => "Nothing was read back afterwards: the evidence is the acknowledgements. To read back, use `--verify sample` or `--verify full`."
            .to_owned(),
        n if n >= s.chunks_total => "Afterwards every chunk was read back and compared with the source: all are equal.".to_owned(),
        n => format!("Afterwards {} were read back and compared with the source: all are equal.", counted(n, "chunk")),
    }
}

fn of_set(report: &Report) -> Vec<String> {
    let done: Vec<&Summary> = report.parts.iter().filter_map(|part| part.summary.as_ref()).collect();
    let sum = |of: fn(&Summary) -> u64| done.iter().map(|summary| of(summary)).sum::<u64>();
    let whole = Summary {
        chunks_total: sum(|s| s.chunks_total),
        chunks_sent: sum(|s| s.chunks_sent),
        chunks_zero: sum(|s| s.chunks_zero),
        chunks_unchanged: sum(|s| s.chunks_unchanged),
        chunks_resumed: sum(|s| s.chunks_resumed),
        chunks_verified: sum(|s| s.chunks_verified),
        ..Summary::default()
    };
    let mut all = vec![format!(
        "Each of the {} ended as it would have alone, and none is missing a chunk. Of {} in all: {}",
        counted(done.len() as u64, "member"),
        counted(whole.chunks_total, "chunk"),
        accounts(&whole, report.action == "download")
    )];
    if whole.chunks_resumed > 0 {
        let ways: std::collections::BTreeSet<&str> = report
            .parts
            .iter()
            .filter_map(|part| part.state.plan.as_ref())
            .filter(|plan| plan.chunks_resumed > 0)
            .map(|plan| &*plan.resume)
            .collect();
        let ways: Vec<&str> = ways.into_iter().collect();
        all.push(format!("The work of earlier runs was checked by: {}.", ways.join(", ")));
    }
    let flushes: u64 = report.parts.iter().map(|part| part.flushes).sum();
    if flushes > 0 {
        all.push(format!(
            "The destinations confirmed {flushes} flushes, the last of each after its last write."
        ));
    }
    all.push(verified(&whole));
    all
}

/// Returns what is known about a command that failed.
fn unproved(report: &Report) -> Vec<String> {
    let cells = |outcome| report.parts.iter().map(|part| part.state.cells.total(outcome)).sum::<u64>();
    let sent = cells(crate::record::ChunkOutcome::Sent);
    let mut all = vec![format!(
        "This command ended with {}, so it proves nothing about the whole image. 0 would mean that the destination holds the bytes \
         that the source held during the run.",
        report.ending.status
    )];
    if report.ending.status == 6 {
        all.push("The comparison found a difference; the map and the error say where.".to_owned());
    } else if sent > 0 {
        all.push(format!(
            "{} were transferred by this run and acknowledged. They are recorded, and a later run checks that before it builds \
             on it.",
            counted(sent, "chunk")
        ));
    }
    if report.is_set {
        let done = report.parts.iter().filter(|part| part.summary.is_some()).count() as u64;
        all.push(format!(
            "{} of the set {} done; statements about a completed member apply to it alone.",
            counted(done, "member"),
            if done == 1 { "is" } else { "are" }
        ));
    }
    all
}
