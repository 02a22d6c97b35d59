//! The tables against the checklist of the manuals, and the requests that are made from them.

use super::*;
use crate::wire::elastic::{Properties, text};
use Provider::{CloudSigma, Crosspeer, OpenHosting};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;

const CHECKLIST: &str = include_str!("../../../testdata/calls.tsv");
const D: &str = "08c92dd5-70a0-4f51-83d2-835919d254df";

fn documented(provider: Provider) -> impl Iterator<Item = &'static Call> {
    calls(provider).iter().filter(|call| !call.undocumented)
}

/// The request for the words of a command line.
fn request(provider: Provider, id: &str, words: &[&str]) -> Result<Request> {
    Call::find(provider, id)?.request(&Arguments::from_words(words)?)
}

fn sent(request: &Request) -> Properties {
    let objects = text::parse_bytes(request.body.as_deref().unwrap_or_default());
    objects.into_iter().next().unwrap_or_default()
}

/// An argument for each placeholder of a path.
fn path_arguments(call: &Call, optional: bool) -> Vec<String> {
    placeholders(call.path)
        .into_iter()
        .filter(|(_, required)| *required || optional)
        .map(|(name, _)| match argument_kind(name) {
            ValueKind::Uuid => D.into(),
            ValueKind::Size => "4M".into(),
            ValueKind::Address => "91.203.56.71".into(),
            ValueKind::OneOf(words) => words[0].into(),
            _ => "ip".into(),
        })
        .collect()
}

/// A name and a value that fit a key.
fn example(key: &Key) -> (String, String) {
    let name = key.name.split(':').map(|piece| match piece.chars().next() {
        Some('*') => "x",
        Some(c) if c.is_ascii_uppercase() => "0",
        _ => piece,
    });
    let value = match key.kind {
        ValueKind::Size => "10G".into(),
        ValueKind::Integer | ValueKind::IntegerOr(_) => "2000".into(),
        ValueKind::Boolean => "true".into(),
        ValueKind::OneOf(words) | ValueKind::Usually(words) => words[0].into(),
        ValueKind::Uuid => D.into(),
        ValueKind::Uuids => format!("{D} {D}"),
        ValueKind::Address | ValueKind::AddressOrAuto => "91.203.56.71".into(),
        ValueKind::Date => "2010-03-20 13:20".into(),
        ValueKind::Text | ValueKind::List | ValueKind::Password(_) => "abc".into(),
    };
    (name.collect::<Vec<_>>().join(":"), value)
}

/// What every input of a call may be: all keys, or only the required ones.
fn arguments(call: &Call, all: bool) -> Arguments {
    let keys = call.input.keys().filter(|(_, required)| *required || all).map(|(key, _)| example(key));
    let mut keys: Properties = keys.collect();
    if matches!(call.input, Input::Changes(_)) && keys.is_empty() {
        keys = call.input.keys().take(1).map(|(key, _)| example(key)).collect();
    }
    let body = (call.input == Input::Binary).then(|| Bytes::from_static(b"bytes"));
    Arguments { path: path_arguments(call, all), keys, body, ..Arguments::default() }
}

#[test]
fn the_tables_are_the_checklist() {
    let mut lines = CHECKLIST.lines();
    assert_eq!(lines.next(), Some("provider\tcall\tmethod\tpath"));
    let checklist: BTreeSet<&str> = lines.collect();
    let tables: BTreeSet<String> = all()
        .filter(|call| !call.undocumented)
        .map(|call| format!("{}\t{}\t{}\t{}", call.provider, call.id, call.method, call.path))
        .collect();
    assert_eq!(tables.iter().map(String::as_str).collect::<BTreeSet<_>>(), checklist);
    // Nothing is counted twice.
    let counts = [OpenHosting, Crosspeer, CloudSigma].map(|p| documented(p).count());
    assert_eq!(counts, [23, 26, 75]);
}

#[test]
fn what_the_manuals_lost_is_there_and_marked() {
    let undocumented = |provider| -> Vec<&str> {
        calls(provider).iter().filter(|call| call.undocumented).map(|call| call.id).collect()
    };
    assert_eq!(undocumented(OpenHosting), ["drives.destroy", "drives.set", "resources.set"]);
    assert_eq!(undocumented(Crosspeer), [""; 0]);
    assert_eq!(
        undocumented(CloudSigma),
        [
            "drives.standard_info",
            "drives.set",
            "servers.reset",
            "resources.vlan.info_all",
            "resources.vlan.destroy"
        ]
    );
}

#[test]
fn every_row_is_whole() {
    for call in all() {
        let at = format!("{} {}", call.provider, call.id);
        assert_eq!(calls(call.provider).iter().filter(|other| other.id == call.id).count(), 1, "{at}");
        assert_eq!(call.undocumented, call.section.is_empty(), "{at}");
        assert!(call.path.starts_with('/') && !call.path.ends_with('/'), "{at}");
        assert!(!call.output.0.is_empty() && !call.success.is_empty(), "{at}");
        assert_eq!(call.success.contains(&204), call.output.0.contains(&Shape::None), "{at}");
        if let Some(original) = call.alias_of {
            let original = Call::find(call.provider, original).unwrap();
            assert_eq!((original.input, original.output), (call.input, call.output), "{at}");
        }
        // A key is meant by one name only, and its own form is one of its names.
        for (key, _) in call.input.keys() {
            let (name, _) = example(key);
            let meant: Vec<&str> =
                call.input.keys().filter(|(k, _)| k.matches(&name)).map(|(k, _)| k.name).collect();
            assert_eq!(meant, [key.name], "{at} {name}");
            assert_ne!(Some(key.name), key.alias, "{at}");
        }
    }
}

#[test]
fn every_call_makes_its_documented_request() {
    for call in all() {
        let at = format!("{} {}", call.provider, call.id);
        for optional in [false, true] {
            let request = call.request(&arguments(call, optional)).unwrap();
            assert_eq!(request.method, call.sends, "{at}");
            assert!(!request.path.contains(['{', '}', '[', ']']), "{at}: {}", request.path);
            let pieces = |path: &str| path.split('/').count();
            let whole = call.path.replace(['[', ']'], "");
            assert!(!optional || pieces(&request.path) == pieces(&whole), "{at}: {}", request.path);
            assert_eq!(request.warnings, [], "{at}");
            assert_eq!(request.body.is_some(), request.method == Method::Post, "{at}");
            let properties = matches!(call.input, Input::Properties(_) | Input::Changes(_));
            assert_eq!(request.content_type == Some("text/plain"), properties, "{at}");
            if properties && optional {
                assert_eq!(sent(&request).len(), call.input.keys().count(), "{at}");
            }
            assert!(call.success.iter().all(|status| request.succeeded(*status)), "{at}");
        }
        let printed = Arguments { as_printed: true, ..arguments(call, true) };
        let printed = call.request(&printed).unwrap();
        assert_eq!(printed.method, call.method, "{at}");
        assert_eq!(printed.body.is_some(), call.method == Method::Post, "{at}");
    }
}

#[test]
fn every_required_key_is_asked_for_by_name() {
    let mut asked = 0;
    for call in all() {
        for (key, _) in call.input.keys().filter(|(_, required)| *required) {
            for empty in [false, true] {
                let mut given = arguments(call, true);
                let (name, _) = example(key);
                given.keys.remove(&name);
                if empty {
                    given.keys.set(name, "");
                }
                let error = call.request(&given).unwrap_err();
                assert_eq!(error.kind().exit_code(), 2);
                assert_eq!(error.to_string(), format!("{} needs the key {}", call.id, key.form()));
            }
            asked += 1;
        }
        if let Some(missing) = path_arguments(call, false).len().checked_sub(1) {
            let given =
                Arguments { path: path_arguments(call, false)[..missing].into(), ..arguments(call, true) };
            let error = call.request(&given).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{} needs {}", call.id, placeholders(call.path)[missing].0)
            );
        }
        if matches!(call.input, Input::Changes(_)) {
            let nothing = Arguments { keys: Properties::new(), ..arguments(call, true) };
            let error = call.request(&nothing).unwrap_err();
            assert!(error.to_string().contains("at least one KEY=VALUE"), "{error}");
        }
    }
    assert!(asked > 40, "{asked}");
}

#[test]
fn what_may_be_repeated_is_what_the_second_time_is_the_same() {
    for call in all() {
        let verb = call.id.split('.').find(|word| {
            [
                "create",
                "create_stopped",
                "clone",
                "image",
                "reset",
                "extend",
                "ip_create",
                "vlan_create",
                "software_create",
            ]
            .contains(word)
        });
        let address = call.path.ends_with("/{RESOURCE}/destroy") || call.path.ends_with("/{IP}/destroy");
        let never = verb.is_some() || address || call.id.starts_with("servers.destroy_multi");
        assert_eq!(call.repeat.is_allowed(), !never, "{} {}", call.provider, call.id);
    }
}

#[test]
fn a_size_is_sent_as_plain_bytes() {
    let create =
        request(OpenHosting, "drives.create", &["name=Test", "size=10G", "user:diskferry=x"]).unwrap();
    assert_eq!(create.body.as_deref(), Some(&b"name Test\nsize 10737418240\nuser:diskferry x\n"[..]));
    assert_eq!((create.method, &*create.path), (Method::Post, "/drives/create"));
    let error = request(OpenHosting, "drives.create", &["name=Test", "size=10GB"]).unwrap_err();
    assert_eq!(error.to_string(), "size is bytes, or with k, M, G or T, not \"10GB\"");
    assert_eq!(error.kind().exit_code(), 2);
}

#[test]
fn an_unknown_key_is_sent_with_a_warning() {
    let create =
        request(OpenHosting, "drives.create", &["name=a", "size=1", "tier=ssd", "claimtype=shared"]).unwrap();
    assert_eq!(sent(&create).get("tier"), Some("ssd"));
    let warnings: Vec<String> = create.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "the key \"tier\" is not documented for this call",
            "the key \"claimtype\" is not documented for this call; did you mean \"claim:type\"?"
        ]
    );
    let nearest = |call: &str, key: &str| {
        let words = ["name=a", "cpu=1", "mem=1", &format!("{key}=x")];
        match &request(Crosspeer, call, &words).unwrap().warnings[..] {
            [Warning::UnknownKey { nearest, .. }] => nearest.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(nearest("servers.create", "usr:a").as_deref(), Some("user:a"));
    assert_eq!(nearest("servers.create", "nic:0:modle").as_deref(), Some("nic:0:model"));
    assert_eq!(nearest("servers.create", "ide:2:0").as_deref(), Some("ide:B[0-1]:U[0-1]"));
    assert_eq!(nearest("servers.create", "colour"), None);
}

#[test]
fn a_key_by_its_other_name_is_sent_by_its_own() {
    let words = ["name=a", "cpu=1", "mem=1"];
    for (provider, given, own) in [(OpenHosting, "vnc", "vnc:ip"), (Crosspeer, "vnc:ip", "vnc")] {
        let word = format!("{given}=auto");
        let create = request(provider, "servers.create", &[&words[..], &[word.as_str()]].concat()).unwrap();
        assert_eq!(sent(&create).get(own), Some("auto"));
        assert_eq!(create.warnings, [Warning::Renamed { key: given.into(), sent: own.into() }]);
    }
    let words = ["quantity=1", "start_date=2010-03-20 13:20", "months=1"];
    let create = request(CloudSigma, "subscriptions.ip_create", &words).unwrap();
    assert_eq!(sent(&create).get("start_time"), Some("2010-03-20 13:20"));
    let both = request(OpenHosting, "resources.create", &["ip", "tag=a", "tags=b"]);
    assert!(both.unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_key_must_be_one_word_and_stand_once() {
    for word in ["a b=1", "a\nb=1", "=1", "a\t=1"] {
        let error = request(OpenHosting, "drives.create", &["name=a", "size=1", word]).unwrap_err();
        assert!(error.to_string().contains("cannot be a key"), "{error}");
        assert_eq!(error.kind().exit_code(), 2);
    }
    assert!(request(OpenHosting, "drives.create", &["name=a", "size=1", "name=b"]).is_err());
}

#[test]
fn calls_without_input_take_none() {
    let destroy = request(OpenHosting, "drives.destroy", &[D]).unwrap();
    assert_eq!((destroy.body.as_deref(), destroy.content_type), (Some(&b""[..]), None));
    assert!(request(OpenHosting, "drives.list", &[]).unwrap().body.is_none());
    assert!(request(OpenHosting, "drives.list", &["a=b"]).is_err());
    let body = Some(Bytes::from_static(b"x"));
    let given = Arguments { body, ..Arguments::default() };
    assert!(Call::find(OpenHosting, "drives.list").unwrap().request(&given).is_err());
}

#[test]
fn bytes_are_asked_for_and_sent_as_they_are() {
    let write = Call::find(OpenHosting, "drives.write").unwrap();
    let path = vec![D.to_owned(), "4M".to_owned()];
    let none = Arguments { path: path.clone(), ..Arguments::default() };
    assert!(write.request(&none).unwrap_err().what_next().is_some_and(|h| h.contains("-f")));
    let given = Arguments { path, body: Some(Bytes::from_static(b"\0\xff")), ..Arguments::default() };
    let request = write.request(&given).unwrap();
    assert_eq!(request.path, format!("/drives/{D}/write/4194304"));
    assert_eq!(request.body.as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(request.content_type, Some("application/octet-stream"));
    let keys = Arguments { keys: Properties::new().with("a", "b"), ..given };
    assert!(write.request(&keys).is_err());
}

#[test]
fn properties_may_come_as_a_body_and_keys_win() {
    let create = Call::find(Crosspeer, "drives.create").unwrap();
    let keys = Properties::new().with("name", "b");
    for body in ["name a\r\nsize 1k", "{\"name\": \"a\", \"size\": \"1k\"}"] {
        let given = Arguments { body: Some(body.into()), keys: keys.clone(), ..Arguments::default() };
        assert_eq!(create.request(&given).unwrap().body.as_deref(), Some(&b"name b\nsize 1024\n"[..]));
    }
    for body in ["name a\nsize 1\n\nname b\nsize 2", "{\"name\"", "{\"a b\": 1, \"name\": 1, \"size\": 1}"] {
        let given = Arguments { body: Some(body.into()), ..Arguments::default() };
        assert_eq!(create.request(&given).unwrap_err().kind().exit_code(), 2, "{body}");
    }
}

#[test]
fn a_value_that_text_cannot_write_goes_as_json() {
    let words = ["name=a\\nb", "size=1"];
    let json = request(OpenHosting, "drives.create", &words).unwrap();
    assert_eq!(json.content_type, Some("application/json"));
    assert_eq!(json.body.as_deref(), Some(&br#"{"name":"a\\nb","size":1}"#[..]));
    let text = request(CloudSigma, "drives.create", &words).unwrap();
    assert_eq!(text.content_type, Some("text/plain"));
    assert_eq!(text.warnings, [Warning::NotKept { key: "name".into() }]);
}

#[test]
fn json_is_asked_for_where_it_is_spoken() {
    let accept = |provider, id, json| {
        let call = Call::find(provider, id).unwrap();
        call.request(&Arguments { json, ..arguments(call, true) }).unwrap().accept
    };
    assert_eq!(accept(OpenHosting, "drives.list", true), "application/json");
    assert_eq!(accept(OpenHosting, "drives.list", false), "text/plain");
    assert_eq!(accept(Crosspeer, "drives.read", true), "*/*");
    assert_eq!(accept(CloudSigma, "drives.list", true), "text/plain");
}

#[test]
fn neighbouring_codes_of_success_are_taken() {
    let start = request(CloudSigma, "servers.start", &[D]).unwrap();
    assert!([200, 202, 204].iter().all(|status| start.succeeded(*status)));
    assert!(![100, 203, 206, 301, 400].iter().any(|status| start.succeeded(*status)));
    let read = request(CloudSigma, "drives.read", &[D, "0", "1"]).unwrap();
    assert!(read.succeeded(200) && !read.succeeded(204));
}

#[test]
fn a_mistyped_call_is_told_its_nearest() {
    let hint = |provider, id: &str| {
        let error = Call::find(provider, id).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains(id));
        error.what_next().unwrap_or_default().to_owned()
    };
    assert_eq!(hint(OpenHosting, "drive.create"), "did you mean drives.create?");
    assert_eq!(hint(OpenHosting, "servers.sotp"), "did you mean servers.stop?");
    assert_eq!(hint(OpenHosting, "transactions.list"), "it is a call of cloudsigma");
    assert_eq!(hint(OpenHosting, "nothing"), "diskferry calls openhosting lists its calls");
    assert!(Call::find(Provider::Joyent, "nothing").is_err());
}

#[test]
fn a_password_is_in_the_body_and_nowhere_else() {
    let words = ["name=a", "cpu=1", "mem=1", "vnc:password=correcthorse"];
    let create = request(OpenHosting, "servers.create", &words).unwrap();
    assert_eq!(sent(&create).get("vnc:password"), Some("correcthorse"));
    assert_eq!(create.warnings.len(), 1);
    let given = Arguments::from_words(words).unwrap();
    assert!(!format!("{create:?} {given:?} {}", create.warnings[0]).contains("correcthorse"));
}

#[test]
fn the_catalogue_as_json_has_its_fields() {
    let row = |provider, id| serde_json::to_value(Call::find(provider, id).unwrap().row()).unwrap();
    let destroy = row(CloudSigma, "servers.destroy");
    assert_eq!((&destroy["method"], &destroy["sends"]), (&"GET".into(), &"POST".into()));
    assert_eq!((&destroy["input"], &destroy["output"]), (&"-".into(), &"none".into()));
    let create = row(Crosspeer, "drives.create");
    assert_eq!(create["provider"], "crosspeer");
    assert_eq!(create["call"], "drives.create");
    assert_eq!(create["path"], "/drives/create");
    assert_eq!(
        create["input"],
        "name,size,[claim:type],[readers],[tags],[user:*],[avoid],[encryption:cipher]"
    );
    assert_eq!(create["documentation"], "Crosspeer API, \"Create a drive\"");
    assert_eq!(create["keys"][1]["required"], true);
    assert_eq!(row(Crosspeer, "drives.set")["input"], "[name],[size],[claim:type],[readers],[tags],[user:*]");
    assert_eq!(row(CloudSigma, "servers.start")["output"], "properties | none");
    assert_eq!(row(OpenHosting, "drives.write")["input"], "binary");
    assert_eq!(row(OpenHosting, "servers.list")["columns"], serde_json::json!(["server", "cpu", "mem"]));
    assert_eq!(row(OpenHosting, "drives.set")["documentation"], "not in the Open Hosting API");
    // One object a line: no row may hold a newline.
    assert!(all().all(|call| !serde_json::to_string(&call.row()).unwrap().contains('\n')));
}

#[test]
fn the_table_is_aligned() {
    let lines = table(calls(OpenHosting));
    assert_eq!(lines.len(), 1 + calls(OpenHosting).len());
    assert!(lines[0].starts_with("CALL "), "{}", lines[0]);
    let column = lines[0].find("METHOD").unwrap();
    assert!(lines[1..].iter().all(|line| ["GET ", "POST"].contains(&&line[column..column + 4])));
    assert!(lines.iter().any(|line| line.contains("name,size,[…]")));
    assert!(table(all())[1].starts_with("openhosting  drives.list"));
    assert_eq!(table([]).len(), 1);
}

#[test]
fn a_call_is_described_in_full() {
    let lines = describe(Call::find(OpenHosting, "drives.read").unwrap()).join("\n");
    assert!(lines.contains("[OFFSET]: bytes") && lines.contains("answers binary"), "{lines}");
    let lines = describe(Call::find(CloudSigma, "servers.stop").unwrap()).join("\n");
    assert!(lines.contains("CloudSigma API 1.0, 8.9") && lines.contains("printed as GET"), "{lines}");
    let lines = describe(Call::find(Crosspeer, "servers.create").unwrap()).join("\n");
    assert!(lines.contains("mem=VALUE: a number, required; MB"), "{lines}");
}

proptest! {
    #[test]
    fn no_words_panic_and_what_is_sent_can_be_read_back(
        row in 0..all().count(),
        words in prop::collection::vec("\\PC{0,12}|(name|size|cpu|mem|user:a|ide:0:0)=\\PC{0,12}", 0..6),
        json: bool,
    ) {
        let Some(call) = all().nth(row) else { return Ok(()) };
        prop_assert!(Call::find(call.provider, call.id).is_ok());
        if let Ok(mut given) = Arguments::from_words(&words) {
            given.json = json;
            if let Ok(request) = call.request(&given) {
                prop_assert!(request.path.bytes().all(|b| b.is_ascii_graphic()));
                let parsed = Output::PROPERTIES.parse(request.content_type, &request.body.unwrap_or_default()).unwrap();
                prop_assert!(parsed.len() <= 1);
            } else if let Err(error) = call.request(&given) {
                prop_assert_eq!(error.kind().exit_code(), 2);
            }
        }
    }
}
