//! Every row of the manuals' calls, by its identifier: it answers its documented success code and shape.

use super::Site;
use super::client::{Reply, Request};
use crate::emulator::Dialect::{self, CloudSigma, Crosspeer, OpenHosting};
use crate::emulator::properties::Properties;

/// What a row answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// 204 without a body.
    Done,
    /// One object that has these keys.
    Object(&'static [&'static str]),
    /// At least one object, each with these keys.
    Objects(&'static [&'static str]),
    /// At least one row of so many words.
    List(usize),
    /// Bytes.
    Bytes(usize),
}

use Shape::{Bytes, Done, List, Object, Objects};

/// A row: its identifier, the request, and what it answers. In paths and bodies `$NAME` stands for an object that is
/// made for the row: `$D` a drive, `$E` another, `$S` a stopped server, `$A` an active one, `$V` a VLAN, `$I` a static
/// IP address, `$G` a server group with `$S` in it, `$U` a subscription.
type Row = (&'static str, &'static str, &'static str, &'static str, Shape);

const DRIVE: &[&str] = &["drive", "name", "size", "status", "user", "read:bytes", "write:requests"];
const SERVER: &[&str] = &["server", "status", "user", "name", "cpu", "smp", "mem"];
const RESOURCE: &[&str] = &["type", "resource", "user"];
const NEW_SERVER: &str =
    "name new\ncpu 2000\nmem 1024\nide:0:0 $D\nboot ide:0:0\nnic:0:dhcp auto\nvnc:ip auto";

/// The rows of Open Hosting, those that its manual lost too; and of Crosspeer.
const FAMILY: &[Row] = &[
    ("drives.list", "GET", "/drives/list", "", List(1)),
    ("drives.info", "GET", "/drives/$D/info", "", Object(DRIVE)),
    ("drives.info_all", "GET", "/drives/info", "", Objects(DRIVE)),
    ("drives.create", "POST", "/drives/create", "name x\nsize 1M\navoid $D", Object(DRIVE)),
    ("drives.destroy", "POST", "/drives/$D/destroy", "", Done),
    ("drives.set", "POST", "/drives/$D/set", "name y\nsize 2M", Object(DRIVE)),
    ("drives.image", "POST", "/drives/$D/image/$E", "", Done),
    ("drives.read", "GET", "/drives/$D/read/1k/2k", "", Bytes(2048)),
    ("drives.write", "POST", "/drives/$D/write/1k", "bytes", Done),
    ("servers.list", "GET", "/servers/list", "", List(3)),
    ("servers.info", "GET", "/servers/$S/info", "", Object(SERVER)),
    ("servers.info_all", "GET", "/servers/info", "", Objects(SERVER)),
    ("servers.create", "POST", "/servers/create", NEW_SERVER, Object(&["started", "rx", "tx", "vnc:ip"])),
    ("servers.create_stopped", "POST", "/servers/create/stopped", NEW_SERVER, Object(SERVER)),
    ("servers.start", "POST", "/servers/$S/start", "", Done),
    ("servers.set", "POST", "/servers/$S/set", "name z\nsmp 2\nmem 512", Object(SERVER)),
    ("servers.stop", "POST", "/servers/$A/stop", "", Done),
    ("servers.destroy", "POST", "/servers/$A/destroy", "", Done),
    ("servers.shutdown", "POST", "/servers/$A/shutdown", "", Done),
    ("servers.reset", "POST", "/servers/$A/reset", "", Done),
    ("resources.list", "GET", "/resources/list", "", List(2)),
    ("resources.list of a type", "GET", "/resources/vlan/list", "", List(2)),
    ("resources.info", "GET", "/resources/ip/$I/info", "", Object(&["netmask", "gateway", "nameserver"])),
    ("resources.info_all", "GET", "/resources/info", "", Objects(RESOURCE)),
    ("resources.create", "POST", "/resources/vlan/create", "name v\ntags t\nuser:k v", Object(RESOURCE)),
    ("resources.set", "POST", "/resources/vlan/$V/set", "name w", Object(RESOURCE)),
    ("resources.destroy", "POST", "/resources/ip/$I/destroy", "", Done),
];

const PROFILE: &[&str] =
    &["uuid", "email", "secret_key", "first_name", "last_name", "nick_name", "title", "phone"];
const SUBSCRIPTION: &[&str] =
    &["type", "subscription", "type_str", "unit", "quantity", "start_time", "end_time"];
const AMOUNT: &[&str] = &["amount", "currency"];
const SEVERAL: &[&str] = &["server:0"];
const ORDER: &str = "quantity 2\nstart_time 2010-03-23 00:00\nmonths 1";
const SOFTWARE: &str =
    "msft_lwa_00135 1\nmsft_p73_04837 1\nmsft_tfa_00009 1\nstart_time 2010-03-22 00:00\nmonths 1";

const CLOUDSIGMA: &[Row] = &[
    ("profile.info", "GET", "/profile/info", "", Object(PROFILE)),
    ("profile.set", "POST", "/profile/set", "title Dr\nphone", Object(PROFILE)),
    ("drives.list", "GET", "/drives/list", "", List(1)),
    ("drives.create", "POST", "/drives/create", "name TEST_DRIVE\nsize 4194304", Object(DRIVE)),
    ("drives.write", "POST", "/drives/$D/write/1k", "bytes", Done),
    ("drives.read", "GET", "/drives/$D/read/1k/2k", "", Bytes(2048)),
    ("drives.clone", "POST", "/drives/$D/clone", "name copy", Object(DRIVE)),
    ("drives.destroy", "POST", "/drives/$D/destroy", "", Done),
    ("drives.info", "GET", "/drives/$D/info", "", Object(DRIVE)),
    ("drives.info_all", "GET", "/drives/info", "", Objects(DRIVE)),
    ("drives.standard_cd_list", "GET", "/drives/standard/cd/list", "", List(1)),
    ("drives.standard_img_list", "GET", "/drives/standard/img/list", "", List(1)),
    ("drives.standard_list", "GET", "/drives/standard/list", "", List(1)),
    ("servers.list", "GET", "/servers/list", "", List(1)),
    ("servers.list.guests", "GET", "/guests/list", "", List(1)),
    ("servers.create", "POST", "/servers/create", NEW_SERVER, Object(&["rx", "tx"])),
    ("servers.create.guests", "POST", "/guests/create", NEW_SERVER, Object(SERVER)),
    ("servers.clone", "POST", "/servers/$S/clone", "name copy", Object(SERVER)),
    ("servers.clone.guests", "POST", "/guests/$A/clone", "name copy", Object(SERVER)),
    ("servers.destroy", "GET", "/servers/$A/destroy", "", Done),
    ("servers.destroy.guests", "GET", "/guests/$A/destroy", "", Done),
    ("servers.destroy.post", "POST", "/servers/$A/destroy", "", Done),
    ("servers.destroy_multi", "POST", "/servers/destroy", "server:0 $A", List(1)),
    ("servers.destroy_multi.guests", "POST", "/guest/destroy", "server:0 $A", List(1)),
    ("servers.info", "GET", "/servers/$S/info", "", Object(SERVER)),
    ("servers.info.guests", "GET", "/guests/$S/info", "", Object(SERVER)),
    ("servers.info_all", "GET", "/servers/info", "", Objects(SERVER)),
    ("servers.info_all.guests", "GET", "/guests/info", "", Objects(SERVER)),
    ("servers.set", "POST", "/servers/$S/set", "name z\nmem 512", Object(SERVER)),
    ("servers.set.guests", "POST", "/guests/$S/set", "name z\nmem 512", Object(SERVER)),
    ("servers.stop", "GET", "/servers/$A/stop", "", Done),
    ("servers.stop.guests", "GET", "/guests/$A/stop", "", Done),
    ("servers.shutdown", "GET", "/servers/$A/shutdown", "", Done),
    ("servers.shutdown.guests", "GET", "/guests/$A/shutdown", "", Done),
    ("servers.start", "GET", "/servers/$S/start", "", Object(SERVER)),
    ("servers.start.guests", "GET", "/guests/$S/start", "", Object(SERVER)),
    ("servers.stop_multi", "POST", "/servers/stop", "server:0 $A", Object(SEVERAL)),
    ("servers.stop_multi.guests", "POST", "/guests/stop", "server:0 $A", Object(SEVERAL)),
    ("servers.start_multi", "POST", "/servers/start", "server:0 $S", Object(SEVERAL)),
    ("servers.start_multi.guests", "POST", "/guests/start", "server:0 $S", Object(SEVERAL)),
    ("resources.vlan.list", "GET", "/resources/vlan/list", "", List(2)),
    ("resources.vlan.info", "GET", "/resources/vlan/$V/info", "", Object(RESOURCE)),
    ("resources.vlan.create", "POST", "/resources/vlan/create", "name My VLAN1", Object(RESOURCE)),
    ("resources.vlan.set", "POST", "/resources/vlan/$V/set", "name My VLAN2", Object(RESOURCE)),
    ("resources.ip.info_all", "GET", "/resources/ip/info", "", Objects(&["resource", "netmask", "gateway"])),
    ("resources.ip.list", "GET", "/resources/ip/list", "", List(2)),
    (
        "resources.ip.create",
        "POST",
        "/resources/ip/create",
        "",
        Object(&["resource", "netmask", "nameserver"]),
    ),
    ("resources.ip.destroy", "GET", "/resources/ip/$I/destroy", "", Done),
    (
        "servergroups.create",
        "POST",
        "/servergroups/create",
        "name Database Servers",
        Object(&["uuid", "name"]),
    ),
    (
        "servergroups.set",
        "POST",
        "/servergroups/$G/set",
        "name Web Servers",
        Object(&["name", "description"]),
    ),
    ("servergroups.destroy", "POST", "/servergroups/$G/destroy", "", Object(&["uuid", "name"])),
    ("servergroups.list", "GET", "/servergroups/list", "", List(1)),
    ("servergroups.info", "GET", "/servergroups/$G/info", "", Object(&["uuid", "name"])),
    ("servergroups.name", "GET", "/servergroups/$G/info", "", Object(&["name"])),
    ("servergroups.add", "POST", "/servergroups/$G/add", "server:0 $A", List(1)),
    ("servergroups.remove", "POST", "/servergroups/$G/remove", "server:0 $A", List(1)),
    ("servergroups.start", "GET", "/servergroups/$G/start", "", List(1)),
    ("servergroups.stop", "GET", "/servergroups/$G/stop", "", List(1)),
    ("currencies.list", "GET", "/currencies/list", "", List(1)),
    (
        "usage.info",
        "GET",
        "/usage/info",
        "",
        Object(&["cpu", "mem:burst", "disk:sub", "tx:total", "xfer:sub"]),
    ),
    (
        "pricing.info",
        "GET",
        "/pricing/info",
        "",
        Object(&["start", "end", "cpu:sub", "ip", "msft_tfa_00009"]),
    ),
    (
        "transactions.list",
        "GET",
        "/transactions/list",
        "",
        Objects(&["date", "description", "value", "total"]),
    ),
    ("balance.info", "GET", "/balance/info", "", Object(&["balance", "currency"])),
    ("subscriptions.resources_info", "GET", "/subscriptions/resources/info", "", Object(&["cpu", "xfer"])),
    ("subscriptions.net_info", "GET", "/subscriptions/net/info", "", Object(&["ip", "vlan"])),
    ("subscriptions.list", "GET", "/subscriptions/list", "", Objects(SUBSCRIPTION)),
    (
        "subscriptions.create",
        "POST",
        "/subscriptions/resources/create",
        "cpu 2000\nmem 2000\ndisk 100\nxfer 10\nstart_time 2010-04-12 00:00\nmonths 1",
        Objects(SUBSCRIPTION),
    ),
    ("subscriptions.ip_create", "POST", "/subscriptions/network/ip/create", ORDER, Objects(&["resource"])),
    ("subscriptions.ip_calculate", "POST", "/subscriptions/network/ip/calculate", ORDER, Object(AMOUNT)),
    (
        "subscriptions.vlan_create",
        "POST",
        "/subscriptions/network/vlan/create",
        ORDER,
        Objects(&["resource"]),
    ),
    ("subscriptions.vlan_calculate", "POST", "/subscriptions/network/vlan/calculate", ORDER, Object(AMOUNT)),
    (
        "subscriptions.software_create",
        "POST",
        "/subscriptions/software/create",
        SOFTWARE,
        Object(&["end_time"]),
    ),
    (
        "subscriptions.software_calculate",
        "POST",
        "/subscriptions/software/calculate",
        SOFTWARE,
        Object(AMOUNT),
    ),
    ("subscriptions.extend", "POST", "/subscriptions/$U/set", "months 1", Object(SUBSCRIPTION)),
    ("subscriptions.extend_calculate", "POST", "/subscriptions/$U/set/calculate", "months 1", Object(AMOUNT)),
];

/// What no manual of CloudSigma's prints and clients use nevertheless.
const UNPRINTED: &[Row] = &[
    ("drives.standard_info", "GET", "/drives/standard/info", "", Objects(&["drive", "name", "size", "type"])),
    ("drives.set", "POST", "/drives/$D/set", "name y\nsize 2M", Object(DRIVE)),
    ("servers.reset", "POST", "/servers/$A/reset", "", Done),
    ("resources.vlan.info_all", "GET", "/resources/vlan/info", "", Objects(RESOURCE)),
    ("resources.vlan.destroy", "POST", "/resources/vlan/$V/destroy", "", Done),
    ("resources.list", "GET", "/resources/list", "", List(2)),
];

/// Makes the objects that a row names, and puts them in their places.
fn prepare(site: &mut Site, provider: Dialect) -> Vec<(&'static str, String)> {
    let mut objects = Vec::new();
    let mut make = |name: &'static str, key: &str, path: &str, body: &str| {
        let reply = site.client.post(path, body);
        assert_eq!(reply.status, 200, "{path} {body:?}: {}", reply.text());
        objects.push((name, reply.value(key)));
    };
    make("$D", "drive", "/drives/create", "name one\nsize 1M");
    make("$E", "drive", "/drives/create", "name two\nsize 1M");
    let stopped = if provider == CloudSigma { "/servers/create" } else { "/servers/create/stopped" };
    make("$S", "server", stopped, "name s\ncpu 500\nmem 256\npersistent true\nstatus stopped");
    make("$A", "server", "/servers/create", "name a\ncpu 500\nmem 256");
    make("$V", "resource", "/resources/vlan/create", "name v");
    make("$I", "resource", "/resources/ip/create", "");
    if provider == CloudSigma {
        make("$G", "uuid", "/servergroups/create", "name g");
        make(
            "$U",
            "subscription",
            "/subscriptions/resources/create",
            "cpu 2000\nstart_time 2010-01-01 00:00\nmonths 1",
        );
        let (group, server) = (objects[6].1.clone(), objects[2].1.clone());
        assert_eq!(
            site.client.post(&format!("/servergroups/{group}/add"), format!("server:0 {server}")).status,
            200
        );
    }
    objects
}

fn check(provider: Dialect, rows: &[Row], accept: Option<&str>) {
    let mut site = Site::new(provider, "");
    for (id, method, path, body, shape) in rows {
        let objects = prepare(&mut site, provider);
        let fill =
            |text: &str| objects.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id));
        let request = Request::new(method, &fill(path));
        let request = accept.into_iter().fold(request, |request, accept| request.header("Accept", accept));
        let reply = site.client.reply(&request.body(fill(body)));
        let context = format!("{provider} {id}: {} {}", reply.status, reply.text());
        assert_eq!(reply.status, if *shape == Done { 204 } else { 200 }, "{context}");
        assert_eq!(reply.header("x-elastic-error"), None, "{context}");
        check_shape(provider, &reply, *shape, accept.is_some(), &context);
    }
}

fn check_shape(provider: Dialect, reply: &Reply, shape: Shape, asked_json: bool, context: &str) {
    let family = provider != CloudSigma;
    let output = match shape {
        Done => return assert!(reply.body.is_empty(), "{context}"),
        Bytes(len) => {
            assert_eq!(reply.header("content-type"), Some("application/octet-stream"), "{context}");
            return assert_eq!(reply.body.len(), len, "{context}");
        }
        Object(_) => "properties",
        Objects(_) => "properties list",
        List(_) => "list",
    };
    let as_json = family && asked_json;
    let kind = if as_json { "application/json" } else { "text/plain" };
    assert_eq!(reply.header("content-type"), Some(kind), "{context}");
    assert_eq!(reply.header("x-elastic-output"), (family && !as_json).then_some(output), "{context}");
    let objects = if as_json {
        assert_eq!(reply.body[0], if output == "properties" { b'{' } else { b'[' }, "{context}");
        let value = reply.json();
        let objects = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        objects.iter().map(|object| Properties::from_json(&object.to_string()).unwrap()).collect()
    } else if let List(words) = shape {
        assert!(reply.lines().iter().all(|line| line.split(' ').count() == words), "{context}");
        assert!(!reply.lines().is_empty(), "{context}");
        return;
    } else {
        reply.text().split("\n\n").map(|block| Properties::from_text(block).unwrap()).collect::<Vec<_>>()
    };
    assert!(!objects.is_empty(), "{context}");
    let keys = match shape {
        Object(keys) | Objects(keys) => keys,
        List(words) => {
            return assert!(objects.iter().all(|object| object.iter().count() == words), "{context}");
        }
        Done | Bytes(_) => return,
    };
    assert!(!matches!(shape, Object(_)) || objects.len() == 1, "{context}");
    for key in keys {
        assert!(objects.iter().all(|object| object.contains(key)), "no {key} in {context}");
    }
}

#[test]
fn every_row_of_open_hosting() {
    check(OpenHosting, FAMILY, None);
    check(OpenHosting, FAMILY, Some("application/json"));
}

#[test]
fn every_row_of_crosspeer() {
    check(Crosspeer, FAMILY, None);
    check(Crosspeer, FAMILY, Some("application/json"));
}

#[test]
fn every_row_of_cloudsigma() {
    assert_eq!(CLOUDSIGMA.len(), 75);
    check(CloudSigma, CLOUDSIGMA, None);
    check(CloudSigma, UNPRINTED, None);
    // Whatever is asked for, it is text.
    check(CloudSigma, CLOUDSIGMA, Some("application/json"));
}

#[test]
fn every_action_is_a_post_and_cloudsigma_takes_both() {
    for (provider, rows) in [(OpenHosting, FAMILY), (Crosspeer, FAMILY), (CloudSigma, CLOUDSIGMA)] {
        let mut site = Site::new(provider, "");
        for (id, method, path, ..) in rows {
            let other = if *method == "GET" { "POST" } else { "GET" };
            let refused =
                site.client.reply(&Request::new(other, &path.replace('$', "")).body("")).status == 405;
            assert_eq!(refused, provider != CloudSigma && other == "GET", "{provider} {id}");
        }
    }
}
