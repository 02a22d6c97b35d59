//! Servers and resources: states, claims, addresses, and what a balance covers.

use super::Site;
use super::client::Client;
use crate::emulator::Dialect::{CloudSigma, Crosspeer, OpenHosting};
use crate::emulator::Emulator;
use std::time::{Duration, Instant};

const SERVER: &str =
    "name TestServer\ncpu 4000\nmem 1024\nnic:0:model e1000\nnic:0:dhcp auto\nvnc:password XXXXXXXX\n";

fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

#[test]
fn addresses_stand_where_each_manual_puts_them() {
    let mut site = Site::new(OpenHosting, "");
    let server = site.client.post("/servers/create", format!("{SERVER}vnc:ip auto"));
    assert_eq!((server.value("status"), server.value("smp")), ("active".into(), "2".into()));
    assert!(is_address(&server.value("nic:0:dhcp")) && server.value("vnc:ip") == server.value("nic:0:dhcp"));
    assert_eq!(server.get("nic:0:dhcp:ip"), None);

    let mut site = Site::new(Crosspeer, "");
    let server = site.client.post("/servers/create", format!("{SERVER}vnc auto\nsmp auto"));
    assert_eq!(
        (server.value("nic:0:dhcp"), server.value("vnc"), server.value("smp")),
        ("auto".into(), "auto".into(), "auto".into())
    );
    assert!(is_address(&server.value("nic:0:dhcp:ip")) && is_address(&server.value("vnc:ip")));
    assert_eq!((server.value("smp:cores"), server.value("smp:sockets")), ("2".into(), "1".into()));
    let other = site.client.post("/servers/create", format!("{SERVER}vnc auto"));
    assert_ne!(other.value("nic:0:dhcp:ip"), server.value("nic:0:dhcp:ip"));
}

#[test]
fn a_server_that_does_not_persist_vanishes_when_it_stops() {
    for (provider, verb) in
        [(OpenHosting, "stop"), (OpenHosting, "shutdown"), (Crosspeer, "stop"), (CloudSigma, "shutdown")]
    {
        let mut site = Site::new(provider, "");
        let passing =
            site.client.post("/servers/create", format!("{SERVER}persistent false")).value("server");
        let lasting = site.client.post("/servers/create", format!("{SERVER}persistent true")).value("server");
        for server in [&passing, &lasting] {
            assert_eq!(site.client.post(&format!("/servers/{server}/{verb}"), "").status, 204);
        }
        if verb == "shutdown" {
            // The shutdown takes a while; until it ends the server is active.
            assert_eq!(site.client.get(&format!("/servers/{lasting}/info")).value("status"), "active");
            let start = Instant::now();
            while site.client.get(&format!("/servers/{lasting}/info")).value("status") == "active" {
                assert!(start.elapsed() < Duration::from_secs(5));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let stopped = site.client.get(&format!("/servers/{lasting}/info"));
        assert_eq!((stopped.value("status"), stopped.get("started")), ("stopped".into(), None));
        assert_eq!(stopped.value("nic:0:dhcp"), "auto");
        assert_eq!(site.client.get(&format!("/servers/{passing}/info")).status, 404);
        assert_eq!(site.client.get("/servers/list").lines().len(), 1);
    }
}

#[test]
fn a_stopped_server_starts_resets_and_goes() {
    let mut site = Site::new(OpenHosting, "");
    let server = site.client.post("/servers/create/stopped", SERVER);
    let uuid = server.value("server");
    assert_eq!((server.value("status"), server.get("rx")), ("stopped".into(), None));
    let verb = |site: &mut Site, verb: &str| site.client.post(&format!("/servers/{uuid}/{verb}"), "").status;
    assert_eq!(verb(&mut site, "reset"), 400);
    assert_eq!(verb(&mut site, "stop"), 204);
    assert_eq!([verb(&mut site, "start"), verb(&mut site, "start"), verb(&mut site, "reset")], [204; 3]);
    assert_eq!(verb(&mut site, "destroy"), 204);
    assert_eq!(verb(&mut site, "start"), 404);
}

#[test]
fn a_running_server_claims_its_drives() {
    for provider in [OpenHosting, CloudSigma] {
        let mut site = Site::new(provider, "");
        let drive = site.drive(1 << 20);
        let body = format!("{SERVER}persistent true\nide:0:0 {drive}\nboot ide:0:0");
        let server = site.client.post("/servers/create", &*body);
        let (uuid, user) = (server.value("server"), server.value("user"));
        let claimed = site.client.get(&format!("/drives/{drive}/info")).value("claimed");
        let expected =
            if provider == CloudSigma { format!("{user}:guest:{uuid}:ide:0:0") } else { uuid.clone() };
        assert_eq!(claimed, expected);

        let status = |site: &mut Site, verb: &str, body: &str| {
            site.client.post(&format!("/drives/{drive}/{verb}"), body).status
        };
        assert_eq!(status(&mut site, "destroy", ""), if provider == CloudSigma { 400 } else { 409 });
        assert_eq!(status(&mut site, "write", "x"), 409);
        assert_eq!(status(&mut site, "set", "size 2M"), 409);
        assert_eq!(status(&mut site, "set", "name x"), 200);
        assert_eq!(status(&mut site, "read/0/10", ""), 200);
        assert_eq!(site.client.post("/servers/create", &*body).status, 409, "a drive is claimed twice");
        assert_eq!(site.client.get("/servers/list").lines().len(), 1);

        assert_eq!(site.client.post(&format!("/servers/{uuid}/stop"), "").status, 204);
        assert_eq!(site.client.get(&format!("/drives/{drive}/info")).get("claimed"), None);
        assert_eq!(status(&mut site, "write", "x"), 204);
        assert_eq!(status(&mut site, "set", "claim:type shared"), 200);
        assert_eq!(
            site.client.post(&format!("/servers/{uuid}/start"), "").status,
            if provider == CloudSigma { 200 } else { 204 }
        );
        assert_eq!(
            site.client.post("/servers/create", &*body).status,
            200,
            "a shared drive is claimed twice"
        );
        assert_eq!(status(&mut site, "write", "x"), 204);
    }
}

#[test]
fn what_a_configuration_names_must_be_there() {
    let gone = "ide:0:0 62f512cd-82c7-498e-88d8-a09ac2ef20e7";
    for line in [gone, "nic:1:vlan 62f512cd-82c7-498e-88d8-a09ac2ef20e7"] {
        let reply = Site::new(OpenHosting, "").client.post("/servers/create", format!("{SERVER}{line}"));
        assert_eq!((reply.status, reply.header("x-elastic-error")), (404, Some("missing")));
    }
    let reply = Site::new(CloudSigma, "").client.post("/servers/create", format!("{SERVER}{gone}"));
    assert_eq!((reply.status, reply.value("name")), (400, "TestServer".into()));
    assert!(reply.value("errors:ide:0:0").contains("does not exist"));
    let reply =
        Site::new(OpenHosting, "").client.post("/servers/create", "name x\ncpu 1\nmem 1\nboot ide:0:0");
    assert!(reply.status == 400 && reply.text().contains("boot"), "{}", reply.text());
}

#[test]
fn an_active_server_takes_few_changes() {
    let mut site = Site::new(Crosspeer, "");
    let uuid = site.client.post("/servers/create", SERVER).value("server");
    let path = format!("/servers/{uuid}/set");
    let changed = site.client.post(&path, "name Other\ncpu 2000\npersistent true\nuser:a b");
    assert_eq!(
        (changed.value("name"), changed.value("cpu"), changed.value("user:a")),
        ("Other".into(), "2000".into(), "b".into())
    );
    let refused = site.client.post(&path, "mem 2048");
    assert!(refused.status == 400 && refused.text().contains("mem"), "{}", refused.text());
    site.client.post(&format!("/servers/{uuid}/stop"), "");
    assert_eq!(site.client.post(&path, "mem 2048").value("mem"), "2048");
}

#[test]
fn resources_are_made_used_and_kept() {
    let mut site = Site::new(OpenHosting, "");
    let vlan = site.client.post("/resources/vlan/create", "name net\ntag a b\nuser:k v");
    assert_eq!(
        (vlan.value("name"), vlan.value("tags"), vlan.get("netmask")),
        ("net".into(), "a b".into(), None)
    );
    let ip = site.client.post("/resources/ip/create", "");
    let (vlan, ip) = (vlan.value("resource"), ip.value("resource"));
    assert!(is_address(&ip));
    assert_eq!(site.client.get("/resources/list").lines(), [format!("vlan {vlan}"), format!("ip {ip}")]);
    assert_eq!(site.client.get("/resources/ip/list").lines(), [format!("ip {ip}")]);
    let set = site.client.post(&format!("/resources/vlan/{vlan}/set"), "name other\ntags");
    assert_eq!((set.value("name"), set.get("tags"), set.value("user:k")), ("other".into(), None, "v".into()));

    let server = site
        .client
        .post("/servers/create", format!("name x\ncpu 1\nmem 1\nnic:0:dhcp {ip}\nnic:1:vlan {vlan}"));
    assert_eq!((server.value("nic:0:dhcp"), server.value("nic:1:mac").len()), (ip.clone(), 17));
    for path in [format!("/resources/ip/{ip}"), format!("/resources/vlan/{vlan}")] {
        assert_eq!(site.client.post(&format!("{path}/destroy"), "").status, 409);
    }
    site.client.post(&format!("/servers/{}/destroy", server.value("server")), "");
    for path in [format!("/resources/ip/{ip}"), format!("/resources/vlan/{vlan}")] {
        assert_eq!(site.client.post(&format!("{path}/destroy"), "").status, 204);
        assert_eq!(site.client.get(&format!("{path}/info")).status, 404);
    }
    assert_eq!(site.client.get("/resources/cow/list").status, 404);
}

#[test]
fn servers_survive_and_are_shared_between_emulators() {
    let mut site = Site::new(OpenHosting, "");
    let drive = site.drive(1 << 20);
    let uuid = site.client.post("/servers/create", format!("{SERVER}ide:0:0 {drive}")).value("server");
    let other = Emulator::start(super::config(OpenHosting, site.data.path(), "")).unwrap();
    let mut client = Client::new(other.address());
    assert_eq!(client.get(&format!("/servers/{uuid}/info")).value("status"), "active");
    assert_eq!(client.post(&format!("/drives/{drive}/write"), "x").status, 409);
    assert_eq!(client.post(&format!("/servers/{uuid}/destroy"), "").status, 204);
    assert_eq!(site.client.post(&format!("/drives/{drive}/write"), "x").status, 204);
}

#[test]
fn a_balance_covers_so_much_and_no_more() {
    for (provider, status) in [(OpenHosting, 402), (CloudSigma, 400)] {
        let mut site = Site::new(provider, "balance=10");
        assert_eq!(site.client.post("/resources/ip/create", "").status, 200);
        let refused = site.client.post("/resources/ip/create", "");
        assert_eq!(refused.status, status);
        if provider == OpenHosting {
            assert_eq!(refused.header("x-elastic-error"), Some("billing"));
        } else {
            assert_eq!(site.client.get("/balance/info").value("balance"), "2.00");
            assert_eq!(site.client.get("/transactions/list").value("total"), "-8.00");
        }
        assert_eq!(site.client.get("/resources/list").lines().len(), 1);
        let mut broke = Site::new(provider, "balance=0");
        for (path, body) in [("/drives/create", "name x\nsize 1"), ("/servers/create", SERVER)] {
            assert_eq!(broke.client.post(path, body).status, status, "{path}");
        }
        assert_eq!(broke.client.get("/servers/list").text(), "");
        // A server that does not run costs nothing.
        let stopped = format!("{SERVER}status stopped");
        let path = if provider == CloudSigma { "/servers/create" } else { "/servers/create/stopped" };
        let server = broke.client.post(path, stopped).value("server");
        assert_eq!(broke.client.post(&format!("/servers/{server}/start"), "").status, status);
    }
}

#[test]
fn crosspeer_offers_its_standard_drives() {
    let mut site = Site::new(Crosspeer, "");
    let debian = "980cf63c-f21e-4382-997b-6541d5809629";
    let info = site.client.get(&format!("/drives/{debian}/info"));
    assert_eq!((info.value("name"), info.value("claim:type")), ("Debian Linux 6.0".into(), "shared".into()));
    assert_eq!(site.client.get(&format!("/drives/{debian}/read/0/2")).body, [0x1f, 0x8b]);
    for verb in ["write", "destroy", "set"] {
        assert_eq!(site.client.post(&format!("/drives/{debian}/{verb}"), "").status, 404, "{verb}");
    }
    assert_eq!(site.client.get("/drives/list").text(), "");

    let small = site.drive(1 << 20);
    assert_eq!(site.client.post(&format!("/drives/{small}/image/{debian}/gunzip"), "").status, 507);
    let drive = site.drive(1 << 30);
    assert_eq!(site.client.post(&format!("/drives/{drive}/image/{debian}/gunzip"), "").status, 204);
    super::drives::imaging(&mut site.client, &drive);
    let sector = site.client.get(&format!("/drives/{drive}/read/0/512")).body;
    assert!(sector[510..] == [0x55, 0xaa] && sector[2..18] == *b"Debian Linux 6.0");
    let cd = "a1cd7ea0-6539-4cb6-b35f-03c9a6b61917";
    for _ in 0..2 {
        let body = format!("{SERVER}ide:1:0 {cd}\nide:1:0:media cdrom\nboot ide:1:0");
        assert_eq!(site.client.post("/servers/create", body).status, 200);
    }
    assert_eq!(site.client.get(&format!("/drives/{cd}/read/32769/5")).body, b"CD001");
    assert_eq!(Site::new(OpenHosting, "").client.get(&format!("/drives/{debian}/info")).status, 404);
}
