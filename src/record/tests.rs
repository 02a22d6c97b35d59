use super::cells::MOST_CELLS;
use super::rate::MOST_POINTS;
use super::*;
use std::sync::atomic::Ordering::Relaxed;

fn planned(action: &'static str, chunks_total: u64) -> Event {
    Event::Plan(Box::new(Plan { action, chunks_total, ..Plan::default() }))
}

#[test]
fn a_terabyte_takes_no_more_room_than_any_image() {
    let record = Record::default();
    record.observe(&planned("upload", 262_144));
    let cells = record.snapshot().cells;
    assert!(cells.len() as u64 <= MOST_CELLS && cells.len() > 1000, "{}", cells.len());
    (0..262_144).for_each(|index| record.chunk(index, ChunkOutcome::Sent));
    record.chunk(u64::MAX, ChunkOutcome::Sent);
    let cells = record.snapshot().cells;
    assert_eq!(cells.total(ChunkOutcome::Sent), 262_144);
    assert!((0..cells.len()).all(|cell| cells.count(cell, ChunkOutcome::Sent) == 64));
    let few = cells.merged(100);
    assert!(few.len() <= 100 && few.total(ChunkOutcome::Sent) == 262_144, "{}", few.len());
    assert_eq!(few.chunks_each() % 64, 0);
    assert!(Cells::new(0, 9).is_empty() && Cells::new(1, 9).len() == 1 && Cells::new(100, 9).len() <= 9);
}

#[test]
fn a_chunk_that_took_several_attempts_is_told_from_one_that_failed() {
    let record = Record::default();
    record.observe(&planned("upload", 10));
    let second = Duration::from_secs(1);
    record.attempt(3, Request::Write, second, false);
    record.attempt(3, Request::Write, second, true);
    record.chunk(3, ChunkOutcome::Sent);
    record.attempt(4, Request::Write, second, false);
    record.chunk(4, ChunkOutcome::Failed);
    record.chunk(4, ChunkOutcome::Sent);
    record.attempt(5, Request::Read, second, true);
    record.chunk(5, ChunkOutcome::Sent);
    let state = record.snapshot();
    let totals = [ChunkOutcome::Sent, ChunkOutcome::Retried, ChunkOutcome::Failed]
        .map(|outcome| state.cells.total(outcome));
    assert_eq!(totals, [3, 1, 1]);
    assert_eq!((state.writes.total(), state.reads.total()), (3, 1));
    assert!(state.retried.is_empty());
}

#[test]
fn the_proof_of_an_earlier_run_is_no_verification() {
    let record = Record::default();
    record.observe(&planned("upload", 10));
    record.chunk(0, ChunkOutcome::Verified);
    record.observe(&Event::Stage(Stage::Verify));
    record.chunk(1, ChunkOutcome::Differs);
    assert_eq!(record.snapshot().cells.total(ChunkOutcome::Differs), 0);
    record.observe(&Event::Stage(Stage::Transfer));
    record.chunk(2, ChunkOutcome::Verified);
    assert_eq!(record.snapshot().cells.total(ChunkOutcome::Verified), 1);
    let compared = Record::default();
    compared.observe(&planned("verify", 10));
    compared.chunk(0, ChunkOutcome::Verified);
    assert_eq!(compared.snapshot().cells.total(ChunkOutcome::Verified), 1);
}

#[test]
fn zeros_that_are_written_after_all_count_once() {
    let record = Record::default();
    record.observe(&planned("upload", 2));
    record.chunk(1, ChunkOutcome::Zero);
    record.take_back_zero(1);
    record.chunk(1, ChunkOutcome::Sent);
    let cells = record.snapshot().cells;
    assert_eq!((cells.total(ChunkOutcome::Zero), cells.total(ChunkOutcome::Sent)), (0, 1));
}

#[test]
fn a_long_transfer_has_few_points_and_none_is_lost_at_the_ends() {
    let (mut rate, meters) = (Rate::default(), Meters::default());
    for tenth in 1..=40_000_u64 {
        meters.image.store(tenth * 10, Relaxed);
        rate.sample(Duration::from_millis(tenth * 100), &meters);
        assert!(rate.points().len() <= MOST_POINTS);
    }
    meters.wire.store(7, Relaxed);
    rate.push(Duration::from_secs(4001), &meters);
    let points = rate.points();
    assert_eq!(points[0], Point::default());
    assert_eq!(points.last().unwrap(), &Point { at: Duration::from_secs(4001), image: 400_000, wire: 7 });
    assert!(points.len() > MOST_POINTS / 3, "{}", points.len());
    assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));
}

#[test]
fn what_an_earlier_run_moved_is_no_rate() {
    let (mut rate, meters) = (Rate::default(), Meters::default());
    meters.image.store(100, Relaxed);
    meters.resumed.store(60, Relaxed);
    meters.verified.store(5, Relaxed);
    rate.push(Duration::from_secs(1), &meters);
    assert_eq!(rate.points()[1].image, 45);
}

#[test]
fn latencies_fall_into_classes() {
    let mut all = Latencies::default();
    assert_eq!(all.within(0.5), None);
    for ms in [0, 1, 3, 3, 40, 700_000] {
        all.add(Duration::from_millis(ms));
    }
    assert_eq!((all.counts()[0], all.counts()[2], all.counts()[BOUNDS_MS.len()]), (2, 2, 1));
    assert_eq!(all.within(0.5), Some(Duration::from_millis(5)));
    assert_eq!(all.within(1.0), Some(Duration::from_secs(700)));
    let mut two = Latencies::default();
    two.add(Duration::from_millis(3));
    two.merge(&all);
    assert_eq!((two.total(), two.longest()), (7, Duration::from_secs(700)));
}

#[test]
fn more_notes_than_anybody_reads_are_counted() {
    let record = Record::default();
    for n in 0..MOST_NOTES + 5 {
        record.observe(&Event::Warning(n.to_string()));
    }
    let state = record.snapshot();
    assert_eq!((state.notes.len(), state.notes_left_out), (MOST_NOTES, 5));
}
