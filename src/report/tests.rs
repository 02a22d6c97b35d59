use super::*;
use crate::event::{Event, Plan, Stage};
use crate::meters::Meters;
use crate::record::{ChunkOutcome, Record, Request};
use std::sync::atomic::Ordering::Relaxed;

/// A report of an upload of `chunks` chunks.
fn report(chunks: u64) -> Report {
    let record = Record::default();
    let plan = Plan {
        action: "upload",
        from: "a.img".into(),
        to: "oh: (a new drive)".into(),
        size: chunks << 22,
        chunk_size: 4 << 20,
        chunks_total: chunks,
        ..Plan::default()
    };
    record.observe(&Event::Plan(Box::new(plan)));
    record.observe(&Event::Stage(Stage::Transfer));
    let meters = Meters::default();
    for index in 0..chunks {
        let outcome = if index % 3 == 0 { ChunkOutcome::Zero } else { ChunkOutcome::Sent };
        record.attempt(index, Request::Write, Duration::from_millis(index % 900), index % 7 != 0);
        record.chunk(index, outcome);
        meters.image.fetch_add(4 << 20, Relaxed);
    }
    record.sample_last(&meters);
    let state = record.snapshot();
    let summary = Summary {
        drive: "u-1".into(),
        size: chunks << 22,
        chunk_size: 4 << 20,
        chunks_total: chunks,
        chunks_sent: state.cells.total(ChunkOutcome::Sent),
        chunks_zero: state.cells.total(ChunkOutcome::Zero),
        elapsed_s: 1.5,
        ..Summary::default()
    };
    Report {
        action: "upload".into(),
        command: "diskferry upload a.img oh:".into(),
        began: SystemTime::UNIX_EPOCH,
        took: Duration::from_millis(1500),
        ending: Ending::default(),
        summary: serde_json::to_value(&summary).ok(),
        rate: state.rate.clone(),
        parts: vec![Part { name: "a.img".into(), state, summary: Some(summary), ..Part::default() }],
        is_set: false,
    }
}

/// The values under `data-key` on a page.
fn figures(page: &str) -> std::collections::BTreeMap<String, String> {
    page.split("data-key=\"")
        .skip(1)
        .map(|rest| {
            let (key, rest) = rest.split_once('"').unwrap();
            let value = rest.split_once("data-value=\"").unwrap().1.split_once('"').unwrap().0;
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn every_figure_of_the_summary_is_on_the_page() {
    let report = report(100);
    let shown = figures(&report.html());
    let serde_json::Value::Object(summary) = report.summary.unwrap() else { panic!() };
    for (key, value) in summary.iter().filter(|(_, value)| !value.is_null()) {
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(shown.get(key), Some(&plain), "{key}");
    }
    assert_eq!(shown["exit_status"], "0");
}

#[test]
fn a_page_of_a_terabyte_is_no_larger_than_others() {
    let page = report(262_144).html();
    assert!(page.len() < 1 << 20, "{}", page.len());
    assert!(page.matches("<rect class=").count() < 4200);
    // A large set has no more squares than a single transfer.
    let many = Report { is_set: true, parts: vec![report(5000).parts.remove(0); 600], ..report(1) };
    let page = many.html();
    assert!(
        page.matches("<rect class=").count() < 4096 + 600 * 8,
        "{}",
        page.matches("<rect class=").count()
    );
    assert!(page.len() < 4 << 20, "{}", page.len());
}

#[test]
fn nothing_from_outside_is_markup() {
    let evil = "<script>alert('x')</script>\" onload=\"x&\u{202e}\u{1b}[2J\n";
    let mut report = report(10);
    for is_set in [false, true] {
        report.is_set = is_set;
        report.action = evil.into();
        report.command = evil.into();
        report.ending = Ending {
            status: 3,
            error: Some(evil.into()),
            hint: Some(evil.into()),
            resume: Some(evil.into()),
        };
        report.summary = Some(serde_json::json!({ "drive": evil, evil: evil, "name": [evil], "bytes_x": 5 }));
        let part = &mut report.parts[0];
        part.name = evil.into();
        part.error = Some(evil.into());
        let plan = part.state.plan.as_mut().unwrap();
        (plan.from, plan.to, plan.format, plan.resume_why) =
            (evil.into(), evil.into(), evil.into(), evil.into());
        part.state.notes.push(crate::record::Note { at: Duration::ZERO, kind: "retry", text: evil.into() });
        let page = report.html();
        let after_head = page.split_once("</head>").unwrap().1;
        assert!(!page.contains("<script") && !after_head.contains("onload=\""), "{is_set}");
        assert!(!page.contains(['\u{202e}', '\u{1b}']));
        assert!(page.matches("&lt;script&gt;").count() > 6);
    }
}

#[test]
fn the_page_fetches_and_runs_nothing() {
    let page = report(10).html();
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script", "<link", "javascript:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn what_did_not_end_well_says_so_first_and_how_to_go_on() {
    let mut report = report(10);
    report.summary = None;
    report.ending = Ending {
        status: 130,
        error: Some("stopped".into()),
        hint: None,
        resume: Some("diskferry upload a.img oh:".into()),
    };
    let page = report.html();
    let header = page.split_once("</header>").unwrap().0;
    assert!(header.contains("interrupted") && header.contains("exit status 130"));
    assert!(header.contains("<pre id=\"resume\">diskferry upload a.img oh:</pre>"));
    assert!(page.contains("it proves nothing about the whole") && !page.contains("What exit 0 rests on"));
}

#[test]
fn what_an_exit_of_0_rests_on_is_what_was_done() {
    let says = |change: fn(&mut Part)| {
        let mut report = report(9);
        change(&mut report.parts[0]);
        basis::sentences(&report).join(" ")
    };
    let plain = says(|_| ());
    assert!(plain.contains("None of the 9 chunks is missing. 6 chunks were written"), "{plain}");
    assert!(plain.contains("Nothing was read back") && !plain.contains("flush"), "{plain}");
    let flushed = says(|part| part.flushes = 2);
    assert!(flushed.contains("confirmed 2 flushes"), "{flushed}");
    let verified = says(|part| part.summary.as_mut().unwrap().chunks_verified = 9);
    assert!(verified.contains("every chunk was read back"), "{verified}");
    let continued = says(|part| {
        part.summary.as_mut().unwrap().chunks_resumed = 3;
        let planned = part.state.plan.as_mut().unwrap();
        (planned.resume, planned.resume_why) = ("sample".into(), "nothing speaks against it".into());
    });
    assert!(
        continued.contains("including the first and the last") && continued.contains("(nothing speaks"),
        "{continued}"
    );
    let equal = says(|part| {
        part.state.plan.as_mut().unwrap().action = "verify";
        part.summary.as_mut().unwrap().chunks_verified = 9;
    });
    assert!(equal.contains("9 chunks of 9 were read at both ends"), "{equal}");
}

#[test]
fn a_square_has_the_colour_of_what_matters_most() {
    let mut report = report(10);
    let state = &mut report.parts[0].state;
    state.cells = crate::record::Cells::new(8, 4);
    for (index, outcome) in [
        (0, ChunkOutcome::Sent),
        (1, ChunkOutcome::Failed),
        (2, ChunkOutcome::Zero),
        (3, ChunkOutcome::Sent),
        (3, ChunkOutcome::Retried),
        (4, ChunkOutcome::Resumed),
    ] {
        state.cells.add(index, outcome);
    }
    state.cells.add(5, ChunkOutcome::Sent);
    state.cells.add(5, ChunkOutcome::Verified);
    let page = report.html();
    let squares: Vec<&str> =
        page.split("<rect class=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    let map: Vec<&str> = squares.iter().copied().skip_while(|class| *class != "failed").take(4).collect();
    assert_eq!(map, ["failed", "retried", "sent checked", "none"]);
    assert!(page.contains("<title>0 to 8388608: 1 sent, 1 failed</title>"), "{page}");
    assert!(page.contains("data-outcome=\"failed\" data-count=\"1\""));
}
