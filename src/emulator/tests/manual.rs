//! Requests and answers from the manuals of Open Hosting, Crosspeer and `CloudSigma`, written by hand: places
//! where the emulator once differed from them, and decisions where they contradict each other
//! (docs/emulator-differences.md).

use super::Site;
use super::client::{Reply, Request};
use crate::emulator::Dialect::{CloudSigma, Crosspeer, OpenHosting};

/// Checks a reply line by line. In `expected`, `*` at the end of a line stands for any word.
#[track_caller]
fn expect(reply: &Reply, status: u16, expected: &str) {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    let (lines, expected): (Vec<&str>, Vec<&str>) = (text.lines().collect(), expected.lines().collect());
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        match expected.strip_suffix('*') {
            Some(start) => assert!(line.len() > start.len() && line.starts_with(start), "{expected}: {line}"),
            None => assert_eq!(*line, expected, "{text}"),
        }
    }
}

#[test]
fn open_hosting_reads_as_much_as_is_asked_for_and_crosspeer_four_megabytes() {
    // Open Hosting API, "Read Binary Data from a Drive": no limit. Crosspeer API: "SIZE may not exceed 4MB".
    for (provider, status) in [(OpenHosting, 200), (Crosspeer, 400), (CloudSigma, 400)] {
        let mut site = Site::new(provider, "");
        let drive = site.drive(6 << 20);
        let reply = site.client.get(&format!("/drives/{drive}/read/0/5242880"));
        assert_eq!((reply.status, reply.body.len() == 5 << 20), (status, status == 200), "{provider}");
        assert_eq!(site.client.get(&format!("/drives/{drive}/read/1/4M")).body.len(), 4 << 20);
    }
}

#[test]
fn json_that_is_not_acceptable_is_not_answered() {
    let mut site = Site::new(OpenHosting, "");
    for (accept, kind) in [
        ("application/json;q=0", "text/plain"),
        ("application/json; q=0.1, text/plain", "text/plain"),
        ("application/json;q=0.9, text/plain;q=0.1", "application/json"),
    ] {
        let reply = site.client.reply(&Request::new("GET", "/drives/list").header("Accept", accept));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{accept}");
    }
}

#[test]
fn an_active_server_counts_bytes_and_packets() {
    // Open Hosting API and Crosspeer API, "Get Single Server Info": [rx|tx]:[bytes|packets]. The samples have
    // rx and tx.
    for provider in [OpenHosting, Crosspeer] {
        let mut site = Site::new(provider, "");
        let server = site.client.post("/servers/create", "name TestServer\ncpu 2000\nmem 1024\n");
        for key in ["rx", "tx", "rx:bytes", "tx:bytes", "rx:packets", "tx:packets"] {
            assert_eq!(server.value(key), "0", "{provider} {key}");
        }
    }
    // CloudSigma API 1.0, 8.2.
    let mut site = Site::new(CloudSigma, "");
    let server = site.client.post("/servers/create", "name Test server\ncpu 1000\nmem 1000\n");
    assert_eq!((server.value("rx"), server.get("rx:bytes")), ("0".into(), None));
}

#[test]
fn crosspeers_vnc_password_has_eight_characters() {
    // Crosspeer API: "Password for VNC access (maximum of 8 characters)".
    let server = "name TestServer\ncpu 2000\nmem 1024\npersistent true\n";
    let mut site = Site::new(Crosspeer, "");
    let refused = site.client.post("/servers/create", format!("{server}vnc:password 123456789\n"));
    assert_eq!((refused.status, refused.header("x-elastic-error")), (400, Some("usage")));
    assert!(refused.text().contains("vnc:password"), "{}", refused.text());
    let made = site.client.post("/servers/create", format!("{server}vnc:password 12345678\n"));
    let set = format!("/servers/{}/set", made.value("server"));
    assert_eq!(site.client.post(&set, "vnc:password 123456789\n").status, 400);
    assert_eq!(site.client.post(&set, "vnc:password KD9R3jcF\n").value("vnc:password"), "KD9R3jcF");
    let long = format!("{server}vnc:password 123456789\n");
    assert_eq!(Site::new(OpenHosting, "").client.post("/servers/create", long).status, 200);
}

#[test]
fn a_wrong_profile_is_answered_with_the_stored_one() {
    // CloudSigma API 1.0, 6.2.
    let mut site = Site::new(CloudSigma, "");
    site.client.post("/profile/set", "address here\npostcode 1000\n");
    let stored = "uuid *\nemail *\nsecret_key *\nfirst_name Foo\nerrors:first_name * This field is required.\nlast_name Bar\n\
                  nick_name FooBar\ntitle\ncompany\naddress here\npostcode 1000\nphone\n";
    expect(&site.client.post("/profile/set", "first_name\n"), 400, stored);
    // Other keys that were sent are not stored.
    expect(&site.client.post("/profile/set", "first_name\ntitle Dr\n"), 400, stored);
    let info = stored.replace("errors:first_name * This field is required.\n", "");
    expect(&site.client.get("/profile/info"), 200, &info);
}

#[test]
fn wrong_subscriptions_are_answered_as_in_the_examples() {
    let mut site = Site::new(CloudSigma, "");
    // CloudSigma API 1.0, 11.10.
    let order = "cpu 1000\nmem 1000\ndisk 100\nxfer 10\nstart_time 2010-03-22 00:12\nmonths 1\n";
    expect(
        &site.client.post("/subscriptions/resources/create", order),
        400,
        "cpu 1000\nerrors:cpu The minimum CPU subscription is 2000 core MHz\nmem 1000\n\
         errors:mem The minimum memory subscription is 1024 MB\ndisk 100\nxfer 10\nstart_time 2010-03-22 00:12\n\
         end_time 2010-04-22 00:12\n",
    );
    // CloudSigma API 1.0, 11.11: the months are missing too, and not reported.
    expect(
        &site.client.post("/subscriptions/network/ip/create", "quantity 1\n"),
        400,
        "quantity 1\nstart_time\nerrors:start_time This field is required.\nend_time\n",
    );
    // Its table requires them.
    expect(
        &site.client.post("/subscriptions/network/ip/create", "quantity 1\nstart_time 2010-03-23 00:00\n"),
        400,
        "quantity 1\nstart_time 2010-03-23 00:00\nend_time\nerrors:months This field is required.\n",
    );
}

#[test]
fn subscriptions_are_shown_as_in_the_examples() {
    let mut site = Site::new(CloudSigma, "");
    // CloudSigma API 1.0, 11.10.
    let order = "cpu 2000\nmem 2000\ndisk 100\nxfer 10\nstart_time 2010-04-12 00:00\nmonths 1\n";
    let made = site.client.post("/subscriptions/resources/create", order);
    let one = |kind: &str, label: &str, unit: &str, quantity: u32, seconds: &str| {
        format!(
            "type {kind}\nsubscription *\ntype_str {label}\nunit {unit}\nquantity {quantity}\n\
             start_time 2010-04-12 00:00{seconds}\nend_time 2010-05-12 00:00{seconds}\n"
        )
    };
    let all = |seconds: &str| {
        [
            one("cpu", "CPU", "core MHz", 2000, seconds),
            one("mem", "Memory", "MB", 2000, seconds),
            one("disk", "Disk", "GB", 100, seconds),
            one("xfer", "Committed data transfer", "GB per month", 10, seconds),
        ]
        .join("\n")
    };
    expect(&made, 200, &all(""));
    // 11.8: with seconds.
    expect(&site.client.get("/subscriptions/list"), 200, &all(":00"));

    // 11.11: one object for each address, with the quantity ordered.
    let mut site = Site::new(CloudSigma, "");
    let ip = "type ip\nresource *\ntype_str Static IP address admin\nunit IPs\nquantity 2\nstart_time 2010-03-23 00:00\n\
              end_time 2010-04-23 00:00\n";
    let order = "quantity 2\nstart_time 2010-03-23 00:00\nmonths 1\n";
    expect(&site.client.post("/subscriptions/network/ip/create", order), 200, &format!("{ip}\n{ip}"));
    // 11.13.
    let order = "quantity 1\nstart_time 2010-03-09 14:04\nmonths 1\n";
    let vlan = "type vlan\nresource *\ntype_str Private network VLAN\nunit VLANs\nquantity 1\nstart_time 2010-03-09 14:04\n\
                end_time 2010-04-09 14:04\n";
    expect(&site.client.post("/subscriptions/network/vlan/create", order), 200, vlan);
    // 11.15.
    let order =
        "msft_lwa_00135 1\nmsft_p73_04837 0\nmsft_tfa_00009 0\nstart_time 2010-03-21 12:21\nmonths 1\n";
    let echo = "msft_lwa_00135 1\nmsft_p73_04837 0\nmsft_tfa_00009 0\nstart_time 2010-03-21 12:21\nend_time 2010-04-21 12:21:00\n";
    expect(&site.client.post("/subscriptions/software/create", order), 200, echo);
}

#[test]
fn errors_of_drives_are_pairs() {
    // CloudSigma API 1.0, 7.4 and 7.5: "Error key/value pairs".
    let mut site = Site::new(CloudSigma, "");
    let missing = "/drives/62f512cd-82c7-498e-88d8-a09ac2ef20e7/clone";
    expect(&site.client.post(missing, "name copy\n"), 400, "name copy\nerrors:drive *\n");
    let drive = site.drive(4 << 20);
    let small = site.client.post(&format!("/drives/{drive}/clone"), "name copy\nsize 1000\n");
    expect(&small, 400, "name copy\nsize 1000\nerrors:size *\n");
    let server = format!("name Test server\ncpu 1000\nmem 1000\nide:0:0 {drive}\n");
    assert_eq!(site.client.post("/servers/create", server).status, 200);
    expect(&site.client.post(&format!("/drives/{drive}/destroy"), ""), 400, "errors:drive *\n");
    // Every other 400 is pairs too.
    expect(&site.client.get(&format!("/drives/{drive}/read/5M/1")), 400, "errors:usage *\n");
}

#[test]
fn an_active_server_of_cloudsigmas_takes_every_change() {
    // CloudSigma API 1.0, 8.8, has no restriction.
    let mut site = Site::new(CloudSigma, "");
    let server =
        site.client.post("/servers/create", "name Test server\ncpu 1000\nmem 1000\n").value("server");
    let set = site.client.post(&format!("/servers/{server}/set"), "mem 2048\nnic:0:model e1000\n");
    assert_eq!((set.status, set.value("mem"), set.value("status")), (200, "2048".into(), "active".into()));
    let mut site = Site::new(OpenHosting, "");
    let server = site.client.post("/servers/create", "name TestServer\ncpu 1000\nmem 1000\n").value("server");
    assert_eq!(site.client.post(&format!("/servers/{server}/set"), "mem 2048\n").status, 400);
}

#[test]
fn groups_are_answered_as_in_the_examples() {
    // CloudSigma API 1.0, 10.1, 10.2, 10.5 and 10.6.
    let mut site = Site::new(CloudSigma, "");
    let made = site.client.post("/servergroups/create", "name Database Servers\n");
    expect(&made, 200, "uuid *\nname Database Servers\n");
    let path = |verb: &str| format!("/servergroups/{}/{verb}", made.value("uuid"));
    expect(&site.client.get(&path("info")), 200, "uuid *\nname Database Servers\n");
    expect(&site.client.post(&path("set"), "name Web Servers\n"), 200, "name Web Servers\ndescription\n");
    let set = "name Database servers\ndescription all kind of database servers\n";
    expect(&site.client.post(&path("set"), set), 200, set);
    expect(&site.client.get(&path("info")), 200, &format!("uuid *\n{set}"));
}

#[test]
fn standard_drives_are_the_eight_of_the_manual() {
    // CloudSigma API 1.0, 7.8 and 7.9: the same lists.
    let eight = "a49e25b3-69f4-440b-87a8-d79fa78ace53\n5caa223b-0177-49d8-a287-39865a07e650\n\
                 b72f7b9a-69bb-47d1-b87e-de7be0924eea\n9b700743-2890-4d68-b109-66699ceb9491\n\
                 267a24ea-899f-48fb-b348-aab24fb246b3\n932ccf77-88ca-40f8-94c6-affe364a4caa\n\
                 de2adf14-61b4-430e-9cb6-6e612ee90d88\nc138e42c-2070-41fe-a354-7058870c79b0\n";
    let mut site = Site::new(CloudSigma, "");
    for list in ["cd/list", "img/list", "list"] {
        expect(&site.client.get(&format!("/drives/standard/{list}")), 200, eight);
    }
    let info = site.client.get("/drives/standard/info").objects();
    let disks: Vec<_> = info.iter().filter(|drive| drive.get("type") == Some("disk")).collect();
    assert_eq!(
        (info.len(), disks.len(), disks[0].get("drive")),
        (8, 4, Some("267a24ea-899f-48fb-b348-aab24fb246b3"))
    );
}
