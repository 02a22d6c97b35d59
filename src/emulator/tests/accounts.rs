//! Several accounts behind one listener: each sees only its own objects, and only with its own credentials.

use super::client::{Client, Request};
use super::config;
use crate::emulator::Dialect::{self, CloudSigma, Joyent, OpenHosting};
use crate::emulator::auth::base64;
use crate::emulator::{AccountConfig, Config, Emulator};

const BOB: &str = "bob@example.com";

fn bob() -> AccountConfig {
    AccountConfig { user: BOB.into(), secret: "b".into(), keys: Vec::new(), appliances: Vec::new() }
}

/// Starts an emulator with two accounts: the one of all tests, and bob's.
fn two(provider: Dialect) -> (Emulator, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let config = Config { accounts: vec![bob()], ..config(provider, data.path(), "") };
    (Emulator::start_logged(config).unwrap(), data)
}

fn as_bob(method: &str, path: &str, secret: &str) -> Request {
    let credentials = base64(format!("{BOB}:{secret}").as_bytes());
    Request::bare(method, path).header("Authorization", &format!("Basic {credentials}"))
}

#[test]
fn drives_and_servers_are_their_accounts_own() {
    for provider in [OpenHosting, CloudSigma] {
        let (emulator, data) = two(provider);
        let mut client = Client::new(emulator.address());
        let own = client.post("/drives/create", "name mine\nsize 1048576\n").value("drive");
        let reply = client.reply(&as_bob("POST", "/drives/create", "b").body("name his\nsize 1048576\n"));
        let his = reply.value("drive");
        assert_eq!(client.get("/drives/list").lines(), [&*own]);
        assert_eq!(client.reply(&as_bob("GET", "/drives/list", "b")).lines(), [&*his]);
        for call in ["info", "read/0/4096"] {
            assert_eq!(client.get(&format!("/drives/{his}/{call}")).status, 404);
            assert_eq!(client.reply(&as_bob("GET", &format!("/drives/{own}/{call}"), "b")).status, 404);
            assert_eq!(client.reply(&as_bob("GET", &format!("/drives/{his}/{call}"), "b")).status, 200);
        }
        let server = client.post("/servers/create", format!("name s\ncpu 500\nmem 256\nide:0:0 {his}\n"));
        assert!(server.status >= 400, "a server has another account's drive: {}", server.text());
        assert_eq!(client.reply(&as_bob("GET", "/drives/list", "wrong")).status, 401);
        let log = emulator.log();
        assert_eq!(log[0].account.as_deref(), Some(super::USER));
        assert_eq!((log[1].account.as_deref(), log[log.len() - 1].account.as_deref()), (Some(BOB), None));
        drop(emulator);
        // The first account's data is where it always was.
        assert!(data.path().join(format!("drives/{own}.raw")).is_file());
        assert!(!data.path().join(format!("drives/{his}.raw")).exists());
    }
}

#[test]
fn joyents_accounts_are_in_the_path_too() {
    let (emulator, _data) = two(Joyent);
    let mut client = Client::new(emulator.address());
    let ask = |login: &str, path: &str| {
        as_bob("GET", &format!("/{login}/{path}"), "b").header("X-Api-Version", "~6.5")
    };
    let status = |client: &mut Client, request: Request| client.reply(&request).status;
    assert_eq!(status(&mut client, ask("my", "machines")), 200);
    let mut client = Client::new(emulator.address());
    assert_eq!(status(&mut client, ask(BOB, "machines")), 200);
    let mut client = Client::new(emulator.address());
    assert_eq!(status(&mut client, ask(super::USER, "machines")), 404);
}
