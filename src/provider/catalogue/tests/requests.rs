//! Tests of the requests that are built from the rows.

use super::super::*;
use super::{D, arguments, example, path_arguments};
use crate::wire::elastic::{Properties, text};
use Provider::{CloudSigma, Crosspeer, OpenHosting};
use bytes::Bytes;
use proptest::prelude::*;

/// Returns the request for the words of a command line.
fn request(provider: Provider, id: &str, words: &[&str]) -> Result<Request> {
    Call::find(provider, id)?.request(&Arguments::from_words(words)?)
}

fn sent(request: &Request) -> Properties {
    let objects = text::parse_bytes(request.body.as_deref().unwrap_or_default());
    objects.into_iter().next().unwrap_or_default()
}

#[test]
fn a_json_object_from_a_file_is_handed_on_with_its_parts() {
    let call = Call::find(Provider::Joyent, "machines.create").unwrap();
    let mut given = Arguments::from_words(["name=b"]).unwrap();
    given.body = Some(Bytes::from_static(br#"{"name": "a", "networks": ["x"], "package": "p"}"#));
    let request = call.request(&given).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&request.body.unwrap()).unwrap();
    assert_eq!(sent, serde_json::json!({ "name": "b", "networks": ["x"], "package": "p" }));
    given.body = Some(Bytes::from_static(b"[1]"));
    assert_eq!(call.request(&given).unwrap_err().kind().exit_code(), 2);
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
                assert_eq!(error.to_string(), format!("{} needs the key `{}`", call.id, key.form()));
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
fn a_size_is_sent_as_plain_bytes() {
    let create =
        request(OpenHosting, "drives.create", &["name=Test", "size=10G", "user:diskferry=x"]).unwrap();
    assert_eq!(create.body.as_deref(), Some(&b"name Test\nsize 10737418240\nuser:diskferry x\n"[..]));
    assert_eq!((create.method, &*create.path), (Method::Post, "/drives/create"));
    let error = request(OpenHosting, "drives.create", &["name=Test", "size=10Q"]).unwrap_err();
    assert_eq!(error.to_string(), "expected a size such as 10G for `size`, got `10Q`");
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
            "the key `tier` is not documented for this call",
            "the key `claimtype` is not documented for this call; did you mean `claim:type`?"
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
    assert!(write.request(&none).unwrap_err().hint_text().is_some_and(|h| h.contains("-f")));
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
fn a_password_is_in_the_body_and_nowhere_else() {
    let words = ["name=a", "cpu=1", "mem=1", "vnc:password=correcthorse"];
    let create = request(OpenHosting, "servers.create", &words).unwrap();
    assert_eq!(sent(&create).get("vnc:password"), Some("correcthorse"));
    assert_eq!(create.warnings.len(), 1);
    let given = Arguments::from_words(words).unwrap();
    assert!(!format!("{create:?} {given:?} {}", create.warnings[0]).contains("correcthorse"));
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
