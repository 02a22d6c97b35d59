//! The everyday commands of Joyent: machines, snapshots, keys, heatmaps; and what goes wrong there.

use super::recorder::Recorder;
use super::world::World;
use diskferry::provider::Provider;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/");

fn machine(world: &World, name: &str) -> String {
    let id = world.done(&["machine", "create", "r:", "--name", name, "--tag", "role=db", "--wait"]);
    assert_eq!(id.len(), 36, "stdout has the id and nothing else: {id}");
    id
}

fn state(world: &World, target: &str) -> String {
    let info = world.run(&["--json", "machine", "info", target]).objects().remove(0);
    info["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_goes_through_its_life() {
    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let target = format!("r:{}", machine(&world, "web"));
    assert_eq!(state(&world, &target), "running");
    let list = world.done(&["machine", "list", "r:", "--state", "running", "--tag", "role=db"]);
    assert!(list.contains("web") && list.lines().count() == 2, "{list}");
    assert_eq!(world.done(&["machine", "count", "r:", "--tag", "role=web"]), "0");
    assert_eq!(world.done(&["machine", "count", "r:"]), "1");
    world.done(&["machine", "reboot", &target, "--wait"]);
    assert_eq!(state(&world, &target), "running");
    // A running machine is not deleted, and that is not tried again.
    world.run(&["machine", "delete", &target]).refused(1, &["InvalidState", "(request "]);
    let made = world.done(&["snapshot", "create", &target, "first", "--wait"]);
    assert_eq!(made, "first");
    let snapshots = world.done(&["snapshot", "list", &target]);
    assert!(snapshots.contains("first") && snapshots.contains("created"), "{snapshots}");
    world.done(&["machine", "resize", &target, "regular_256", "--wait"]);
    world.done(&["machine", "stop", &target, "--wait"]);
    assert_eq!(state(&world, &target), "stopped");
    world.done(&["snapshot", "start", &target, "first", "--wait"]);
    assert_eq!(state(&world, &target), "running");
    world.done(&["snapshot", "delete", &target, "first"]);
    world.run(&["snapshot", "info", &target, "first"]).refused(5, &["404"]);
    world.done(&["machine", "stop", &target, "--wait"]);
    world.done(&["machine", "delete", &target, "--wait"]);
    world.run(&["machine", "info", &target]).refused(5, &["(request "]);
}

#[test]
fn a_list_is_paged_through_to_its_end() {
    let (world, emulator) = World::emulated(Provider::Joyent, "");
    for i in 0..5 {
        world.done(&["machine", "create", "r:", "--name", &format!("m{i}")]);
    }
    let before = emulator.log().len();
    let list = world.run(&["--json", "machine", "list", "r:", "--page", "2"]).objects();
    let mut names: Vec<&str> = list.iter().map(|machine| machine["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(emulator.log().len() - before, 3, "two full pages and one that is not");
}

#[test]
fn keys_are_given_and_taken_and_a_private_one_stays_here() {
    let (world, emulator) = World::emulated(Provider::Joyent, "");
    let before = emulator.log().len();
    let private = world.run(&["key", "create", "r:", &format!("{KEYS}test-rsa.pem")]);
    private.refused(2, &["private key", ".pub"]);
    assert_eq!(emulator.log().len(), before, "nothing was sent");
    let public = format!("{KEYS}test-rsa.pub");
    assert_eq!(world.done(&["key", "create", "r:", &public, "--name", "laptop"]), "laptop");
    let list = world.done(&["key", "list", "r:"]);
    assert!(list.contains("laptop") && list.contains("b8:5d:ed:86:22:dd:1a:2b"), "{list}");
    world.done(&["key", "delete", "r:laptop"]);
    world.run(&["key", "info", "r:laptop"]).refused(5, &["404"]);
}

#[test]
fn a_heatmap_is_saved_as_a_picture_and_shown_as_text() {
    let (world, _emulator) = World::emulated(Provider::Joyent, "");
    let made = world.run(&[
        "--json",
        "call",
        "r:",
        "instrumentations.create",
        "module=syscall",
        "stat=syscalls",
        "decomposition=latency",
    ]);
    let target = format!("r:{}", made.objects()[0]["id"].as_str().unwrap());
    world.done(&["analytics", "heatmap", &target, "map.png", "--set", "width=60", "--set", "height=30"]);
    let picture = std::fs::read(world.path("map.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    // Width and height stand at the same place in every PNG.
    assert_eq!(&picture[16..24], &[0, 0, 0, 60, 0, 0, 0, 30]);
    world.run(&["analytics", "heatmap", &target, "map.png"]).refused(1, &["in the way", "--force"]);
    let drawn = world.done(&["analytics", "heatmap", &target]);
    assert!(drawn.lines().count() > 3 && !drawn.contains('\x1b'), "{drawn}");
    let coloured = world.done(&["--color", "always", "analytics", "heatmap", &target]);
    assert!(coloured.contains("\x1b[38;2;") && coloured.contains('▀'), "{coloured}");
    assert!(world.done(&["analytics", "values", &target]).contains("start_time"));
}

#[test]
fn errors_have_their_exit_codes_and_only_some_are_tried_again() {
    let answer = |status: &'static str, code: &'static str| {
        move |_: &super::recorder::Sent, _: usize| {
            let body = format!("{{\"code\":\"{code}\",\"message\":\"no\"}}");
            (status, "X-RequestId: ABC-1\r\n", body.into_bytes())
        }
    };
    for (status, code, exit, attempts) in [
        ("401 Unauthorized", "InvalidCredentials", 4, 1),
        ("404 Not Found", "ResourceNotFound", 5, 1),
        ("410 Gone", "ResourceNotFound", 5, 1),
        ("409 Conflict", "InvalidArgument", 1, 1),
        ("449 Retry With", "InvalidVersion", 1, 1),
        ("420 Enhance Your Calm", "RequestThrottled", 1, 3),
        ("503 Service Unavailable", "UnknownError", 1, 3),
    ] {
        let recorder = Recorder::new(answer(status, code));
        let world = World::at(Provider::Joyent, &recorder.url);
        world.run(&["call", "r:", "keys.list", "--retries", "2"]).refused(exit, &[code, "(request ABC-1)"]);
        assert_eq!(recorder.take().len(), attempts, "{status}");
    }
}

#[test]
fn a_damaged_reply_is_asked_for_again() {
    let recorder = Recorder::new(|_, number| {
        // Of an empty array it is 11FxOYiYfpMxmANj4kGJzg==.
        let md5 = if number == 0 {
            "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        } else {
            "Content-MD5: 11FxOYiYfpMxmANj4kGJzg==\r\n"
        };
        ("200 OK", md5, b"[]".to_vec())
    });
    let world = World::at(Provider::Joyent, &recorder.url);
    assert_eq!(world.done(&["call", "r:", "machines.list"]), "[]");
    assert_eq!(recorder.take().len(), 2);
    let wrong = Recorder::new(|_, _| ("200 OK", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"[]".to_vec()));
    let world = World::at(Provider::Joyent, &wrong.url);
    world.run(&["call", "r:", "machines.list", "--retries", "1"]).refused(1, &["Content-MD5", "2 attempts"]);
}

#[test]
fn requests_are_signed_with_a_key_and_its_passphrase() {
    let data = tempfile::tempdir().unwrap();
    let public = std::fs::read_to_string(format!("{KEYS}test-rsa.pub")).unwrap();
    let emulator = diskferry::emulator::Emulator::start(diskferry::emulator::Config {
        keys: vec![("laptop".to_owned(), public)],
        ..diskferry::emulator::Config::new(Provider::Joyent, data.path(), "demo", "unused")
    })
    .unwrap();
    let world = World::empty();
    let configure = |identity: &str, more: &str| {
        let text = format!(
            "[remotes.r]\nprovider = \"joyent\"\nurl = \"{}\"\naccount = \"demo\"\nidentity = \"{KEYS}{identity}\"\n{more}",
            emulator.url()
        );
        let path = world.path("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    // By name, and by the fingerprint where no name is given.
    for more in ["key_id = \"laptop\"\n", ""] {
        configure("pkcs1.pem", more);
        assert_eq!(world.done(&["machine", "count", "r:"]), "0");
    }
    configure("openssh-encrypted", "secret = \"correct horse\"\n");
    assert_eq!(world.done(&["machine", "count", "r:"]), "0");
    configure("openssh-encrypted", "secret = \"wrong\"\n");
    world.run(&["machine", "count", "r:"]).refused(4, &["passphrase"]);
    configure("ed25519", "");
    world.run(&["machine", "count", "r:"]).refused(4, &["is not an RSA key"]);
    configure("pkcs1.pem", "key_id = \"other\"\n");
    world.run(&["machine", "list", "r:"]).refused(4, &["InvalidCredentials"]);
}
