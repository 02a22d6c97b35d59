//! Who may read what is kept here, and what may cross a network in the clear.

use super::world::World;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file and directory below, itself among them, with its mode.
fn modes(path: &Path) -> Vec<(String, bool, u32)> {
    let mut all = vec![(path.display().to_string(), path.is_dir(), mode(path))];
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            all.extend(modes(&entry.unwrap().path()));
        }
    }
    all
}

#[test]
fn the_images_of_local_are_their_owners_alone() {
    let world = World::empty();
    std::fs::write(world.path("config.toml"), "").unwrap();
    let drive = world.done(&["drive", "create", "local:", "name=a", "size=1M"]);
    let local = world.path(".local/share/diskferry/local");
    let tight = |what: &str| {
        let all = modes(&local);
        assert!(all.iter().any(|(path, ..)| path.ends_with(&format!("{drive}.raw"))), "{all:?}");
        for (path, is_dir, mode) in all {
            assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{what}: {path}");
        }
    };
    tight("new");
    // What an older version has left open is closed.
    for (path, is_dir, _) in modes(&local) {
        let open = if is_dir { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(open)).unwrap();
    }
    world.done(&["drive", "list", "local:"]);
    tight("old");
}

#[test]
fn a_directory_of_the_users_own_keeps_its_mode() {
    let world = World::empty();
    let data = world.path("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let (world, _emulator) = {
        let emulator = diskferry::emulator::Emulator::start(diskferry::emulator::Config::new(
            diskferry::provider::Provider::OpenHosting,
            data.clone(),
            super::world::USER,
            super::world::SECRET,
        ))
        .unwrap();
        world.configure(diskferry::provider::Provider::OpenHosting, &emulator.url());
        (world, emulator)
    };
    let drive = world.drive("1M");
    assert_eq!(mode(&data), 0o755);
    assert_eq!(mode(&data.join(format!("drives/{drive}.raw"))), 0o600, "an image is its owner's");
}

#[test]
fn a_configuration_is_its_owners_from_the_start() {
    let world = World::empty();
    let add = [
        "remote",
        "add",
        "a",
        "--provider",
        "openhosting",
        "--url",
        "https://h/",
        "--user",
        "u",
        "--secret-stdin",
    ];
    let added = world.run_with(&add, b"hunter22\n");
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(mode(&world.path("config.toml")), 0o600);
}

#[test]
fn no_scheme_goes_over_plain_http_to_another_machine() {
    let world = World::empty();
    let configure = |more: &str, allow: &str| {
        let text = format!("[remotes.r]\nurl = \"http://192.0.2.1/\"\n{more}{allow}");
        world.file("config.toml", text.as_bytes());
    };
    let oauth = "provider = \"spotcloud\"\nconsumer_key = \"k\"\nconsumer_secret = \"s\"\ntoken = \"t\"\ntoken_secret = \"u\"\n";
    let signature = "provider = \"joyent\"\naccount = \"me\"\nkey_id = \"k\"\nidentity = \"key\"\n";
    let basic = "provider = \"openhosting\"\nuser = \"u\"\nsecret = \"s\"\n";
    let quick = ["--retries", "0", "--timeout", "1s"];
    for (remote, commands) in [
        (
            oauth,
            &[&["appliance", "list", "r:"][..], &["remote", "login", "r:"], &["remote", "test", "r:"]][..],
        ),
        (signature, &[&["machine", "list", "r:"][..], &["remote", "test", "r:"]]),
        (basic, &[&["drive", "list", "r:"][..]]),
    ] {
        for command in commands {
            configure(remote, "");
            // A signature's is refused before its key is looked for.
            world.run(&[command, &quick[..]].concat()).refused(2, &["plain http", "allow_http"]);
            if remote != signature {
                configure(remote, "allow_http = true\n");
                assert_ne!(world.run(&[command, &quick[..]].concat()).code, 2, "{command:?}");
            }
        }
    }
}
