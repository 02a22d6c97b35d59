//! Instrumentations over the wire: making, cloning, values, heatmaps.

use super::World;
use super::client::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const PATH: &str = "/my/analytics/instrumentations";

/// Makes an instrumentation of file system operations; its path.
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
    let made = world.send(&Request::new("POST", PATH).body("application/json", &sent.to_string()));
    assert_eq!(made.header("location"), Some("http://api.example.com/demo/analytics/instrumentations/1"));
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
    let world = World::new("");
    let value = |decomposition: &str| {
        let path = instrumented(&world, decomposition);
        world.get(&format!("{path}/value/raw?start_time=1308863061&duration=2")).json()
    };
    let scalar = value("");
    assert_eq!(scalar["requested_start_time"], 1_308_863_061);
    assert_eq!(scalar["requested_end_time"], 1_308_863_063);
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
    let world = World::new("");
    let path = instrumented(&world, "execname,latency");
    let pixels = |query: &str| {
        let query = format!("start_time=1308863061&width=120&height=50&{query}");
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
    let world = World::new("");
    let path = instrumented(&world, "execname,latency");
    let span = "start_time=1308863061&duration=1";
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
        assert_eq!(json["bucket_time"], 1_308_863_061);
        let (low, high) = (json["bucket_ymin"].as_u64().unwrap(), json["bucket_ymax"].as_u64().unwrap());
        assert_eq!(low, below.map_or(0, |below: u64| below + 1), "from the bottom upwards without a gap");
        below = Some(high);
        total += present;
    }
    assert_eq!(total, expected);
    assert_eq!(details("x=1").code(), "MissingParameter");
    assert_eq!(details("x=600&y=1").code(), "InvalidArgument");
}
