//! Backups in an object store: S3 as moto speaks it. casync reads what is there.

use crate::casync;
use crate::moto::{BUCKET, Moto};
use crate::secrets::are_nowhere;
use crate::support::moment::{LONG, run_until};
use crate::world::{Ended, World, noise};
use diskferry::emulator::{Operation, Stage};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1 << 20;
/// The size of all chunks of backups here.
pub const CHUNK: u64 = 64 << 10;

/// What nobody may see. moto takes every key for granted.
const SECRETS: [(&str, &str); 2] = [
    ("AWS_SECRET_ACCESS_KEY", "secret-access-key-of-a-test"),
    ("AWS_SESSION_TOKEN", "session-token-of-a-test"),
];

/// Writes other bytes into these chunks of an image.
pub fn change(image: &Path, chunks: impl IntoIterator<Item = u64>, seed: u64) {
    let file = File::options().write(true).open(image).unwrap();
    for index in chunks {
        file.write_all_at(&noise(index + seed, 700), index * CHUNK + 512).unwrap();
    }
}

/// Whether two files hold the same.
pub fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

/// Runs that have to end with a status, and what they said.
struct Runs<'a> {
    world: &'a World,
    moto: &'a Moto,
    ended: Vec<Ended>,
}

impl Runs<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.envs(self.moto.variables()).envs(SECRETS);
        command
    }

    fn run(&mut self, args: &[&str], code: i32) -> &Ended {
        let ended = Ended::new(self.command(args).output().unwrap());
        assert_eq!(ended.code, code, "{args:?}: {} {}", ended.stdout, ended.stderr);
        self.ended.push(ended);
        self.ended.last().unwrap()
    }

    /// The newest backup of each name, and how many there are of all.
    fn newest(&mut self, store: &str) -> (BTreeMap<String, String>, usize) {
        let listed = self.run(&["--json", "backups", "list", store], 0).events();
        let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
        let newest = listed.iter().map(|event| (text(event, "name"), text(event, "when"))).collect();
        (newest, listed.len())
    }

    fn verify(&mut self, store: &str) {
        let verified = self.run(&["--json", "backups", "verify", store, "--read-data"], 0);
        let told = verified.event("summary");
        assert!(told["chunks_read"] == told["chunks"] && told["faults"] == 0, "{told}");
    }

    fn restored(&mut self, store: &str, names: &[&str]) {
        for name in names {
            self.run(&["restore", &format!("{store}/{name}"), "back.img", "--force"], 0);
            assert!(same(&self.world.path(&format!("{name}.img")), &self.world.path("back.img")), "{name}");
        }
    }
}

/// The sum of a set.
fn sum(ended: &Ended) -> Value {
    ended.events().into_iter().rfind(|event| event["set"] == true).unwrap()
}

#[test]
fn two_drives_in_an_object_store() {
    let Some(moto) = Moto::start() else { return };
    let world = World::new("");
    world.image("web.img", 4 * MIB + 3000);
    std::fs::write(world.path("db.img"), noise(8, 3 << 20)).unwrap();
    let [web, _] = ["web", "db"]
        .map(|name| world.upload(&[&format!("{name}.img"), "oh:", "--name", name, "--chunk-size", "64k"]));
    let store = format!("s3://{BUCKET}/nightly");
    let mut runs = Runs { world: &world, moto: &moto, ended: Vec::new() };
    let backup = ["--json", "-vv", "backup", "oh:", "--all", &store, "--chunk-size", "64k"];
    let first = sum(runs.run(&[&backup[..], &["--report", "first.html"]].concat(), 0));
    assert_eq!(first["members_done"], 2, "{first}");
    let (after_first, backups) = runs.newest(&store);
    assert_eq!((after_first.keys().map(String::as_str).collect::<Vec<_>>(), backups), (vec!["db", "web"], 2));

    // Four chunks differ: as many are written, and hardly more are read.
    let old = world.path("old.img");
    std::fs::copy(world.path("web.img"), &old).unwrap();
    change(&world.path("web.img"), [1, 17, 30, 41], 5);
    let target = format!("oh:{web}");
    runs.run(&["upload", "--delta", "web.img", &target, "--chunk-size", "64k"], 0);
    // A backup of the same second would bear the next.
    let second = sum(runs.run(&backup, 0));
    assert_eq!((&second["members_done"], &second["chunks_sent"]), (&2.into(), &4.into()), "{second}");
    runs.verify(&store);
    runs.restored(&store, &["web", "db"]);
    runs.run(&["restore", &format!("{store}/web@{}", after_first["web"]), "back.img", "--force"], 0);
    assert!(same(&old, &world.path("back.img")));
    let (newest, backups) = runs.newest(&store);
    assert_eq!(backups, 4);
    if casync::is_here() {
        moto.copy_to("nightly", &world.path("copy"));
        for (name, when) in &newest {
            let index = format!("copy/{name}/{when}.caibx");
            casync::casync(&world.path(""), &["extract", "--store=copy", &index, "casync.img"]);
            assert!(same(&world.path(&format!("{name}.img")), &world.path("casync.img")), "{name}");
            std::fs::remove_file(world.path("casync.img")).unwrap();
        }
    }

    let prune = ["--json", "backups", "prune", &store, "--keep-last", "1"];
    let pruned = runs.run(&prune, 0).event("summary");
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 2, "{pruned}");
    assert_eq!(pruned["swept"]["chunks"], 4, "{pruned}");
    runs.verify(&store);
    runs.restored(&store, &["web", "db"]);
    runs.run(&["restore", &format!("{store}/web@{}", after_first["web"]), "back.img", "--force"], 5);

    // One that is killed leaves its journal, a report, and a lease that keeps others from deleting chunks.
    let alone = ["-vv", "backup", &target, &store, "--chunk-size", "64k", "--resume", "full"];
    let mut killed = runs.command(&[&alone[..], &["--report", "killed.html"]].concat());
    let (output, was_killed) =
        run_until(world.emulator(), &mut killed, (Stage::Received, Operation::Read, 30));
    runs.ended.push(Ended::new(output));
    assert!(was_killed && world.emulator().settle(LONG));
    assert_eq!(world.journals().len(), 1);
    let shown: Vec<&Ended> = runs.ended.iter().collect();
    let hidden = ["the-secret-of-this-test", SECRETS[0].1, SECRETS[1].1];
    are_nowhere(&hidden, &shown, &world, &["config.toml"]);
    let pruned = runs.run(&prune, 0).event("summary");
    assert_eq!(pruned["swept"], Value::Null, "{pruned}");
    runs.verify(&store);
    runs.run(&alone, 0);
    assert!(world.journals().is_empty());
    runs.verify(&store);
    runs.restored(&store, &["web", "db"]);

    // A bucket that is not there.
    runs.run(&["-vv", "backup", &target, "s3://absent/nightly", "--retries", "0"], 5);
    are_nowhere(&hidden, &runs.ended.iter().collect::<Vec<_>>(), &world, &["config.toml"]);
}
