//! What a transfer is about to do, and what it has done, in a few lines for people.

use super::progress::per_second;
use crate::event::{Plan, Summary};
use crate::units::{bytes, counted, time};
use std::time::Duration;

/// A plan on one line.
pub fn plan(plan: &Plan) -> String {
    let format = if plan.format.is_empty() { String::new() } else { format!(" ({})", plan.format) };
    let target =
        if plan.target_format.is_empty() { String::new() } else { format!(" as {}", plan.target_format) };
    let mut parts = vec![format!(
        "{} {}{format} to {}{target}: {} in {} of {}",
        plan.action,
        plan.from,
        plan.to,
        bytes(plan.size),
        counted(plan.chunks_total, "chunk"),
        bytes(plan.chunk_size),
    )];
    if plan.chunks_resumed > 0 {
        let (resume, why) = (&plan.resume, &plan.resume_why);
        parts.push(format!("{} of the interrupted run (compared: {resume}, {why})", plan.chunks_resumed));
    }
    if !plan.delta.is_empty() {
        parts.push(format!("only what differs ({}: {})", plan.delta, plan.delta_why));
    }
    parts.push(format!("up to {} at a time", counted(plan.concurrency as u64, "request")));
    parts.push(format!("compression: {}", plan.compress));
    if matches!(plan.action, "upload" | "migrate" | "restore") {
        parts.push(format!("zeros: {}", plan.zeros));
    }
    parts.push(format!("verify: {}", plan.verify));
    parts.join(", ")
}

/// The result of a transfer: a line of what was done, and one of its digest. `done` is what it begins with.
pub fn result(done: &str, summary: &Summary) -> Vec<String> {
    let s = summary;
    let elapsed = Duration::from_secs_f64(s.elapsed_s);
    let chunks = [
        (s.chunks_sent, "transferred"),
        (s.chunks_zero, "zero"),
        (s.chunks_unchanged, "unchanged"),
        (s.chunks_resumed, "resumed"),
        (s.chunks_verified, "verified"),
    ];
    let chunks: Vec<String> =
        chunks.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let retries = match s.retries {
        0 => String::new(),
        1 => "; 1 retry".to_owned(),
        n => format!("; {n} retries"),
    };
    let limit = s.limited_by.map(|limit| format!("; limited by {limit}")).unwrap_or_default();
    let mut lines = vec![format!(
        "{done}: {} in {} ({}/s), {} on the wire; {}: {}{retries}{limit}",
        bytes(s.size),
        time(elapsed),
        bytes(per_second(s.size, elapsed)),
        bytes(s.bytes_wire),
        counted(s.chunks_total, "chunk"),
        if chunks.is_empty() { "nothing to do".to_owned() } else { chunks.join(", ") },
    )];
    if !s.digest.is_empty() {
        lines.push(format!("{} {}", s.digest_kind, s.digest));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_leaves_out_what_did_not_happen() {
        let summary = Summary {
            size: 3 << 20,
            chunks_total: 1,
            chunks_sent: 1,
            bytes_wire: 1 << 20,
            elapsed_s: 1.5,
            digest: "ab".into(),
            digest_kind: "sha256".into(),
            ..Summary::default()
        };
        assert_eq!(
            result("uploaded to oh:d", &summary),
            [
                "uploaded to oh:d: 3.0 MiB in 1.5 s (2.0 MiB/s), 1.0 MiB on the wire; 1 chunk: 1 transferred",
                "sha256 ab"
            ]
        );
        let more = Summary {
            chunks_total: 2000,
            chunks_zero: 2,
            chunks_resumed: 3,
            retries: 2,
            elapsed_s: 130.0,
            limited_by: Some("network"),
            ..summary
        };
        let line = result("downloaded to f", &more).remove(0);
        assert!(line.contains("3.0 MiB in 2m 10s (23.6 KiB/s)"), "{line}");
        assert!(
            line.ends_with("chunks: 1 transferred, 2 zero, 3 resumed; 2 retries; limited by network"),
            "{line}"
        );
    }

    #[test]
    fn a_plan_says_what_an_interrupted_run_did() {
        let upload = Plan {
            action: "upload",
            from: "a.img".into(),
            to: "oh:".into(),
            format: "raw".into(),
            size: 8 << 20,
            chunk_size: 4 << 20,
            chunks_total: 2,
            chunks_resumed: 1,
            concurrency: 32,
            compress: "auto".into(),
            zeros: "probe".into(),
            verify: "none".into(),
            resume: "sample".into(),
            resume_why: "nothing speaks against it".into(),
            ..Plan::default()
        };
        assert_eq!(
            plan(&upload),
            "upload a.img (raw) to oh:: 8.0 MiB in 2 chunks of 4.0 MiB, 1 of the interrupted run (compared: sample, nothing \
             speaks against it), up to 32 requests at a time, compression: auto, zeros: probe, verify: none"
        );
        let other = Plan { action: "download", format: String::new(), chunks_resumed: 0, ..upload };
        assert!(!plan(&other).contains("zeros") && !plan(&other).contains("interrupted"), "{}", plan(&other));
    }
}
