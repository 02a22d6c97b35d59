//! The control address: fault rules, clock, seed, log and reset, over HTTP as the documentation prints it.

use super::client::{Client, Ending, Request};
use super::config;
use crate::emulator::Dialect::{self, CloudSigma, OpenHosting};
use crate::emulator::{Config, Control, Fleet};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Two emulators with one control address.
struct Steered {
    control: Control,
    fleet: Arc<Fleet>,
    _data: tempfile::TempDir,
}

impl Steered {
    fn new(faults: &str, keeps: bool) -> Steered {
        let data = tempfile::tempdir().unwrap();
        let of = |provider: Dialect| Config {
            strict: true,
            ..config(provider, &data.path().join(provider.name()), faults)
        };
        let configs = [OpenHosting, CloudSigma].map(of).to_vec();
        let fleet = Arc::new(Fleet::start(configs, Arc::new(|_, _, _| {})).unwrap());
        let control = Control::start(([127, 0, 0, 1], 0).into(), Arc::clone(&fleet), keeps).unwrap();
        Steered { control, fleet, _data: data }
    }

    /// Returns a client of one of the emulators.
    fn client(&self, provider: Dialect) -> Client {
        let member = self.fleet.members().iter().find(|member| member.provider() == provider).unwrap();
        Client::new(address(member.url()))
    }

    /// Sends a request to the control address, and returns the status and the body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let address = address(&self.control.url());
        let request = Request::bare_at(method, path, &address.to_string()).body(body);
        let reply = Client::new(address).reply(&request);
        (reply.status, reply.text())
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.ask(method, path, &body);
        assert_eq!(status, 200, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

#[test]
fn faults_are_for_a_provider_a_path_and_a_number_of_times() {
    let steered = Steered::new("", false);
    let (mut oh, mut cs) = (steered.client(OpenHosting), steered.client(CloudSigma));
    let rule =
        json!({ "faults": "unavailable=1", "provider": "openhosting", "path": "/drives/list", "times": 2 });
    assert_eq!(steered.json("POST", "/faults", &rule), json!([{ "provider": "openhosting", "id": 1 }]));
    assert_eq!((oh.get("/drives/info").status, cs.get("/drives/list").status), (200, 200));
    let statuses: Vec<u16> = (0..3).map(|_| oh.get("/drives/list").status).collect();
    assert_eq!(statuses, [503, 503, 200]);
    let expected = json!([{
        "provider": "openhosting", "id": 1, "faults": "unavailable=1", "path": "/drives/list", "times_left": 0,
    }]);
    assert_eq!(steered.json("GET", "/faults", &Value::Null), expected);
    // A new rule replaces all; one is removed; then all are.
    steered.json("PUT", "/faults", &json!({ "faults": "busy=1" }));
    assert_eq!((oh.get("/drives/list").status, cs.get("/drives/list").status), (409, 409));
    let left = steered.json("DELETE", "/faults/openhosting/2", &Value::Null);
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!((oh.get("/drives/list").status, cs.get("/drives/list").status), (200, 409));
    assert_eq!(steered.json("DELETE", "/faults", &Value::Null), json!([]));
    assert_eq!(cs.get("/drives/list").status, 200);
    let state = steered.json("GET", "/", &Value::Null);
    assert_eq!(
        (&state["providers"][0]["faults_dealt"], &state["providers"][1]["faults_dealt"]),
        (&json!(3), &json!(2))
    );
}

#[test]
fn a_rate_that_is_set_holds_for_new_connections() {
    let steered = Steered::new("", false);
    steered.json("POST", "/faults", &json!({ "faults": "rate=100k" }));
    let start = std::time::Instant::now();
    let mut client = steered.client(OpenHosting);
    client.post("/drives/create", format!("name {}\nsize 1M\n", "n".repeat(20_000)));
    // 20 kB at 100 KiB a second.
    assert!(start.elapsed() >= std::time::Duration::from_millis(180), "{:?}", start.elapsed());
}

#[test]
fn the_clock_is_put_forward_for_what_is_billed() {
    let steered = Steered::new("balance=5", false);
    let mut client = steered.client(CloudSigma);
    client.post("/drives/create", "name a\nsize 10737418240\n");
    let before: f64 = client.get("/balance/info").value("balance").parse().unwrap();
    let now = steered.json("GET", "/clock", &Value::Null);
    let then = steered.json("POST", "/clock", &json!({ "advance": "720h" }));
    assert!(then["time"].as_str() > now["time"].as_str() && then["scale"] == json!(1.0));
    let after: f64 = client.get("/balance/info").value("balance").parse().unwrap();
    assert!(after < before, "{before} {after}");
    assert_eq!(steered.json("POST", "/clock", &json!({ "scale": 60 }))["scale"], json!(60.0));
}

#[test]
fn a_seed_repeats_the_draws() {
    let steered = Steered::new("busy=0.5", false);
    let mut client = steered.client(OpenHosting);
    let mut run = |seed: u64| -> Vec<u16> {
        steered.json("PUT", "/seed", &json!({ "seed": seed }));
        (0..40).map(|_| client.get("/drives/list").status).collect()
    };
    let first = run(1);
    assert!(first.contains(&409) && first.contains(&200));
    assert_ne!(first, run(2));
    assert_eq!(first, run(1));
}

#[test]
fn the_log_has_what_came_since_and_is_emptied() {
    let steered = Steered::new("", false);
    let (mut oh, mut cs) = (steered.client(OpenHosting), steered.client(CloudSigma));
    for path in ["/drives/list", "/drives/info", "/servers/list"] {
        assert_eq!(oh.get(path).status, 200);
    }
    cs.get("/profile/info");
    let lines = |query: &str| -> Vec<Value> {
        let (status, text) = steered.ask("GET", &format!("/log{query}"), "");
        assert_eq!(status, 200, "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines("");
    let seen: Vec<_> = all.iter().map(|line| (line["provider"].as_str(), line["path"].as_str())).collect();
    assert_eq!(seen[3], (Some("cloudsigma"), Some("/profile/info")));
    assert_eq!((seen.len(), &all[0]["status"], &all[0]["account"]), (4, &json!(200), &json!(super::USER)));
    let since = lines("?provider=openhosting&since=2");
    assert_eq!((since.len(), &since[0]["path"]), (1, &json!("/servers/list")));
    steered.json("DELETE", "/log", &Value::Null);
    assert!(lines("").is_empty());
}

#[test]
fn undocumented_forms_are_counted() {
    let steered = Steered::new("", false);
    let mut client = steered.client(OpenHosting);
    for _ in 0..2 {
        assert_eq!(client.post("/drives/list", "").status, 200);
    }
    assert_eq!(client.get("/drives/list").status, 200);
    let expected =
        json!([{ "provider": "openhosting", "form": "POST /drives/list: the manual has GET", "count": 2 }]);
    assert_eq!(steered.json("GET", "/undocumented", &Value::Null), expected);
}

#[test]
fn a_reset_is_the_start_again() {
    let steered = Steered::new("busy=0.5,seed=4", false);
    let mut client = steered.client(OpenHosting);
    let run =
        |client: &mut Client| -> Vec<u16> { (0..20).map(|_| client.get("/servers/list").status).collect() };
    let first = run(&mut client);
    steered.json("PUT", "/faults", &json!({ "faults": "latency=1ms" }));
    steered.json("POST", "/clock", &json!({ "advance": "1h" }));
    assert_eq!(client.post("/drives/create", "name a\nsize 1048576\n").status, 200);
    assert_eq!(client.get("/drives/list").lines().len(), 1);
    let state = steered.json("POST", "/reset", &Value::Null);
    assert_eq!((&state["providers"][0]["faults_dealt"], &state["undocumented"]), (&json!(0), &json!(0)));
    // The same address, another connection, and the initial draws.
    let mut again = steered.client(OpenHosting);
    assert_eq!(run(&mut again), first);
    steered.json("DELETE", "/faults", &Value::Null);
    assert!(again.get("/drives/list").text().is_empty());
    assert!(matches!(client.send(&Request::new("GET", "/drives/list")), Ending::Closed | Ending::Reset));
}

#[test]
fn what_would_be_lost_has_to_be_named() {
    let steered = Steered::new("", true);
    let mut client = steered.client(OpenHosting);
    client.post("/drives/create", "name a\nsize 1048576\n");
    let (status, text) = steered.ask("POST", "/reset", "");
    assert_eq!(status, 409);
    assert!(text.contains("--data") && text.contains(r#"{\"data\":true}"#), "{text}");
    assert_eq!(client.get("/drives/list").lines().len(), 1);
    steered.json("POST", "/reset", &json!({ "data": true }));
    assert!(steered.client(OpenHosting).get("/drives/list").text().is_empty());
}

#[test]
fn what_cannot_be_asked_says_what_can() {
    let steered = Steered::new("", false);
    for (method, path, body, status, says) in [
        ("GET", "/nothing", "", 404, "GET /undocumented"),
        ("PATCH", "/faults", "", 405, "GET|POST|PUT|DELETE /faults"),
        ("POST", "/faults", "busy", 400, r#"{\"faults\":\"busy=0.1\""#),
        ("POST", "/faults", r#"{"faults":"fusy=1"}"#, 400, "no such fault"),
        ("POST", "/faults", r#"{"faults":"busy=1","provider":"joyent"}"#, 400, "openhosting, cloudsigma"),
        ("POST", "/faults", r#"{"faults":"busy=1","paths":"/x"}"#, 400, "unknown field `paths`"),
        ("POST", "/faults", r#"{"faults":"rate=1M","path":"/x"}"#, 400, "leave out method, path and times"),
        ("POST", "/faults", r#"{"faults":"balance=1"}"#, 400, "--faults"),
        ("DELETE", "/faults/openhosting/9", "", 404, "no rule 9"),
        ("POST", "/clock", "{}", 400, "neither `advance` nor `scale`"),
        ("POST", "/clock", r#"{"advance":"soon"}"#, 400, "soon"),
        ("POST", "/clock", r#"{"advance":"90000h"}"#, 400, "at most ten years"),
        ("POST", "/clock", r#"{"scale":-1}"#, 400, "from 0 to"),
        ("PUT", "/seed", r#"{"seed":-1}"#, 400, r#"{\"seed\":7}"#),
        ("GET", "/log?since=3", "", 400, "needs one"),
        ("GET", "/log?first=3", "", 400, "expected provider or since"),
    ] {
        let (got, text) = steered.ask(method, path, body);
        assert_eq!(got, status, "{method} {path} {body}: {text}");
        let object: Value = serde_json::from_str(&text).unwrap();
        assert!(object["error"].is_string() && object["hint"].is_string(), "{text}");
        assert!(text.contains(says), "{method} {path} {body}: {text}");
    }
    let (status, _) = steered.ask("POST", "/faults", &"x".repeat(70_000));
    assert_eq!(status, 413);
}

#[test]
fn a_web_page_cannot_steer() {
    let steered = Steered::new("", false);
    let address = address(&steered.control.url());
    let own = Request::bare_at("DELETE", "/faults", &address.to_string());
    let page = own.header("Origin", "https://example.org");
    assert_eq!(Client::new(address).reply(&page).status, 403);
    // A name that DNS leads here.
    let rebound = Request::bare_at("DELETE", "/faults", "example.org");
    assert_eq!(Client::new(address).reply(&rebound).status, 403);
    for host in ["localhost:1234", "[::1]:1234", "127.0.0.1"] {
        assert_eq!(
            Client::new(address).reply(&Request::bare_at("GET", "/faults", host)).status,
            200,
            "{host}"
        );
    }
    let fleet = Arc::clone(&steered.fleet);
    let error = Control::start(([0, 0, 0, 0], 0).into(), fleet, false).unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}
