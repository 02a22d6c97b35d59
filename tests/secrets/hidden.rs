//! A secret that was given, or that a server knows, is in no journal, no hint, no error, no log and no `--json`.

use super::recorder::Recorder;
use super::world::{Ended, SECRET, USER, World};
use diskferry::provider::Provider;
use std::path::Path;

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.ext4");
const PASSWORD: &str = "hunter22";
const GIVEN: &str = "vnc:password=hunter22";
const SERVER: &str = "08c92dd5-70a0-4f51-83d2-835919d254df";

/// The command that makes a server, with more words.
fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["server", "create", "r:", "name=a", "cpu=500", "mem=256"], more].concat()
}

fn hidden(ended: &Ended) -> &Ended {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains(PASSWORD) && !text.contains(SECRET), "{ended:?}");
    }
    ended
}

/// Whether any file below a directory has these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).is_ok_and(|text| text.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[test]
fn a_password_is_in_no_journal_and_no_command_that_resumes() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "refuse=0");
    for set in [&["--set", GIVEN][..], &["--set=vnc:password=hunter22"]] {
        let args = [
            &["boot", IMAGE, "r:", "--retries", "0", "--zeros", "write"][..],
            set,
            &["--drive-set", "user:token=hunter22"],
        ];
        let stopped = world.run(&args.concat());
        assert_eq!(stopped.code, 3, "{stopped:?}");
        hidden(&stopped);
        assert!(!holds(&world.path(".local"), PASSWORD.as_bytes()), "a journal has the password");
        let shown = world.run(&["--json", "transfers", "list"]);
        hidden(&shown);
        let transfer = shown.objects().remove(0);
        let command = transfer["command"].as_str().unwrap();
        assert!(command.contains("vnc:password=(hidden: give it again)"), "{command}");
        let id = transfer["id"].as_str().unwrap().to_owned();
        hidden(&world.run(&["transfers", "show", &id]));
        world.done(&["transfers", "discard", &id]);
    }
    // The command as it is shown is not mistaken for one with that password.
    let placeholder = "vnc:password=(hidden: give it again)";
    world.run(&["boot", IMAGE, "r:", "--set", placeholder]).refused(2, &["vnc:password", "give it again"]);
    world.run(&["call", "r:", "servers.set", SERVER, placeholder]).refused(2, &["vnc:password"]);
}

#[test]
fn what_a_server_knows_is_shown_without_its_secrets() {
    for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
        let (world, _emulator) = World::emulated(provider, "");
        let create = ["server", "create", "r:", "name=web", "cpu=1000", "mem=512", GIVEN];
        let made = world.run(&[&["--json"][..], &create].concat());
        assert_eq!(made.code, 0, "{made:?}");
        let server = hidden(&made).objects().remove(0);
        assert_eq!(server["vnc:password"], "(hidden)", "{provider}: {server}");
        let id = server["server"].as_str().unwrap();
        let target = format!("r:{id}");
        for args in [
            &["--json", "server", "list", "r:"][..],
            &["server", "list", "r:"],
            &["--json", "server", "info", &target],
            &["server", "info", &target],
            &["--json", "server", "set", &target, "name=other"],
            &["--json", "call", "r:", "servers.info", id],
            &["call", "r:", "servers.info_all", "--sort", "name"],
        ] {
            let ended = world.run(args);
            assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
            hidden(&ended);
        }
        // The provider's own text, for who asks for it.
        assert!(world.done(&["call", "r:", "servers.info", id]).contains(PASSWORD));
        if provider == Provider::CloudSigma {
            let profile = world.run(&["--json", "call", "r:", "profile.info"]).objects().remove(0);
            assert_eq!(profile["secret_key"], "(hidden)");
        }
    }
}

#[test]
fn generated_credentials_are_shown_to_who_asks_for_them() {
    let machine = r#"{"id": "m1", "name": "m", "state": "running", "metadata": {"root_pw": "hunter22",
        "credentials": {"root": "hunter22"}, "foo": "bar"}, "requirements": {"password": true}}"#;
    let recorder = Recorder::new(move |sent, _| match sent.method.as_str() {
        "POST" => ("201 Created", "", machine.into()),
        _ if sent.path.contains("/machines?") => ("200 OK", "", format!("[{machine}]").into_bytes()),
        _ => ("200 OK", "", machine.into()),
    });
    let world = World::at(Provider::Joyent, &recorder.url);
    let ask = |args: &[&str]| {
        let ended = world.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended
    };
    for args in [
        &["machine", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7"][..],
        &["--json", "machine", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7"],
        &["--json", "machine", "list", "r:"],
        &["--json", "machine", "create", "r:", "--metadata", "root_pw=hunter22"],
        &["--json", "call", "r:", "machines.get", "cf055959-d776-482e-bd71-ca510a04bdd7"],
    ] {
        let ended = ask(args);
        hidden(&ended);
        assert!(!ended.stdout.contains("foo") || ended.stdout.contains("bar"), "{ended:?}");
    }
    for args in [
        &["machine", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7", "--credentials"][..],
        &["--json", "machine", "info", "r:cf055959-d776-482e-bd71-ca510a04bdd7", "--credentials"],
        &["--json", "machine", "list", "r:", "--credentials"],
    ] {
        assert!(ask(args).stdout.contains(PASSWORD), "{args:?}");
    }
}

#[test]
fn what_a_server_repeats_of_a_secret_is_not_repeated() {
    let recorder = Recorder::new(|sent, _| {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        let auth = sent.header("authorization").unwrap_or_default();
        ("400 Bad Request", "", format!("not {body}; {auth}; {SECRET}; {PASSWORD}").into_bytes())
    });
    let world = World::at(Provider::OpenHosting, &recorder.url);
    let file = world.file("password", PASSWORD.as_bytes());
    let target = format!("r:{SERVER}");
    for args in [
        create(&[GIVEN]),
        create(&[GIVEN, "--json"]),
        create(&["--vnc-password-file", &file]),
        create(&["--vnc-password-file", &file, "--json"]),
        ["call", "r:", "servers.set", SERVER, GIVEN].to_vec(),
        ["server", "set", &target, GIVEN, "-vv"].to_vec(),
    ] {
        let ended = world.run(&args);
        assert_eq!(ended.code, 1, "{args:?}: {ended:?}");
        hidden(&ended);
        assert!((ended.stdout.clone() + &ended.stderr).contains("(hidden)"), "{ended:?}");
        let basic = "MjIyMjIyMjItMjIyMi00MjIyLTgyMjItMjIyMjIyMjIyMjIyOnRoZS1zZWNyZXQtb2YtdGhpcy10ZXN0";
        assert!(!(ended.stdout + &ended.stderr).contains(basic), "the header of {USER} is repeated");
    }
    let keys = world.file("keys", b"vnc:password hunter22\n");
    hidden(&world.run(&["call", "r:", "servers.set", SERVER, "-f", &keys]));
}

#[test]
fn a_usage_error_repeats_no_secret() {
    let (world, _emulator) = World::emulated(Provider::OpenHosting, "");
    let lines = "vnc:password=hunter22\nmore";
    for args in [
        &["boot", IMAGE, "r:", "--set", lines][..],
        &["boot", IMAGE, "r:", "--drive-set", lines],
        &["server", "create", "r:", lines],
        &["server", "set", "r:x", lines],
        &["drive", "list", "r:", GIVEN],
        &["drive", "list", "r:", "--set", GIVEN],
        &["drive", "list", "r:", "--vnc:password=hunter22"],
        &["boot", IMAGE, "r:", "--set=vnc:password=hunter22", "--cpu", "x"],
        &["boot", IMAGE, "r:", "--set", GIVEN, "--set", "vnc:password=hunter22"],
        &["server", "create", "r:", "vnc:pasword=hunter22", "cpu=hunter22"],
        &["call", "r:", "servers.set", SERVER, GIVEN, "hunter22"],
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        hidden(&ended);
        assert!(!ended.stderr.is_empty());
    }
}

#[test]
fn a_log_has_no_token() {
    let recorder = Recorder::new(|_, _| ("200 OK", "", b"<html></html>".to_vec()));
    let world = World::at(Provider::SpotCloud, &recorder.url);
    let ended = world.run(&["-vv", "call", "r:", "oauth.authorize", PASSWORD]);
    assert!(ended.stderr.contains("OAuthAuthorizeToken"), "{ended:?}");
    hidden(&ended);
}

#[test]
fn a_secret_command_that_fails_is_not_repeated() {
    let world = World::empty();
    for command in
        ["hunter22", "./hunter22 x", "echo hunter22; echo hunter22 is no key >&2; exit 1", "(hunter22"]
    {
        let text = format!(
            "[remotes.r]\nprovider = \"openhosting\"\nurl = \"http://127.0.0.1:1/\"\nuser = \"u\"\nsecret_command = \"{command}\"\n"
        );
        world.file("config.toml", text.as_bytes());
        let ended = world.run(&["drive", "list", "r:"]);
        assert_eq!(ended.code, 4, "{command}: {ended:?}");
        hidden(&ended);
        for args in
            [&["remote", "show", "r"][..], &["--json", "remote", "show", "r"], &["--json", "remote", "list"]]
        {
            hidden(&world.run(args));
        }
    }
}
