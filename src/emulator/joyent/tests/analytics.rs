//! Instrumentations over the wire: creating, cloning, values, heatmaps.

use super::World;
use super::client::request;
use crate::emulator::clock::{SECOND, now};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const PATH: &str = "/my/analytics/instrumentations";

/// Returns a second whose data is still kept.
fn recent() -> u64 {
    now() / SECOND - 100
}

/// Creates an instrumentation of file system operations, and returns its path.
fn instrumented(world: &World, decomposition: &str) -> String {
    let made = world.post(PATH, &format!("module=fs&stat=logical_ops&decomposition={decomposition}"));
    assert_eq!(made.status, 201, "{}", made.text());
    format!("{PATH}/{}", made.json()["id"].as_str().unwrap())
}

#[test]
fn instrumentations_are_made_and_cloned() {
    let world = World::new("");
    let sent = json!({
        "module": "fs",
        "stat": "logical_ops",
        "predicate": "{\"eq\": [\"optype\", \"read\"]}",
        "decomposition": ["execname", "latency"],
        "granularity": 5,
        "retention-time": "1200",
        "persist-data": true,
    });
    let made =
        world.send(&request("POST", PATH).header("Content-Type", "application/json").body(sent.to_string()));
    assert_eq!(made.header("location"), Some("http://api.example.com/my/analytics/instrumentations/1"));
    let first = made.json();
    for (key, expected) in [
        ("predicate", json!({"eq": ["optype", "read"]})),
        ("decomposition", json!(["execname", "latency"])),
        ("value-dimension", json!(3)),
        ("value-arity", json!("numeric-decomposition")),
        ("value-scope", json!("interval")),
        ("granularity", json!(5)),
        ("retention-time", json!(1200)),
        ("idle-max", json!(3600)),
        ("persist-data", json!(true)),
        ("id", json!("1")),
    ] {
        assert_eq!(first[key], expected, "{key}");
    }
    assert_eq!(first["uris"][0]["uri"], "/demo/analytics/instrumentations/1/value/raw");
    let mut clone = world.post(PATH, "clone=1").json();
    assert_eq!(clone["id"], "2");
    for key in ["id", "crtime", "uris"] {
        clone[key] = first[key].clone();
    }
    assert_eq!(clone, first);
    assert_eq!(world.delete(&format!("{PATH}/2")).status, 204);
    assert_eq!(world.post(PATH, "clone=1").json()["id"], "3", "numbers are not used again");
    assert_eq!(world.post(PATH, "clone=2").status, 404);
    for (form, code) in [
        ("stat=logical_ops", "MissingParameter"),
        ("module=fs", "MissingParameter"),
        ("module=fs&stat=none", "InvalidArgument"),
        ("module=fs&stat=logical_ops&decomposition=raddr", "InvalidArgument"),
        ("module=fs&stat=logical_ops&predicate={", "InvalidArgument"),
        ("module=fs&stat=logical_ops&granularity=0", "InvalidArgument"),
    ] {
        let reply = world.post(PATH, form);
        assert_eq!((reply.status, &*reply.code()), (409, code), "{form}");
    }
}

#[test]
fn values_have_the_shape_of_their_decomposition() {
    let (world, start) = (World::new(""), recent());
    let value = |decomposition: &str| {
        let path = instrumented(&world, decomposition);
        world.get(&format!("{path}/value/raw?start_time={start}&duration=2")).json()
    };
    let scalar = value("");
    assert_eq!(scalar["requested_start_time"], start);
    assert_eq!(scalar["requested_end_time"], start + 2);
    let total = scalar["value"].as_u64().unwrap();
    let count = |value: &Value| value.as_u64().unwrap();
    let discrete: u64 = value("execname")["value"].as_object().unwrap().values().map(count).sum();
    let numeric = value("latency")["value"].clone();
    for bucket in numeric.as_array().unwrap() {
        assert!(bucket[0][0].as_u64().unwrap() <= bucket[0][1].as_u64().unwrap(), "{bucket}");
    }
    let numeric: u64 = numeric.as_array().unwrap().iter().map(|bucket| count(&bucket[1])).sum();
    let both = value("execname,latency")["value"].clone();
    let both: u64 = both
        .as_object()
        .unwrap()
        .values()
        .flat_map(|buckets| buckets.as_array().unwrap())
        .map(|bucket| count(&bucket[1]))
        .sum();
    assert_eq!((discrete, numeric, both), (total, total, total));
}

#[test]
fn heatmaps_are_pictures_of_the_size_asked_for() {
    let (world, start) = (World::new(""), recent());
    let path = instrumented(&world, "execname,latency");
    let pixels = |query: &str| {
        let query = format!("start_time={start}&width=120&height=50&{query}");
        let reply = world.get(&format!("{path}/value/heatmap/image?{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let image = STANDARD.decode(reply.json()["image"].as_str().unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (120, 50, png::ColorType::Rgb));
        pixels
    };
    let drawn = |pixels: &[u8]| pixels.chunks(3).filter(|pixel| *pixel != [255, 255, 255]).count();
    let all = pixels("");
    assert!(drawn(&all) > 0);
    let (only, without) = (pixels("selected=ls&isolate=true"), pixels("selected=ls&exclude=true"));
    assert!(drawn(&only) < drawn(&all) && drawn(&without) < drawn(&all));
    let green = pixels("selected=[%22ls%22]&isolate=true&hues=120");
    assert!(green.chunks(3).all(|pixel| pixel[1] == 255), "only white and green");
    assert_ne!(pixels("decompose_all=true"), all);
    assert_eq!(drawn(&pixels("ymin=500000000")), 0, "nothing is so slow");

    for query in
        ["width=0", "height=9999", "nbuckets=0", "ymin=5&ymax=5", "hues=red", "isolate=perhaps", "duration=0"]
    {
        let reply = world.get(&format!("{path}/value/heatmap/image?{query}"));
        assert_eq!((reply.status, &*reply.code()), (409, "InvalidArgument"), "{query}");
    }
    assert_eq!(world.get(&format!("{path}/heatmap/image")).status, 200, "as the manual's sample asks for it");
    let flat = instrumented(&world, "execname");
    assert_eq!(world.get(&format!("{flat}/value/heatmap/image")).code(), "InvalidArgument");
}

#[test]
fn the_details_of_all_buckets_are_the_raw_value() {
    let (world, start) = (World::new(""), recent());
    let path = instrumented(&world, "execname,latency");
    let span = format!("start_time={start}&duration=1");
    let raw = world.get(&format!("{path}/value/raw?{span}")).json()["value"].clone();
    let expected: u64 = raw
        .as_object()
        .unwrap()
        .values()
        .flat_map(|buckets| buckets.as_array().unwrap())
        .map(|bucket| bucket[1].as_u64().unwrap())
        .sum();
    let details = |query: &str| world.get(&format!("{path}/value/heatmap/details?{span}&{query}"));
    let (mut total, mut below) = (0, None);
    for y in (0..4).rev() {
        let json = details(&format!("width=1&height=4&nbuckets=4&x=0&y={y}")).json();
        let present: u64 = json["present"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(json["total"], present);
        assert_eq!(json["bucket_time"], start);
        let (low, high) = (json["bucket_ymin"].as_u64().unwrap(), json["bucket_ymax"].as_u64().unwrap());
        assert_eq!(low, below.map_or(0, |below: u64| below + 1), "from the bottom upwards without a gap");
        below = Some(high);
        total += present;
    }
    assert_eq!(total, expected);
    assert_eq!(details("x=1").code(), "MissingParameter");
    assert_eq!(details("x=600&y=1").code(), "InvalidArgument");
}

#[test]
fn transformations_come_with_the_second_answer() {
    // Joyent CloudAPI 6.5, "Transformations".
    let (world, start) = (World::new(""), recent());
    let made = world.post(PATH, "module=tcp&stat=connections&decomposition=raddr");
    let path =
        format!("{PATH}/{}/value/raw?start_time={start}&duration=60", made.json()["id"].as_str().unwrap());
    let ask = |names: &str| world.get(&format!("{path}&transformations={names}")).json();
    assert_eq!(world.get(&path).json()["transformations"], json!({}));
    assert_eq!(ask("reversedns")["transformations"], json!({"reversedns": {}}));
    let second = ask("reversedns");
    assert_eq!(second["transformations"]["reversedns"]["8.12.47.107"], json!(["joyent.com"]));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&second["transformations"]["reversedns"]), keys(&second["value"]));
    ask("geolocate");
    assert_eq!(ask("reversedns,geolocate")["transformations"]["geolocate"]["8.12.47.107"]["country"], "US");
    let unknown = world.get(&format!("{path}&transformations=rot13"));
    assert_eq!((unknown.status, &*unknown.code()), (409, "InvalidArgument"));
    // Another field is not transformed.
    let flat = instrumented(&world, "execname");
    for _ in 0..2 {
        let value = world.get(&format!("{flat}/value/raw?transformations=reversedns")).json();
        assert_eq!(value["transformations"], json!({"reversedns": {}}));
    }
}

#[test]
fn data_is_kept_for_its_retention_time() {
    // Joyent CloudAPI 6.5, "Data granularity and data retention".
    let world = World::new("");
    let path = instrumented(&world, "");
    let count = |path: &str, ago: u64| {
        let start = now() / SECOND - ago;
        world.get(&format!("{path}/value/raw?start_time={start}&duration=1")).json()["value"]
            .as_u64()
            .unwrap()
    };
    assert!(count(&path, 500) > 0);
    assert_eq!(count(&path, 700), 0, "600 seconds are kept");
    let made = world.post(PATH, "module=fs&stat=logical_ops&retention-time=1200");
    assert!(count(&format!("{PATH}/{}", made.json()["id"].as_str().unwrap()), 700) > 0);
}

#[test]
fn an_instrumentation_that_nobody_asks_for_is_deleted() {
    // Joyent CloudAPI 6.5, "`CreateInstrumentation`", idle-max.
    let world = World::new("");
    let idle = world.post(PATH, "module=fs&stat=logical_ops&idle-max=60").json()["id"].clone();
    let kept = instrumented(&world, "");
    // An hour and a half passes for the first, and half an hour for the other.
    let later = |seconds: u64| now() - seconds * SECOND;
    world.edit(|account| {
        account.instrumentation(idle.as_str().unwrap()).unwrap().set_accessed(later(5400));
        account.instrumentation(kept.rsplit('/').next().unwrap()).unwrap().set_accessed(later(1800));
    });
    assert_eq!(world.get(&format!("{PATH}/{}", idle.as_str().unwrap())).status, 404);
    let got = world.get(&kept);
    assert_eq!(
        (got.status, got.header("location")),
        (200, Some(&*kept)),
        "with a Location, as in its sample"
    );
    assert_eq!(world.get(PATH).json().as_array().unwrap().len(), 1);
}
