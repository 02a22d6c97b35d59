//! What all typed commands have in common: names, lists, what a provider lacks, what is in use, and waiting.

use super::world::{World, uuid};
use diskferry::provider::Provider;

/// A stopped server with this drive.
fn server(world: &World, name: &str, drive: &str) -> String {
    let (name, disk) = (format!("name={name}"), format!("ide:0:0={drive}"));
    uuid(&world.done(&["server", "create", "r:", &name, "cpu=500", "mem=256", &disk, "--stopped"]))
}

fn drive(world: &World, name: &str) -> String {
    uuid(&world.done(&["drive", "create", "r:", "--name", name, "--size", "1M"]))
}

#[test]
fn drives_and_servers_go_by_their_names() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let (web, db) = (drive(&world, "web 1"), drive(&world, "db"));
    assert!(world.done(&["drive", "info", "r:web 1"]).contains(&web));
    world.done(&["drive", "image", "r:db", "web 1", "--wait"]);
    // The drive of a server goes by its name, too.
    let host = server(&world, "host", "db");
    let info = world.run(&["--json", "server", "info", "r:host"]).objects().remove(0);
    assert_eq!((&info["server"], &info["ide:0:0"]), (&host.into(), &db.into()));
    world.done(&["server", "start", "r:host", "--wait"]);
    world.done(&["server", "destroy", "r:host"]);

    let second = drive(&world, "db");
    let several = world.run(&["drive", "destroy", "r:db"]);
    several.refused(2, &["2 drives on `r:` are named `db`", &format!("r:{second}")]);
    let none = world.run(&["drive", "info", "r:web 2"]);
    none.refused(
        5,
        &["no drive on `r:` is named `web 2`", "did you mean `r:web 1`?", "`diskferry drive list r:`"],
    );
}

#[test]
fn lists_have_a_heading_ages_and_with_q_the_ids_alone() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let empty = world.run(&["drive", "ls", "r:"]);
    assert_eq!((empty.code, &*empty.stdout), (0, "NAME  SIZE  STATUS  UUID\n"));
    assert!(empty.stderr.contains("no drives on `r:`"), "{}", empty.stderr);
    assert_eq!(world.done(&["-q", "drive", "list", "r:"]), "");
    let wide = drive(&world, &"世".repeat(60));
    let host = server(&world, "e\u{301}", &wide);
    assert_eq!(world.done(&["-q", "drive", "list", "r:"]), wide);
    assert_eq!(world.done(&["server", "list", "r:", "-q"]), host);
    let list = world.done(&["drive", "list", "r:"]);
    assert!(list.contains(&"世".repeat(60)), "what is piped is not cut: {list}");
    let servers = world.done(&["server", "list", "r:"]);
    assert!(servers.contains("256.0 MiB"), "{servers}");

    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let id = world.done(&["machine", "create", "r:", "--name", "web"]);
    assert_eq!(world.done(&["-q", "machine", "list", "r:"]), id);
    let list = world.done(&["machine", "list", "r:"]);
    assert!(list.contains(" ago ") || list.contains(" now "), "{list}");
    let none = world.run(&["machine", "list", "r:", "--name", "other"]);
    assert_eq!((none.code, none.stdout.lines().count()), (0, 1), "{none:?}");
    assert!(none.stderr.contains("no machines on `r:` match"), "{}", none.stderr);
}

#[test]
fn a_provider_that_lacks_a_noun_says_what_it_has() {
    let (joyent, _emulator) = World::emulated(Provider::Joyent, "");
    for noun in [["drive", "list"], ["server", "list"], ["appliance", "list"]] {
        joyent
            .run(&[&noun[..], &["r:"]].concat())
            .refused(2, &["joyent has no", "`diskferry machine list r:`"]);
    }
    let (spot, _emulator) = World::emulated(Provider::SpotCloud, "");
    spot.run(&["drive", "info", "r:x"])
        .refused(2, &["spotcloud has no drives", "`diskferry appliance list r:`"]);
    spot.run(&["machine", "list", "r:"])
        .refused(2, &["spotcloud has no machines", "`diskferry instance list r:`"]);
    let (open, _emulator) = World::emulated(Provider::OpenHosting, "");
    open.run(&["key", "list", "r:"]).refused(2, &["openhosting has no keys", "`diskferry server list r:`"]);
    let drive = format!("r:{}", open.drive("1M"));
    let image = ["drive", "image", &drive, "Debian Linux 6.0"];
    open.run(&image).refused(2, &["neither a drive", "diskferry drive list r:", "diskferry upload IMAGE"]);
}

#[test]
fn what_is_in_use_is_refused_at_once_with_who_uses_it() {
    for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
        let (world, emulator) = World::emulated(provider, "");
        let (drive, other) = (drive(&world, "disk"), drive(&world, "other"));
        let (first, second) = (server(&world, "first", &drive), server(&world, "second", &drive));
        world.done(&["server", "start", &format!("r:{first}"), "--wait"]);
        let names = [drive.as_str(), "(disk, 1.0 MiB) is in use by server", first.as_str(), "(first)"];
        let hint = format!("`diskferry server stop r:{first}`");
        let target = format!("r:{drive}");
        for command in [
            vec!["drive", "destroy", &target],
            vec!["drive", "set", &target, "size=2M"],
            vec!["server", "start", &format!("r:{second}")],
            vec!["drive", "image", &target, &other],
        ] {
            if command[1] == "image" && provider == Provider::CloudSigma {
                continue;
            }
            let before = emulator.log().len();
            let refused = world.run(&command);
            refused.refused(1, &names);
            refused.refused(1, &[&hint]);
            let log = emulator.log();
            let changed = log[before..].iter().any(|request| request.method == "POST");
            assert!(!changed, "{provider} {command:?}: {log:?}");
        }
        // A call of the catalogue is made, and not repeated in vain.
        let destroy = world.run(&["call", "r:", "drives.destroy", &drive]);
        destroy.refused(1, &["in use by server"]);
        let sent =
            |path: String| emulator.log().iter().filter(|request| request.path.contains(&path)).count();
        assert_eq!(sent(format!("/drives/{drive}/destroy")), 1, "{provider}");
        world.done(&["server", "stop", &format!("r:{first}"), "--wait"]);
        world.done(&["drive", "destroy", &target]);
    }
}

#[test]
fn any_call_that_goes_on_can_be_waited_for() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "latency=5ms");
    let (from, to) = (drive(&world, "from"), drive(&world, "to"));
    let imaged = world.run(&["call", "r:", "drives.image", &to, &from, "--wait"]);
    assert_eq!((imaged.code, &*imaged.stdout), (0, ""), "{}", imaged.stderr);
    assert!(imaged.stderr.contains(&format!("imaging of drive {to} is done")), "{}", imaged.stderr);
    let created =
        world.run(&["--json", "call", "r:", "servers.create", "name=s", "cpu=500", "mem=256", "--wait"]);
    let objects = created.objects();
    let (id, last) = (objects[0]["server"].as_str().unwrap(), objects.last().unwrap());
    assert_eq!((&last["event"], &last["state"]), (&"summary".into(), &"active".into()), "{objects:?}");
    assert_eq!(last["object"], format!("server {id}"));
    world
        .run(&["call", "r:", "drives.info", &to, "--wait"])
        .refused(2, &["drives.info is done when its reply comes"]);

    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let made = world.run(&["--json", "call", "r:", "machines.create", "name=m", "--wait"]).objects();
    let id = made[0]["id"].as_str().unwrap().to_owned();
    let snapshot = world.run(&["call", "r:", "snapshots.create", &id, "name=first", "--wait"]);
    assert!(snapshot.stderr.contains("snapshot first is created"), "{}", snapshot.stderr);
    world.done(&["call", "r:", "machines.stop", &id, "--wait"]);
    let gone = world.run(&["call", "r:", "machines.delete", &id, "--wait"]);
    assert!(gone.stderr.contains(&format!("machine {id} is ")), "{}", gone.stderr);
    assert_eq!(world.run(&["machine", "info", &format!("r:{id}")]).code, 5);
}

#[test]
fn a_wait_that_is_too_short_says_what_goes_on() {
    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let late = world.run(&["machine", "create", "r:", "--name", "m", "--wait=1ms"]);
    late.refused(1, &["provisioning of machine", "is not done after 1 ms", "it goes on at the provider"]);
    assert_eq!(late.stdout.lines().count(), 1, "the id is printed all the same: {}", late.stdout);
}

#[test]
fn a_stop_that_is_waited_for_says_one_thing() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let id = uuid(&world.done(&["server", "create", "r:", "name=s", "cpu=500", "mem=256", "--wait"]));
    let stopped = world.run(&["server", "stop", "r:s", "--wait"]);
    assert_eq!((stopped.code, &*stopped.stderr), (0, format!("server {id} is stopped\n").as_str()));
    let json = world.run(&["--json", "server", "start", "r:s", "--wait"]).objects();
    let summary = json.last().unwrap();
    assert_eq!((&summary["action"], &summary["server"]), (&"start".into(), &id.into()));
    assert_eq!(summary["status"], "active");
}

#[test]
fn keys_of_a_new_drive_are_checked_before_anything_is_sent() {
    let (world, emulator) = World::emulated(Provider::OpenHosting, "");
    let image = world.file("image", &[7; 4096]);
    let before = emulator.log().len();
    let refused = world.run(&["upload", &image, "r:", "--set", "claim:type=inclusive"]);
    refused.refused(2, &["expected exclusive or shared for `claim:type`, got `inclusive`"]);
    assert_eq!(emulator.log().len(), before, "nothing was sent");
    let warned = world.run(&["upload", &image, "r:", "--set", "tag=a"]);
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(
        warned.stderr.contains("`tag` is not documented for this call; did you mean `tags`?"),
        "{}",
        warned.stderr
    );
}

#[test]
fn tags_metadata_packages_and_datasets_are_there_for_joyent() {
    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let id = world.done(&["machine", "create", "r:", "--name", "web", "--tag", "role=db", "--wait"]);
    world.done(&["tag", "add", "r:web", "env=test"]);
    let tags = world.done(&["tag", "list", "r:web"]);
    assert!(tags.starts_with("TAG") && tags.contains("role  db") && tags.contains("env   test"), "{tags}");
    world.done(&["tag", "delete", "r:web", "role"]);
    assert_eq!(world.done(&["-q", "tag", "list", &format!("r:{id}")]), "env");
    world.done(&["tag", "clear", "r:web"]);
    let none = world.run(&["tag", "list", "r:web"]);
    assert_eq!(none.stdout, "TAG  VALUE\n");
    assert!(none.stderr.contains(&format!("machine {id} has no tags")), "{}", none.stderr);
    world.done(&["metadata", "set", "r:web", "note=a b"]);
    assert!(world.done(&["metadata", "list", "r:web"]).contains("note  a b"));
    world.done(&["metadata", "rm", "r:web", "note"]);
    let packages = world.done(&["package", "list", "r:"]);
    assert!(packages.contains("128.0 MiB") && packages.contains("regular_128"), "{packages}");
    assert!(world.done(&["package", "info", "r:regular_128"]).contains("memory"));
    let dataset = world.done(&["-q", "dataset", "list", "r:"]).lines().next().unwrap().to_owned();
    assert!(world.done(&["dataset", "info", &format!("r:{dataset}")]).contains("urn"));
    let keys = ["module=syscall", "stat=syscalls", "decomposition=latency"];
    let number = world.done(&[&["analytics", "create", "r:"][..], &keys].concat());
    assert_eq!(world.done(&["-q", "analytics", "list", "r:"]), number);
    assert!(world.done(&["analytics", "details", &format!("r:{number}"), "1", "1"]).contains("bucket"));
    world.done(&["analytics", "delete", &format!("r:{number}")]);
}

#[test]
fn an_instance_runs_an_appliance_on_hardware_whose_provider_is_looked_up() {
    let (world, _emulator) = World::emulated(Provider::SpotCloud, "");
    let create = ["instance", "create", "r:", "--appliance", "own", "--hardware"];
    let key = world.done(&[&create[..], &["h-tor1-s"]].concat());
    assert_eq!(world.done(&["-q", "instance", "list", "r:"]), key);
    let info = world.run(&["--json", "instance", "info", &format!("r:{key}")]).objects().remove(0);
    assert_eq!((&info["provider_key"], &info["appliance_key"]), (&"p-tor1".into(), &"own".into()));
    world.run(&[&create[..], &["h-none"]].concat()).refused(5, &["h-none", "`diskferry hardware list r:`"]);
    world
        .run(&["instance", "create", "r:", "--hardware", "h-tor1-s"])
        .refused(2, &["appliance", "appliance list"]);
    let copied = ["call", "r:", "instances.create", "appliance=KEY", "hardware=KEY", "provider=KEY"];
    world.run(&copied).refused(2, &["`KEY` stands for a key", "`diskferry appliance list REMOTE:`"]);
    world.done(&["instance", "delete", &format!("r:{key}")]);
    assert_eq!(world.done(&["-q", "instance", "list", "r:"]), "");
}
