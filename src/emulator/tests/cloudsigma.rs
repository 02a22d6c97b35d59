//! The calls that only CloudSigma has.

use super::Site;
use super::client::Request;
use super::drives::imaging;
use crate::emulator::Dialect::CloudSigma;

const SERVER: &str = "name Test server\ncpu 2000\nmem 1000\npersistent true\n";

#[test]
fn headers_for_formats_are_ignored_and_none_are_sent() {
    let mut site = Site::new(CloudSigma, "");
    // As libcloud's driver sends it: text declared as JSON.
    let create = Request::new("POST", "/drives/create")
        .header("Content-Type", "application/json")
        .header("Accept", "application/json")
        .body("name x\nsize 1M\nuser:note kept out");
    let drive = site.client.reply(&create);
    assert_eq!(
        (drive.value("name"), drive.value("type"), drive.get("user:note")),
        ("x".into(), "disk".into(), None)
    );
    assert_eq!(drive.header("x-elastic-output"), None);
    let missing = site.client.get("/drives/62f512cd-82c7-498e-88d8-a09ac2ef20e7/info");
    assert_eq!((missing.status, missing.header("x-elastic-error")), (404, None));
    let past = site.client.post(&format!("/drives/{}/write/1M", drive.value("drive")), "x");
    assert_eq!(past.status, 400);
}

#[test]
fn wrong_keys_come_back_with_what_was_sent() {
    let mut site = Site::new(CloudSigma, "");
    assert!(!site.client.get("/profile/info").text().contains(super::SECRET));
    assert!(site.client.post("/profile/set", "email nobody").get("errors:email").is_some());
    let set = site.client.post("/profile/set", "first_name Ada\nuuid 1\ncurrency XXX");
    assert_eq!((set.value("first_name"), set.get("currency")), ("Ada".into(), None));
    assert_ne!(set.value("uuid"), "1");

    let drive = site.client.post("/drives/create", "name x\nclaim:type inclusive");
    assert_eq!(drive.value("errors:size"), "* This field is required.");
    assert!(drive.value("errors:claim:type").starts_with("* "));
}

#[test]
fn the_owner_of_everything_is_a_uuid_even_if_the_login_is_none() {
    let owner = crate::emulator::service::owner("foo.bar@example.com");
    assert!(uuid::Uuid::parse_str(&owner).is_ok());
    assert_eq!(crate::emulator::service::owner("foo.bar@example.com"), owner);
    assert_ne!(crate::emulator::service::owner("foo.baz@example.com"), owner);
    assert_eq!(crate::emulator::service::owner(super::USER), super::USER);
}

#[test]
fn a_drive_is_cloned() {
    let mut site = Site::new(CloudSigma, "");
    let drive = site.drive(1 << 20);
    site.client.post(&format!("/drives/{drive}/write/512"), "contents");
    let path = format!("/drives/{drive}/clone");
    let clone = site.client.post(&path, "name copy\nsize 2M\ntags affinity:ssd");
    assert_eq!(
        (clone.status, clone.value("imaging"), clone.value("tags")),
        (200, "queued".into(), "affinity:ssd".into())
    );
    let uuid = clone.value("drive");
    imaging(&mut site.client, &uuid);
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read/512/8")).text(), "contents");
    assert_eq!(site.client.get(&format!("/drives/{uuid}/info")).value("size"), "2097152");
    let small = site.client.post(&path, "name copy\nsize 1000");
    assert!(small.status == 400 && small.get("errors:size").is_some());
    assert_eq!(site.client.post("/drives/62f512cd-82c7-498e-88d8-a09ac2ef20e7/clone", "name x").status, 400);
    assert_eq!(site.client.get("/drives/list").lines().len(), 2);

    let image = "267a24ea-899f-48fb-b348-aab24fb246b3";
    let clone = site.client.post(&format!("/drives/{image}/clone"), "name system");
    assert_eq!(clone.value("size"), (1 << 30).to_string());
    imaging(&mut site.client, &clone.value("drive"));
    let sector = site.client.get(&format!("/drives/{}/read/0/512", clone.value("drive"))).body;
    assert_eq!(sector[510..], [0x55, 0xaa]);
}

#[test]
fn servers_start_unless_told_otherwise_and_are_cloned_with_their_disks() {
    let mut site = Site::new(CloudSigma, "");
    let drive = site.drive(1 << 20);
    let server = site.client.post("/servers/create", format!("{SERVER}ide:0:0 {drive}\nnic:0:dhcp auto"));
    assert_eq!((server.value("status"), server.value("smp")), ("active".into(), "1".into()));
    let stopped = site.client.post("/servers/create", format!("{SERVER}status stopped"));
    assert_eq!(stopped.value("status"), "stopped");
    let started = site.client.get(&format!("/servers/{}/start", stopped.value("server")));
    assert_eq!((started.status, started.value("status")), (200, "active".into()));

    let clone = site.client.post(&format!("/guests/{}/clone", server.value("server")), "name twin");
    assert_eq!((clone.value("status"), clone.value("name")), ("active".into(), "twin".into()));
    assert_ne!(clone.value("ide:0:0"), drive);
    assert_ne!(clone.value("nic:0:dhcp"), server.value("nic:0:dhcp"));
    imaging(&mut site.client, &clone.value("ide:0:0"));
}

#[test]
fn several_servers_and_groups_of_them() {
    let mut site = Site::new(CloudSigma, "");
    let servers: Vec<String> =
        (0..3).map(|_| site.client.post("/servers/create", SERVER).value("server")).collect();
    let both = format!("server:0 {}\nserver:1 {}", servers[0], servers[1]);
    let group = site.client.post("/servergroups/create", "name g\ndescription all kind").value("uuid");
    let path = |verb: &str| format!("/servergroups/{group}/{verb}");
    assert_eq!(site.client.post(&path("add"), &*both).lines(), servers[..2]);
    assert_eq!(site.client.post(&path("add"), format!("server:0 {}", servers[2])).lines(), servers);
    assert_eq!(site.client.post(&path("remove"), format!("server:0 {}", servers[2])).lines(), servers[..2]);
    assert_eq!(site.client.get(&path("info")).value("description"), "all kind");
    assert_eq!(site.client.post(&format!("/servergroupss/{group}/set"), "name h").value("name"), "h");

    let status = |site: &mut Site| -> Vec<String> {
        let all = site.client.get("/servers/info").objects();
        all.iter().map(|server| server.get("status").unwrap().to_owned()).collect()
    };
    assert_eq!(site.client.get(&path("stop")).lines(), servers[..2]);
    assert_eq!(status(&mut site), ["stopped", "stopped", "active"]);
    assert_eq!(site.client.post("/servers/start", &*both).value("server:1"), servers[1]);
    assert_eq!(status(&mut site), ["active"; 3]);
    assert_eq!(site.client.post("/guests/stop", &*both).status, 200);
    // One server that does not exist leaves the others unchanged.
    let wrong = site.client.post("/servers/start", format!("{both}\nserver:2 gone"));
    assert!(wrong.status == 400 && wrong.get("errors:server:2").is_some(), "{}", wrong.text());
    assert_eq!(status(&mut site), ["stopped", "stopped", "active"]);
    assert_eq!(site.client.post("/guest/destroy", &*both).lines(), servers[2..]);
    assert_eq!(site.client.get(&path("start")).text(), "");
    assert_eq!(site.client.post(&path("destroy"), "").status, 200);
    assert_eq!(site.client.get("/servergroups/list").text(), "");
}

#[test]
fn subscriptions_cost_what_the_manual_says() {
    let mut site = Site::new(CloudSigma, "");
    let when = "start_time 2010-03-22 00:00\nmonths 1";
    for (kind, amount) in [("ip", "16.00"), ("vlan", "40.00")] {
        let path = format!("/subscriptions/network/{kind}/calculate");
        let reply = site.client.post(&path, format!("quantity 2\n{when}"));
        assert_eq!((reply.value("amount"), reply.value("currency")), (amount.into(), "EUR".into()));
    }
    let before = site.client.get("/balance/info").value("balance");
    assert_eq!(before, "1220.87");
    assert_eq!(site.client.get("/subscriptions/list").text(), "");

    let made = site.client.post("/subscriptions/network/ip/create", format!("quantity 2\n{when}"));
    let made = made.objects();
    assert_eq!((made.len(), made[0].get("end_time")), (2, Some("2010-04-22 00:00")));
    assert_eq!(
        site.client.get("/resources/ip/list").lines()[0],
        format!("ip {}", made[0].get("resource").unwrap())
    );
    assert_eq!(site.client.get("/balance/info").value("balance"), "1204.87");
    let uuid = site.client.get("/subscriptions/list").value("subscription");
    let cost = site.client.post(&format!("/subscriptions/{uuid}/set/calculate"), "months 3");
    assert_eq!(cost.value("amount"), "24.00");
    let longer = site.client.post(&format!("/subscriptions/{uuid}/set"), "months 3");
    assert_eq!(longer.value("end_time"), "2010-07-22 00:00");
    assert_eq!(site.client.get("/transactions/list").value("total"), "-24.00");
    assert_eq!(site.client.post(&format!("/subscriptions/{uuid}/set"), "months 0").status, 400);
    // A subscription that began in the past and has ended no longer counts.
    assert_eq!(site.client.get("/subscriptions/net/info").value("ip"), "0");
}

#[test]
fn usage_follows_from_what_the_account_has() {
    let mut site = Site::new(CloudSigma, "");
    site.drive(3 << 30);
    site.client.post("/servers/create", SERVER);
    site.client.post("/servers/create", format!("{SERVER}status stopped"));
    let order = "cpu 2000\nmem 1024\nstart_time 2020-01-01 00:00\nmonths 120";
    assert_eq!(site.client.post("/subscriptions/resources/create", order).status, 200);
    let usage = site.client.get("/usage/info");
    let figures =
        ["cpu", "mem", "disk", "cpu:burst", "mem:burst", "disk:burst", "cpu:sub", "mem:sub", "disk:sub"];
    let expected = ["2000", "1000", "3", "0", "0", "3", "2000", "1024", "0"];
    assert_eq!(figures.map(|key| usage.value(key)), expected);
    assert_eq!(site.client.get("/subscriptions/resources/info").value("cpu"), "2000");
}
