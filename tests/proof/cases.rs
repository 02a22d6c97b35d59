//! Named schedules. Each was a way to get exit 0 over wrong bytes, two drives, a hang or a loss.

use crate::describe;
use crate::draw::draw;
use crate::model::image;
use crate::preload::{Action, Call, Class, Rule};
use crate::schedule::{Change, Direction, Meanwhile, Place, Run, Schedule, Setup, Step, Stop, Which};
use crate::trap::Moment;
use crate::try_play;
use Which::{A, B};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;

const CHUNK: u64 = 64 << 10;
const CHUNKS: u64 = 40;

fn setup(direction: Direction) -> Setup {
    let options = ["--timeout", "1s", "--retries", "3", "--concurrency", "4"];
    Setup {
        direction,
        provider: Provider::OpenHosting,
        from: Provider::Crosspeer,
        chunk: CHUNK,
        size: CHUNK * CHUNKS,
        content: 7,
        options: options.map(str::to_owned).to_vec(),
        verify: "none",
        faults: String::new(),
        source_faults: String::new(),
        full: false,
    }
}

/// Plays a schedule and asserts that every invariant holds.
fn holds(setup: Setup, steps: Vec<Step>) {
    let schedule = Schedule { name: "case".to_owned(), setup, steps };
    if let (told, Err(violation)) = try_play(&schedule) {
        panic!("{}", describe(&schedule, &told, &violation));
    }
}

/// Plays the schedule of a seed that once failed.
fn seed_holds(seed: u64) {
    let schedule = draw(seed);
    holds(schedule.setup, schedule.steps);
}

fn moment(operation: Operation, stage: Stage, nth: u64) -> Moment {
    Moment { operation, stage, nth }
}

/// The moment when the remote has answered the n-th write.
fn writes(nth: u64) -> Moment {
    moment(Operation::Write, Stage::Answered, nth)
}

/// The moment when the remote has answered the n-th read.
fn reads(nth: u64) -> Moment {
    moment(Operation::Read, Stage::Answered, nth)
}

fn interrupted(which: Which, moment: Moment) -> Run {
    Run::stopped(which, Stop::Interrupt(moment))
}

fn killed(which: Which, moment: Moment) -> Run {
    Run::stopped(which, Stop::Kill(moment))
}

fn paused(which: Which, moment: Moment, meanwhile: Meanwhile) -> Run {
    Run::stopped(which, Stop::Pause(moment, meanwhile))
}

fn disk(class: Class, call: Call, nth: u64, action: Action) -> Run {
    Run::stopped(A, Stop::Disk(Rule::new(class, call, nth, action)))
}

fn run(run: Run) -> Step {
    Step::Run(run)
}

#[test]
fn case_01_two_images_into_one_drive_resumed() {
    let steps = vec![run(interrupted(A, writes(15))), run(Run::whole(B)), Step::Finish(A)];
    holds(setup(Direction::Named), steps);
}

#[test]
fn case_01_another_client_wrote_between_two_runs() {
    let steps = vec![run(interrupted(A, writes(15))), Step::Write(Place::Target, 0, CHUNK), Step::Finish(A)];
    holds(setup(Direction::Named), steps);
}

#[test]
fn case_01_another_client_wrote_a_few_bytes_where_counters_tell() {
    let steps = vec![run(interrupted(A, writes(15))), Step::Write(Place::Target, 777, 10), Step::Finish(A)];
    holds(Setup { provider: Provider::CloudSigma, ..setup(Direction::Named) }, steps);
}

#[test]
fn case_01_the_far_end_was_put_back_to_an_older_state() {
    let steps = vec![
        Step::Snapshot(Place::Target),
        run(interrupted(A, writes(15))),
        Step::Restore(Place::Target),
        Step::Finish(A),
    ];
    holds(setup(Direction::Named), steps);
}

#[test]
fn case_02_two_drives_into_one_file_resumed() {
    let steps =
        vec![run(interrupted(A, reads(15))), run(interrupted(B, reads(15)).restarted()), Step::Finish(A)];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_02_a_foreign_part_of_the_right_size() {
    let steps = vec![run(interrupted(A, reads(15))), Step::Part, Step::Finish(A)];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_02_a_stray_part_stays_as_it_is() {
    let steps = vec![
        Step::Part,
        run(Run::whole(A)),
        run(Run::whole(A).forced()),
        run(Run::whole(A).restarted()),
        Step::Finish(A),
    ];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_02_two_downloads_into_one_file_at_once() {
    let steps = vec![run(paused(A, reads(15), Meanwhile::Second(B)).forced()), Step::Finish(A)];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_03_the_drive_is_rewritten_between_two_runs_of_its_download() {
    let steps = vec![run(interrupted(A, reads(15))), Step::Write(Place::Source, 0, CHUNK), Step::Finish(A)];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_03_the_drive_is_rewritten_between_two_runs_of_its_migration() {
    for direction in [Direction::Migrate, Direction::MigrateNew] {
        let steps =
            vec![run(interrupted(A, writes(15))), Step::Write(Place::Source, 0, CHUNK), Step::Finish(A)];
        holds(setup(direction), steps);
    }
}

#[test]
fn case_04_a_sync_of_the_part_fails_and_loses_pages() {
    for action in [Action::Enospc, Action::Eio] {
        let steps = vec![run(disk(Class::Part, Call::Sync, 1, action)), Step::Finish(A)];
        holds(setup(Direction::Download), steps);
    }
}

#[test]
fn case_05_a_page_is_no_acknowledgement() {
    let faults = "page=0.2,seed=3".to_owned();
    holds(Setup { faults, ..setup(Direction::Named) }, vec![run(Run::whole(A)), Step::Finish(A)]);
}

#[test]
fn case_07_the_source_changes_while_it_is_read() {
    for change in [Change::Truncate, Change::InPlace(0), Change::InPlace(CHUNK * 39), Change::Append] {
        let meanwhile = Meanwhile::Change(change);
        let steps =
            vec![run(paused(A, moment(Operation::Write, Stage::Received, 5), meanwhile)), Step::Finish(A)];
        holds(setup(Direction::New), steps);
    }
}

#[test]
fn case_08_an_unacknowledged_chunk_that_is_zero_in_the_next_run() {
    let mut setup = setup(Direction::StdinNew);
    setup.options = ["--timeout", "1s", "--retries", "3", "--concurrency", "1"].map(str::to_owned).to_vec();
    let image = image(&setup, 1);
    let chunks = image.chunks(usize::try_from(CHUNK).unwrap());
    // The ninth write is of the ninth chunk that is not zero.
    let ninth = (0..).zip(chunks).filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0)).nth(8).unwrap().0;
    let killed = killed(A, moment(Operation::Write, Stage::Applied, 9));
    holds(setup, vec![run(killed), Step::Change(A, Change::Zeros(ninth * CHUNK)), Step::Finish(A)]);
}

/// Two per cent of a new drive read as what was there before. Played several times, since luck decides what a
/// check misses.
#[test]
fn case_09_a_partly_dirty_new_drive() {
    for content in 100..108 {
        let setup = Setup { content, size: 400 * CHUNK, chunk: 16 * CHUNK, ..setup(Direction::StdinNew) };
        let made = moment(Operation::Create, Stage::Applied, 1);
        let stale = Meanwhile::Write(200 * CHUNK, 8 * CHUNK);
        let steps = vec![Step::Change(A, Change::Zeros(0)), run(paused(A, made, stale)), Step::Finish(A)];
        holds(setup, steps);
    }
}

#[test]
fn case_10_after_a_difference_everything_is_compared() {
    let faults = "drop=0.9,seed=4".to_owned();
    let setup = Setup { faults, verify: "sample", ..setup(Direction::Named) };
    holds(setup, vec![run(Run::whole(A)), Step::Finish(A)]);
}

#[test]
fn case_11_two_uploads_into_one_drive_at_once() {
    let steps = vec![run(paused(A, writes(15), Meanwhile::Second(B))), Step::Finish(A)];
    holds(setup(Direction::Named), steps);
}

#[test]
fn case_12_killed_between_the_link_and_the_removal_of_the_part() {
    let steps = vec![
        run(disk(Class::Part, Call::Name, 2, Action::Kill)),
        run(Run::whole(A).forced()),
        run(killed(B, reads(5)).forced()),
        Step::Finish(A),
    ];
    holds(setup(Direction::Download), steps);
}

#[test]
fn case_13_the_source_is_rewritten_and_its_mtime_put_back() {
    for direction in [Direction::Named, Direction::New] {
        let steps = vec![
            run(interrupted(A, writes(15))),
            Step::Change(A, Change::InPlace(0)),
            run(Run::whole(A)),
            Step::Finish(A),
        ];
        holds(setup(direction), steps);
    }
}

/// The records by which `--verify full` revoked chunks are at the journal's end, and are lost.
#[test]
fn case_14_the_journal_loses_its_revocations() {
    let faults = "drop=0.1,seed=4".to_owned();
    let setup = Setup { faults, verify: "full", ..setup(Direction::Named) };
    for at in [980, 950, 900] {
        let steps = vec![
            run(Run::whole(A)),
            Step::Calm,
            Step::Cut(at),
            run(Run::whole(A).unverified()),
            Step::Finish(A),
        ];
        holds(setup.clone(), steps);
    }
}

/// The machine loses power right after a comparison has revoked chunks.
#[test]
fn case_14_a_power_loss_takes_the_revocations() {
    for (direction, faults) in
        [(Direction::Download, "bend=0.2,seed=5"), (Direction::Named, "drop=0.1,seed=4")]
    {
        let setup = Setup { faults: faults.to_owned(), verify: "full", ..setup(direction) };
        let crash = disk(Class::Journal, Call::Exit, 1, Action::Crash);
        holds(setup, vec![run(crash), Step::Calm, run(Run::whole(A).unverified()), Step::Finish(A)]);
    }
}

#[test]
fn case_15_a_container_is_not_a_disk() {
    for magic in [&b"QFI\xfb\0\0\0\x03"[..], &b"\x1f\x8b\x08\0\0\0\0\0"[..]] {
        let schedule =
            Schedule { name: "container".to_owned(), setup: setup(Direction::New), steps: Vec::new() };
        let ended = crate::play::container(&schedule, magic);
        assert!(
            ended.code.is_some_and(|code| code == 1 || code == 2),
            "{magic:?} went up: {}",
            ended.brief()
        );
        assert!(ended.stderr.contains("--source-format"), "{}", ended.stderr);
    }
}

#[test]
fn a_create_that_is_answered_oddly_makes_one_drive() {
    for how in ["page", "nameless", "failed", "lost"] {
        for then in ["", "+refused"] {
            for provider in [Provider::OpenHosting, Provider::CloudSigma] {
                let faults = format!("create={how}{then}");
                let setup = Setup { provider, faults, ..setup(Direction::New) };
                holds(setup, vec![run(Run::whole(A)), run(Run::whole(A)), Step::Finish(A)]);
            }
        }
    }
}

#[test]
fn a_drive_is_printed_before_the_journal_that_finds_it_goes() {
    for action in [Action::Kill, Action::Enospc] {
        let steps = vec![run(disk(Class::Out, Call::Write, 1, action)), Step::Finish(A)];
        holds(setup(Direction::New), steps);
    }
}

#[test]
fn a_journal_cut_inside_its_header_makes_no_second_drive() {
    for at in [0, 1, 5, 50, 100] {
        holds(setup(Direction::New), vec![run(killed(A, writes(15))), Step::Cut(at), Step::Finish(A)]);
    }
}

#[test]
fn a_download_that_was_killed_after_its_last_name_is_done() {
    let steps = vec![run(disk(Class::Journal, Call::Name, 1, Action::Kill)), Step::Succeed(A)];
    holds(setup(Direction::Download), steps);
}

#[test]
fn one_interrupt_ends_the_migration_of_a_slow_stream() {
    let source_faults = "rate=400k".to_owned();
    let setup = Setup { source_faults, ..setup(Direction::Appliance) };
    for nth in 1..=3 {
        holds(setup.clone(), vec![run(interrupted(A, writes(nth))), Step::Finish(A)]);
    }
}

#[test]
fn one_interrupt_ends_writes_that_stall() {
    let faults = "late=1,late-for=60s".to_owned();
    let interrupt = interrupted(A, moment(Operation::Write, Stage::Received, 3));
    let mut setup = Setup { faults, ..setup(Direction::Named) };
    setup.options = ["--timeout", "60s", "--retries", "3", "--concurrency", "4"].map(str::to_owned).to_vec();
    holds(setup, vec![run(interrupt), Step::Finish(A)]);
}

/// A create that Ctrl-C abandoned was taken for one that was never sent, and the next run created another
/// drive.
#[test]
fn seed_43_a_create_that_was_given_up_stays_in_doubt() {
    seed_holds(43);
}

/// A write was answered with a redirect before its body was sent, and the reads waited for its buffer
/// forever.
#[test]
fn seed_139_a_dead_write_holds_up_no_read() {
    seed_holds(139);
}

/// The journal lost the record of the drive, and the next run created another.
#[test]
fn seed_1315_a_journal_that_lost_its_drive_makes_no_second_one() {
    seed_holds(1315);
}
