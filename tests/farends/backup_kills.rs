//! Backups, restores and prunes that are killed while another process is at work in the same store. Whatever index there is, is whole.

use crate::backups::{CHUNK, change, same};
use crate::casync;
use crate::random::Random;
use crate::support::moment::{LONG, kill};
use crate::world::{Ended, World, noise};
use diskferry::emulator::{Next, Operation, Seen, Stage};
use rustix::process::Pid;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// How many runs of each kind are killed.
const KILLS: usize = 5;
/// Runs may end before their moment comes.
const MOST_ROUNDS: usize = 100;
const CHUNKS: u64 = 64;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Backup,
    ToDrive,
    ToFile,
    Prune,
}

/// When.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many requests for the bytes of a drive.
    Requests(Operation, u64),
    /// So many files of the store more or fewer.
    Files(u64),
    /// So many bytes of the file that it writes.
    Bytes(u64),
    /// A time.
    After(Duration),
}

/// A store, two drives that are backed up, and one that is written to.
struct Scene {
    world: World,
    drives: [String; 2],
    spare: String,
    random: RefCell<Random>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let world = World::new("");
        let random = RefCell::new(Random::new(seed));
        let upload = |name: &str, bytes: Vec<u8>| {
            let file = format!("{name}.img");
            std::fs::write(world.path(&file), bytes).unwrap();
            world.upload(&[&file, "oh:", "--name", name, "--chunk-size", "64k"])
        };
        let drives = ["one", "two"].map(|name| upload(name, image(name.len() as u64)));
        let spare = upload("spare", noise(77, usize::try_from(CHUNKS * CHUNK).unwrap()));
        Self { world, drives, spare, random }
    }

    fn draw(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end)
    }

    fn store(&self) -> PathBuf {
        self.world.path("store")
    }

    /// Changes some chunks of a drive, whole or by what differs.
    fn change(&self, n: usize) {
        let name = format!("{}.img", ["one", "two"][n]);
        let (step, first, seed) = (3 + self.draw(9), self.draw(3), self.draw(1 << 40));
        change(&self.world.path(&name), (first..CHUNKS).step_by(usize::try_from(step).unwrap()), seed);
        let target = format!("oh:{}", self.drives[n]);
        let delta: &[&str] = if self.draw(2) == 0 { &["--delta"] } else { &[] };
        self.done(&[&["upload", &name, &target, "--chunk-size", "64k"], delta].concat());
    }

    fn backup(&self, n: usize) -> Vec<String> {
        let target = format!("oh:{}", self.drives[n]);
        words(&["backup", &target, "store", "--chunk-size", "64k", "--concurrency", "4"])
    }

    fn victim(&self, victim: Victim) -> Vec<String> {
        let target = format!("oh:{}", self.spare);
        match victim {
            Victim::Backup => self.backup(0),
            Victim::ToDrive => words(&["restore", "store/one", &target, "--chunk-size", "64k"]),
            Victim::ToFile => words(&["restore", "store/one", "back.img", "--force", "--chunk-size", "64k"]),
            Victim::Prune => words(&["backups", "prune", "store", "--keep-last", "1"]),
        }
    }

    fn moment(&self, victim: Victim, takes: Duration) -> Moment {
        let by_time = self.draw(3) == 0;
        match victim {
            _ if by_time => Moment::After(takes * u32::try_from(self.draw(100)).unwrap() / 100),
            Victim::Backup if self.draw(2) == 0 => Moment::Requests(Operation::Read, 1 + self.draw(6)),
            // The properties and the index are the last of them.
            Victim::Backup => Moment::Files(1 + self.draw(8)),
            Victim::ToDrive => Moment::Requests(Operation::Write, 1 + self.draw(30)),
            Victim::ToFile => Moment::Bytes(1 + self.draw(20 * CHUNK)),
            Victim::Prune => Moment::Files(1 + self.draw(4)),
        }
    }

    /// What another process does meanwhile.
    fn beside(&self) -> Vec<String> {
        match self.draw(6) {
            0 | 1 => self.backup(1),
            2 => words(&["restore", "store/two", "beside.img", "--force", "--chunk-size", "64k"]),
            3 => words(&["backups", "prune", "store", "--keep-last", "2"]),
            4 => words(&["backups", "verify", "store"]),
            _ => words(&["backups", "list", "store"]),
        }
    }

    fn done(&self, args: &[impl AsRef<str>]) -> Ended {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let ended = self.world.run(&args);
        assert_eq!(ended.code, 0, "{args:?}: {} {}", ended.stdout, ended.stderr);
        ended
    }

    fn spawn(&self, args: &[String], name: &str) -> Child {
        let file = |end: &str| File::create(self.world.path(&format!("{name}.{end}"))).unwrap();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.world.command(&args).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
    }

    fn said(&self, name: &str) -> String {
        let text = |end: &str| std::fs::read_to_string(self.world.path(&format!("{name}.{end}"))).unwrap();
        text("stdout") + &text("stderr")
    }

    /// Runs a victim until its moment beside another process, which has to succeed. Returns whether it was killed: if not, it has
    /// ended before, and well.
    fn round(&self, victim: Victim, moment: Moment) -> bool {
        let (args, beside) = (self.victim(victim), self.beside());
        eprintln!("{moment:?} of {args:?} beside {beside:?}");
        let pid = Arc::new(OnceLock::<Pid>::new());
        if let Moment::Requests(operation, nth) = moment {
            let drive = if operation == Operation::Read { &self.drives[0] } else { &self.spare };
            self.kill_at(Arc::clone(&pid), operation, drive.clone(), nth);
        }
        let (before, start) = (files(&self.store()), Instant::now());
        let mut child = self.spawn(&args, "victim");
        pid.set(Pid::from_child(&child)).unwrap();
        let mut other = self.spawn(&beside, "beside");
        let is_due = || match moment {
            Moment::Requests(..) => false,
            Moment::Files(n) => files(&self.store()).abs_diff(before) >= n,
            Moment::Bytes(n) => written(&self.world.path("")) >= n,
            Moment::After(time) => start.elapsed() >= time,
        };
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if is_due() {
                // Its end by itself may be just now.
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            assert!(start.elapsed() < LONG, "it never ends");
            std::thread::sleep(Duration::from_micros(300));
        };
        let ended = wait(&mut other);
        self.world.emulator().clear_hook();
        assert!(ended.success(), "{beside:?}: {}", self.said("beside"));
        assert!(self.world.emulator().settle(LONG));
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{args:?}: {}", self.said("victim"));
        killed
    }

    /// Kills a process when the n-th such request of a drive comes.
    fn kill_at(&self, pid: Arc<OnceLock<Pid>>, operation: Operation, drive: String, nth: u64) {
        let seen_so_far = AtomicU64::new(0);
        self.world.emulator().set_hook(move |seen: &Seen| {
            let counts = seen.stage == Stage::Received
                && seen.operation == operation
                && seen.drive.as_ref() == Some(&drive);
            if counts && seen_so_far.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                kill(*pid.wait());
            }
            Next::Proceed
        });
    }

    /// Runs a killed restore to its end, which brings what the drive holds.
    fn finish(&self, victim: Victim) {
        let restored = match victim {
            Victim::ToDrive => self.world.drive_file(&self.spare),
            Victim::ToFile => self.world.path("back.img"),
            Victim::Backup | Victim::Prune => return,
        };
        self.done(&self.victim(victim));
        assert!(same(&self.world.path("one.img"), &restored), "{victim:?}");
    }

    /// Every backup is whole.
    fn verify(&self) {
        self.done(&["backups", "verify", "store", "--read-data"]);
    }

    /// The newest index of a name.
    fn newest(&self, name: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.store().join(name)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|own| own == "caibx")).max().unwrap()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Half noise, a quarter text, a quarter zeros.
fn image(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..CHUNKS {
        let chunk = usize::try_from(CHUNK).unwrap();
        match n % 4 {
            0 => bytes.resize(bytes.len() + chunk, 0),
            1 => bytes.extend(format!("{seed} {n} of a text\n").repeat(chunk).bytes().take(chunk)),
            _ => bytes.extend(noise(seed * 1000 + n, chunk)),
        }
    }
    bytes
}

/// How many files a store has that are whole.
fn files(directory: &Path) -> u64 {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            count += if path.ends_with(".diskferry") { 0 } else { files(&path) };
        } else {
            count += 1;
        }
    }
    count
}

/// How many bytes of its file a restore has written.
fn written(home: &Path) -> u64 {
    home.join("back.img.part").metadata().map_or(0, |meta| meta.blocks() * 512)
}

fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + LONG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The seed of a run: `FARENDS_SEED`, or another one each time.
fn seed() -> u64 {
    match std::env::var("FARENDS_SEED") {
        Ok(seed) => seed.parse().expect("FARENDS_SEED is a number"),
        Err(_) => u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos()),
    }
}

#[test]
fn twenty_kills_of_two_processes_over_one_store() {
    let seed = seed();
    eprintln!("again with FARENDS_SEED={seed}");
    let scene = Scene::new(seed);
    let victims = [Victim::Backup, Victim::ToDrive, Victim::ToFile, Victim::Prune];
    for n in [0, 1] {
        scene.done(&scene.backup(n));
    }
    // How long each takes here, by itself.
    let takes = victims.map(|victim| {
        let start = Instant::now();
        scene.done(&scene.victim(victim));
        start.elapsed()
    });
    let mut kills = [0; 4];
    let mut rounds = 0;
    while kills.iter().sum::<usize>() < 4 * KILLS {
        rounds += 1;
        assert!(rounds <= MOST_ROUNDS, "only {kills:?} of {rounds} rounds were killed");
        let n = (0..4).min_by_key(|n| kills[*n]).unwrap();
        for n in [0, 1] {
            scene.change(n);
        }
        if victims[n] != Victim::Backup {
            // There is something new to be restored, and something old to be deleted.
            scene.done(&scene.backup(0));
        }
        if scene.round(victims[n], scene.moment(victims[n], takes[n])) {
            kills[n] += 1;
            scene.verify();
            scene.finish(victims[n]);
        }
        scene.verify();
    }
    eprintln!("{kills:?} kills in {rounds} rounds");
    for n in [0, 1] {
        scene.done(&scene.backup(n));
    }
    scene.verify();
    let spare = format!("oh:{}", scene.spare);
    for (n, name) in ["one", "two"].into_iter().enumerate() {
        let image = scene.world.path(&format!("{name}.img"));
        assert!(scene.world.drive_bytes(&scene.drives[n]) == std::fs::read(&image).unwrap());
        scene.done(&["restore", &format!("store/{name}"), "back.img", "--force", "--chunk-size", "64k"]);
        assert!(same(&image, &scene.world.path("back.img")), "{name}");
        scene.done(&["restore", &format!("store/{name}"), &spare, "--chunk-size", "64k"]);
        assert!(same(&image, &scene.world.drive_file(&scene.spare)), "{name}");
        if casync::is_here() {
            let index = scene.newest(name);
            let extract = ["extract", "--store=store", index.to_str().unwrap(), "casync.img"];
            casync::casync(&scene.world.path(""), &extract);
            assert!(same(&image, &scene.world.path("casync.img")), "{name}");
            std::fs::remove_file(scene.world.path("casync.img")).unwrap();
        }
    }
    // What the killed ones left goes; casync finds nothing more that nobody needs.
    scene.done(&["backups", "prune", "store", "--keep-last", "1"]);
    scene.verify();
    assert_eq!(std::fs::read_dir(scene.store().join(".diskferry/new")).unwrap().count(), 0);
    if casync::is_here() {
        let indexes = ["one", "two"].map(|name| scene.newest(name));
        let [one, two] = indexes.each_ref().map(|index| index.to_str().unwrap());
        let said = casync::casync(&scene.world.path(""), &["gc", "--dry-run", "--store=store", one, two]);
        assert!(said.contains("remove 0 chunks"), "{said}");
    }
}
