use super::*;
use crate::stop::pair;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

fn member(disk: &str, name: &str) -> Member {
    Member { remote: "oh".into(), account: "https://oh/ u".into(), disk: disk.into(), name: name.into() }
}

fn failed(kind: Kind) -> Result<()> {
    Err(Error::new(kind, "no"))
}

proptest! {
    #[test]
    fn the_shards_are_the_set_and_none_is_in_two(keys in prop::collection::vec(".{1,40}", 0..60), of in 1..50_u64) {
        let shards: Vec<Shard> = (1..=of).map(|index| format!("{index}/{of}").parse().unwrap()).collect();
        for key in &keys {
            prop_assert_eq!(shards.iter().filter(|shard| shard.has(key)).count(), 1);
        }
    }
}

#[test]
fn where_a_member_goes_is_written_in_stone() {
    // Machines with different versions share the work, so these values must never change.
    let shard = |text: &str| text.parse::<Shard>().unwrap();
    let key = member("6339D58E-0c36-4a0b-9a4c-1a2b3c4d5e6f", "x").key();
    assert_eq!(key, "6339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f");
    let of = |n: u64| (1..=n).find(|index| shard(&format!("{index}/{n}")).has(&key)).unwrap();
    assert_eq!([of(1), of(2), of(3), of(8), of(100)], KNOWN);
    assert_ne!(member("a", "").key(), Member { account: "b".into(), ..member("a", "") }.key());
}

const KNOWN: [u64; 5] = [1, 2, 3, 6, 10];

#[test]
fn shards_are_about_as_large_as_each_other() {
    let keys: Vec<String> = (0..8000_u128).map(|n| uuid::Uuid::from_u128(n).to_string()).collect();
    for index in 1..=8 {
        let shard: Shard = format!("{index}/8").parse().unwrap();
        let has = keys.iter().filter(|key| shard.has(key)).count();
        assert!((800..1200).contains(&has), "{has}");
    }
}

#[test]
fn a_shard_that_does_not_exist_is_refused() {
    for bad in ["0/4", "5/4", "1/0", "4", "a/4", "1/b", "1/2/3", "-1/4", "", "/", "1/1000001"] {
        let e = bad.parse::<Shard>().expect_err(bad);
        assert_eq!(e.kind(), Kind::Usage, "{bad}");
    }
    assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
}

/// Runs `count` members that take a second each, in a window of 16 MiB with chunks of 1 MiB. Each member
/// holds `holds` bytes. Returns the largest number of members that ran at a time, and the total time.
async fn play(count: usize, holds: u64) -> (usize, Duration) {
    let window = Window::new(16 << 20);
    let at_once = AtOnce::new(&window, 1 << 20);
    let members: Vec<usize> = (0..count).collect();
    let (running, most) = (Cell::new(0), Cell::new(0));
    let start = tokio::time::Instant::now();
    let ended = run(&members, &at_once, &Stop::never(), |member| {
        let (window, running, most) = (window.clone(), &running, &most);
        Box::pin(async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            let _permit = window.acquire(holds.max(1)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            running.set(running.get() - 1);
            Ok(*member)
        })
    })
    .await;
    let places: Vec<usize> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(places, members);
    (most.get(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn small_ones_run_beside_each_other_and_large_ones_one_by_one() {
    let (most, took) = play(16, 1 << 20).await;
    assert_eq!(most, MOST_AT_ONCE);
    assert!(took < Duration::from_secs(6), "{took:?}");
    // Each member fills the window by itself.
    assert_eq!(play(4, 16 << 20).await.0, 1);
}

#[test]
fn no_more_run_than_have_room_for_their_chunks() {
    let most = |window: u64, chunk: u64| AtOnce::new(&Window::new(window << 20), chunk << 20).most();
    assert_eq!([most(40, 4), most(40, 16), most(40, 64), most(24, 4)], [4, 1, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_stop_the_rest_and_a_stop_does() {
    let at_once = AtOnce::new(&Window::new(16 << 20), 1 << 20);
    let (asker, stop) = pair();
    let begun = RefCell::new(Vec::new());
    let ended = run(&[0, 1, 2, 3, 4], &at_once, &stop, |member| {
        begun.borrow_mut().push(*member);
        let asker = asker.clone();
        Box::pin(async move {
            match member {
                0 => failed(Kind::NotFound),
                2 => {
                    asker.stop();
                    failed(Kind::Interrupted)
                }
                _ => Ok(()),
            }
        })
    })
    .await;
    assert_eq!(*begun.borrow(), [0, 1, 2]);
    let kinds: Vec<_> = ended.iter().map(|ended| ended.as_ref().err().map(Error::kind)).collect();
    let interrupted = Some(Kind::Interrupted);
    assert_eq!(kinds, [Some(Kind::NotFound), None, interrupted, interrupted, interrupted]);
    let verdict = verdict(&ended, &stop, "downloaded", "drive").unwrap();
    assert_eq!(verdict.to_string(), "stopped: 4 of 5 drives not downloaded");
    assert_eq!(verdict.kind().exit_code(), 130);
}

#[test]
fn how_a_set_ended_is_its_exit_status() {
    let code = |ended: Vec<Result<()>>| {
        verdict(&ended, &Stop::never(), "moved", "drive").map_or(0, |error| error.kind().exit_code())
    };
    assert_eq!(code(vec![Ok(()), Ok(())]), 0);
    assert_eq!(code(vec![Ok(()), failed(Kind::NotFound)]), 3);
    assert_eq!(code(vec![failed(Kind::Incomplete), failed(Kind::Auth)]), 3);
    assert_eq!(code(vec![failed(Kind::Auth), failed(Kind::Auth)]), 4);
    assert_eq!(code(vec![failed(Kind::Auth), failed(Kind::Exists)]), 1);
    assert_eq!(code(vec![failed(Kind::NotFound), failed(Kind::NotFound)]), 1);
    assert_eq!(code(vec![failed(Kind::Full)]), 1);
}

#[test]
fn drives_of_one_name_have_files_of_their_own() {
    let form = FileForm::default();
    let members = [member("u-1", "web"), member("u-2", "db"), member("u-3", "Web"), member("u-4", "../web")];
    let files = files(Path::new("d"), &members, form);
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    assert_eq!(names, ["d/web-u-1", "d", "d/Web-u-3", "d"]);
}

#[test]
fn notes_last_until_the_whole_set_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let sets = SetDirectory::new(dir.path().join("sets"));
    let words = ["download".to_owned(), "oh:".to_owned()];
    let journal = dir.path().join("a.journal");
    std::fs::write(&journal, b"x").unwrap();
    let mut notes = sets.open(&words).unwrap();
    assert!(!notes.has("a"));
    assert_eq!(sets.open(&words).unwrap_err().kind(), Kind::Locked);
    notes.note("a", &journal).unwrap();
    drop(notes);
    assert_eq!((sets.peek(&words), sets.peek(&words[..1])), (1, 0));
    // An incomplete line does not count, and does not spoil the next one.
    let path = std::fs::read_dir(dir.path().join("sets")).unwrap().next().unwrap().unwrap().path();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(&line_of_torn());
    std::fs::write(&path, &text).unwrap();
    let mut notes = sets.open(&words).unwrap();
    assert!(notes.has("a") && !notes.has("b"));
    notes.note("c", &dir.path().join("gone.journal")).unwrap();
    drop(notes);
    let notes = sets.open(&words).unwrap();
    assert!(notes.has("a") && notes.has("c"));
    notes.remove().unwrap();
    assert!(!journal.exists() && !path.exists());
    let empty = sets.open(&words).unwrap();
    empty.leave();
    assert!(!path.exists());
}

fn line_of_torn() -> String {
    "0011223344556677 [\"b\",\"/etc/b.jour".to_owned()
}

#[test]
fn notes_remove_nothing_but_journals() {
    let dir = tempfile::tempdir().unwrap();
    let sets = SetDirectory::new(dir.path().to_owned());
    let precious = dir.path().join("precious");
    std::fs::write(&precious, b"x").unwrap();
    let words = ["w".to_owned()];
    sets.open(&words).unwrap().note("a", &precious).unwrap();
    let notes = sets.open(&words).unwrap();
    assert!(!notes.has("a"));
    notes.remove().unwrap();
    assert!(precious.exists());
}
