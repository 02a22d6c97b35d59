//! The everyday commands, over the three providers that have drives.

use super::world::{SECRET, USER, World, uuid};
use diskferry::emulator::{Config, Emulator, Faults};
use diskferry::provider::Provider;

const THREE: [Provider; 3] = [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma];
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.ext4");

#[test]
fn boot_brings_an_image_up_and_the_server_goes_through_its_states() {
    for provider in THREE {
        let (world, _emulator) = World::emulated(provider, "");
        let server =
            uuid(&world.done(&["boot", IMAGE, "r:", "--name", "web", "--cpu", "1000", "--mem", "512"]));
        let target = format!("r:{server}");
        let state = || {
            let info = world.run(&["--json", "server", "info", &target]);
            assert_eq!(info.code, 0, "{provider}: {}", info.stderr);
            info.objects().remove(0)
        };
        let info = state();
        assert_eq!((&info["status"], &info["boot"]), (&"active".into(), &"ide:0:0".into()), "{provider}");
        let drive = format!("r:{}", info["ide:0:0"].as_str().unwrap());
        assert_eq!(world.run(&["verify", IMAGE, &drive]).code, 0, "{provider}: it boots from the image");
        let list = world.done(&["server", "list", "r:"]);
        assert!(list.contains(&server) && list.contains("203.0.113."), "{provider}: {list}");

        world.done(&["server", "shutdown", &target, "--wait"]);
        assert_eq!(state()["status"], "stopped", "{provider}");
        world.done(&["server", "start", &target, "--wait"]);
        assert_eq!(state()["status"], "active", "{provider}");
        world.done(&["server", "reset", &target]);
        world.done(&["server", "set", &target, "name=other"]);
        assert_eq!(state()["name"], "other", "{provider}");
        world.done(&["server", "stop", &target]);
        assert_eq!(state()["status"], "stopped", "{provider}");
        world.done(&["server", "destroy", &target]);
        world.run(&["server", "info", &target]).refused(5, &[&server]);
        assert!(world.done(&["drive", "list", "r:"]).contains("web"), "{provider}: the drive stays");
    }
}

#[test]
fn a_boot_that_fails_after_the_upload_says_how_to_go_on() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let missing = "ide:0:1=33333333-3333-4333-8333-333333333333";
    let failed = world.run(&["boot", IMAGE, "r:", "--name", "web", "--set", missing]);
    assert_ne!(failed.code, 0, "{}", failed.stderr);
    assert!(failed.stdout.is_empty());
    assert!(failed.stderr.contains("without what was refused, ide:0:1"), "{}", failed.stderr);
    let server = uuid(&world.done(&printed(&failed.stderr)));
    assert!(world.done(&["server", "list", "r:"]).contains(&server));
    assert_eq!(world.done(&["drive", "list", "r:"]).lines().count(), 2, "a heading and one drive");
}

/// The words of the command that a hint tells to run, as a shell would take them.
fn printed(stderr: &str) -> Vec<String> {
    let (_, command) = stderr.split_once("diskferry boot ").unwrap_or_else(|| panic!("{stderr}"));
    let command = command.lines().next().unwrap();
    let shell = std::process::Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' boot {command}")])
        .output()
        .unwrap();
    String::from_utf8(shell.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_boot_whose_balance_is_spent_goes_on_once_it_is_not() {
    let (world, emulator) = World::emulated(Provider::OpenHosting, "");
    let drive = world.done(&["upload", "-q", IMAGE, "r:"]);
    let restarted = |faults: &str| {
        let emulator = Emulator::start(Config {
            faults: Faults::parse(faults).unwrap(),
            ..Config::new(Provider::OpenHosting, world.path("emulator"), USER, SECRET)
        });
        let emulator = emulator.unwrap();
        world.configure(Provider::OpenHosting, &emulator.url());
        emulator
    };
    drop(emulator);
    let poor = restarted("balance=0");
    let failed = world.run(&["boot", &format!("r:{drive}"), "--name", "web", "--mem", "512"]);
    failed.refused(1, &["402", "add to the account's balance"]);
    drop(poor);
    let _rich = restarted("");
    let server = uuid(&world.done(&printed(&failed.stderr)));
    let info = world.run(&["--json", "server", "info", &format!("r:{server}")]).objects().remove(0);
    assert_eq!((&info["name"], info["mem"].to_string().trim_matches('"')), (&"web".into(), "512"));
}

#[test]
fn drives_are_made_listed_changed_imaged_and_destroyed() {
    for provider in THREE {
        let (world, _emulator) = World::emulated(provider, "");
        let drive =
            uuid(&world.done(&["drive", "create", "r:", "name=one", "size=10M", "tags=affinity:ssd"]));
        let target = format!("r:{drive}");
        let list = world.done(&["drive", "list", "r:"]);
        assert!(list.contains(&drive) && list.contains("one") && list.contains("10.0 MiB"), "{list}");
        world.done(&["drive", "set", &target, "name=two"]);
        let info = world.run(&["--json", "drive", "info", &target]).objects().remove(0);
        assert_eq!((&info["name"], info["size"].to_string().trim_matches('"')), (&"two".into(), "10485760"));
        if provider == Provider::CloudSigma {
            assert_ne!(uuid(&world.done(&["drive", "clone", &target, "--name", "copy"])), drive);
        } else {
            world.run(&["drive", "clone", &target, "--name", "copy"]).refused(2, &["cannot clone"]);
            let source = world.drive("10M");
            world.done(&["drive", "image", &target, &source, "--wait"]);
        }
        world.done(&["drive", "destroy", &target]);
        world.run(&["drive", "info", &target]).refused(5, &[&drive]);
        world.run(&["drive", "create", "r:", "name=x"]).refused(2, &["size"]);
    }
}

#[test]
fn a_standard_drive_goes_by_its_name() {
    let (world, _emulator) = World::emulated(Provider::Crosspeer, "");
    let list = world.done(&["drive", "list", "--standard", "r:"]);
    assert!(
        list.contains("Debian Linux 6.0") && list.contains("980cf63c-f21e-4382-997b-6541d5809629"),
        "{list}"
    );
    let target = format!("r:{}", world.drive("1G"));
    world.done(&["drive", "image", &target, "Debian Linux 6.0", "--wait"]);
    world.run(&["drive", "image", &target, "Debian Linux 99"]).refused(2, &["Debian Linux 99"]);
}

#[test]
fn a_spent_balance_is_told_as_such() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "balance=0");
    let refused = world.run(&["server", "create", "r:", "name=s", "cpu=500", "mem=256"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("402") && refused.stderr.contains("billing"), "{}", refused.stderr);
}

#[test]
fn remotes_are_added_shown_tested_and_removed_without_their_secrets() {
    let (world, emulator) = World::emulated(Provider::Crosspeer, "");
    let url = emulator.url();
    let add =
        ["remote", "add", "two", "--provider", "crosspeer", "--url", &url, "--user", super::world::USER];
    let added = world.run_with(&[&add[..], &["--secret-stdin"]].concat(), super::world::SECRET.as_bytes());
    assert_eq!(added.code, 0, "{}", added.stderr);
    let shown = world.done(&["remote", "show", "two"]) + &world.done(&["remote", "list"]);
    assert!(shown.contains("crosspeer") && !shown.contains(super::world::SECRET), "{shown}");
    let tested = world.done(&["remote", "test", "two:"]);
    for word in ["authentication works", "gzip", "read limit", "round trip"] {
        assert!(tested.contains(word), "{word}: {tested}");
    }
    let wrong = world.run_with(
        &["remote", "add", "bad", "--provider", "crosspeer", "--url", &url, "--user", "u", "--secret-stdin"],
        b"wrong\n",
    );
    assert_eq!(wrong.code, 0, "{}", wrong.stderr);
    assert_eq!(world.run(&["remote", "test", "bad:"]).code, 4);
    world.done(&["remote", "remove", "two"]);
    world.run(&["remote", "test", "two:"]).refused(2, &["two"]);
}

#[test]
fn completions_and_pages_are_there() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.run(&["completions", shell]).stdout.contains("DISKFERRY_COMPLETE"), "{shell}");
    }
    let page = world.run(&["man"]);
    assert!(page.stdout.starts_with(".ie") && page.stdout.contains("upload"), "{}", page.stderr);
}

#[test]
fn an_unknown_call_names_the_nearest() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    world.run(&["call", "r:", "drives.nfo"]).refused(2, &["drives.nfo", "did you mean `drives.info`"]);
    let drive = world.drive("1M");
    let written = world.run_with(&["call", "r:", "drives.write", &drive, "4k", "-f", "-"], b"hello");
    assert_eq!(written.code, 0, "{}", written.stderr);
    assert_eq!(world.run(&["call", "r:", "drives.read", &drive, "4k", "5"]).bytes, b"hello");
}
