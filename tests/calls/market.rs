//! The everyday commands of SpotCloud: appliances, hardware, the login.

use super::world::{SECRET, USER, World};
use diskferry::provider::Provider;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

#[test]
fn appliances_are_listed_renamed_and_deleted() {
    let (world, _emulator) = World::emulated(Provider::SpotCloud, "");
    let list = world.done(&["appliance", "list", "r:"]);
    assert!(list.contains("own") && list.contains("9 B"), "{list}");
    assert!(world.done(&["appliance", "public", "r:"]).contains("public-tiny"));
    world.done(&["appliance", "rename", "r:appliance/own", "my image"]);
    let info = world.done(&["appliance", "info", "r:own"]);
    assert!(info.contains("my image") && info.contains("download_uri"), "{info}");
    let instance =
        ["call", "r:", "instances.create", "appliance=own", "hardware=h-tor1-s", "provider=p-tor1"];
    world.done(&instance);
    // 401 is not about the credentials here: what the server says is shown, and no login begins.
    let used = world.run(&["appliance", "delete", "r:appliance/own"]);
    used.refused(4, &["in use", "not yours"]);
    assert!(!used.stderr.contains("OAuthAuthorizeToken"), "{}", used.stderr);
    world.done(&["appliance", "delete", "r:appliance/spare"]);
    world.run(&["appliance", "info", "r:appliance/spare"]).refused(5, &["404"]);
    world.run(&["drive", "list", "r:"]).refused(2, &["spotcloud"]);
    world.run(&["upload", "x", "r:"]).refused(1, &["x"]);
}

#[test]
fn hardware_can_be_compared() {
    let (world, _emulator) = World::emulated(Provider::SpotCloud, "");
    let table = world.done(&["hardware", "list", "r:"]);
    let costs: Vec<f64> =
        table.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(costs.len() == 8 && costs.is_sorted(), "{table}");
    assert!(table.contains("512.0 MiB") && table.contains("São Paulo, BR, SA"), "{table}");
    let some =
        world.done(&["hardware", "list", "r:", "--continent", "EU", "--min-memory", "2G", "--sort", "cpu"]);
    assert!(some.contains("Groot <8>") && some.lines().count() == 2, "{some}");
    let called = world.done(&["call", "r:", "hardware.list", "max_cpu=1", "--sort", "cost"]);
    assert!(called.lines().nth(1).unwrap().contains("0.01"), "{called}");
    let xml = world.run(&["--json", "call", "r:", "hardware.list", "--format", "xml"]).objects();
    let json = world.run(&["--json", "call", "r:", "hardware.list"]).objects();
    let keys = |all: &[serde_json::Value]| all.iter().map(|one| one["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&xml), keys(&json));
    let text = world.done(&["call", "r:", "hardware.get", "h-tor1-s", "--format", "xml"]);
    assert!(text.starts_with("<?xml") && text.contains("<cpu>1</cpu>"), "{text}");
    let (other, _emulator) = World::emulated(Provider::OpenHosting, "");
    other.run(&["call", "r:", "drives.list", "--format", "xml"]).refused(2, &["one format"]);
}

#[test]
fn a_login_ends_with_a_token_in_a_private_file() {
    let (world, emulator) = World::emulated(Provider::SpotCloud, "");
    let path = world.path("config.toml");
    let text = format!(
        "[remotes.r]\nprovider = \"spotcloud\"\nurl = \"{}\"\nconsumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\n",
        emulator.url()
    );
    std::fs::write(&path, &text).unwrap();
    world.run(&["appliance", "list", "r:"]).refused(4, &["no access token", "remote login r:"]);
    world.run(&["remote", "login", "r:", "--verifier", "x"]).refused(2, &["no login"]);
    let begun = world.run(&["--json", "remote", "login", "r:"]);
    assert_eq!(begun.code, 0, "{}", begun.stderr);
    let visit = begun.objects()[0]["visit"].as_str().unwrap().to_owned();
    assert!(begun.stderr.contains(&visit));
    // What the user's browser does.
    let (_, rest) = visit.split_once("http://").unwrap();
    let (host, page) = rest.split_once('/').unwrap();
    let mut browser = std::net::TcpStream::connect(host).unwrap();
    write!(browser, "GET /{page} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut shown = String::new();
    browser.read_to_string(&mut shown).unwrap();
    let verifier = shown.split("id=\"verifier\">").nth(1).unwrap().split('<').next().unwrap();
    world.run(&["remote", "login", "r:", "--verifier", "wrong"]).refused(4, &["verifier"]);
    let ended = world.run(&["remote", "login", "r:", "--verifier", verifier]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(&path).unwrap();
    let secret =
        written.lines().find_map(|line| line.strip_prefix("token_secret = ")).unwrap().trim_matches('"');
    assert!(!format!("{begun:?}{ended:?}").contains(secret));
    assert!(world.done(&["appliance", "list", "r:"]).contains("own"));
    let tested = world.done(&["remote", "test", "r:"]);
    assert!(tested.contains("authentication works") && tested.contains("appliances"), "{tested}");
}
