use super::*;
use serde_json::json;

#[test]
fn the_manuals_secrets_are_flagged() {
    for name in ["vnc:password", "secret_key", "credentials", "oauth_token_secret"] {
        assert!(SECRET.iter().any(|key| key.matches(name)), "{name}");
    }
    // Secret by the words of their names.
    for name in ["metadata.root_pw", "user:api-key", "mysql.Password", "oauth_token", "tag.secret", "PASSWD"]
    {
        assert!(is_secret_key(name), "{name}");
    }
    for name in
        ["name", "vnc:ip", "vnc", "vnc:tls", "key", "user:a", "metadata.user-script", "compass", "nic:0:mac"]
    {
        assert!(!is_secret_key(name), "{name}");
    }
    // Every key of a password is flagged.
    for (key, _) in all().flat_map(|call| call.input.keys()) {
        let password = matches!(key.kind, crate::provider::catalogue::ValueKind::Password(_));
        assert!(!password || key.secret, "{}", key.name);
    }
}

#[test]
fn objects_are_shown_without_their_secrets() {
    let server = Properties::new().with("name", "web").with("vnc:password", "p").with("user:token", "t");
    let shown = without_secrets(&server);
    assert_eq!(shown.iter().map(|(_, value)| value).collect::<Vec<_>>(), ["web", HIDDEN, HIDDEN]);
    let machine = json!({
        "id": "m", "metadata": { "credentials": { "root": "x", "n": 1 }, "a": "b" }, "requirements": { "password": true },
        "list": [{ "secret_key": "k", "empty_secret": "", "none": null }],
    });
    assert_eq!(
        json_without_secrets(&machine),
        json!({
            "id": "m", "metadata": { "credentials": { "root": HIDDEN, "n": HIDDEN }, "a": "b" },
            "requirements": { "password": true },
            "list": [{ "secret_key": HIDDEN, "empty_secret": "", "none": null }],
        })
    );
}

#[test]
fn a_command_is_shown_without_its_secrets() {
    let shown =
        |words: &[&str]| command_without_secrets(words.iter().map(|word| (*word).to_owned())).join(" ");
    for (given, expected) in [
        (&["boot", "a.img", "--set", "vnc:password=p"][..], "boot a.img --set vnc:password=*"),
        (&["boot", "--set=vnc:password=p=q"], "boot --set=vnc:password=*"),
        (&["boot", "--vnc:password=p"], "boot --vnc:password=*"),
        (
            &["boot", "--vnc-password-file", "p", "--vnc-password-file=p"],
            "boot --vnc-password-file p --vnc-password-file=p",
        ),
        (&["server", "set", "oh:x", "vnc:pasword=p"], "server set oh:x vnc:pasword=*"),
        (&["server", "set", "oh:x", "vnc:password="], "server set oh:x vnc:password="),
        (&["serve", "--secret", "p", "--user", "u"], "serve --secret * --user u"),
        (&["serve", "--secret=p"], "serve --secret=*"),
        (&["upload", "./token=1.img", "oh:", "--name", "a=b"], "upload ./token=1.img oh: --name a=b"),
        (&["machine", "list", "credentials=true"], "machine list credentials=true"),
        (&["machine", "create", "--metadata", "root_pw=é"], "machine create --metadata root_pw=*"),
    ] {
        assert_eq!(shown(given), expected.replace('*', GIVE_AGAIN));
    }
}

#[test]
fn a_secret_is_hidden_in_every_form() {
    let redactor = Redactor::of_command(["boot", "--set", "vnc:password=p \"ss\"  wörd", "--set", "a=b"]);
    for text in [
        "not p \"ss\"  wörd",
        r#"not p \"ss\"  wörd"#,
        "not p \"ss\" wörd",
        "not p%20%22ss%22%20%20w%C3%B6rd",
    ] {
        assert_eq!(redactor.redact(text), format!("not {HIDDEN}"), "{text}");
    }
    redactor.hide("ab");
    assert_eq!(
        redactor.redact("ab cab abc a'ab'b abab ab"),
        format!("{HIDDEN} cab abc a'{HIDDEN}'b abab {HIDDEN}")
    );
    let mut value = json!({ "a": ["x ab"], "ab": 1 });
    redactor.redact_json(&mut value);
    assert_eq!(value, json!({ "a": [format!("x {HIDDEN}")], "ab": 1 }));
    redactor.hide("");
    redactor.hide("true");
    assert_eq!(redactor.redact("true"), "true");
    assert!(!format!("{redactor:?}").contains("ab"));
}

#[test]
fn the_longest_secret_goes_first() {
    let redactor = Redactor::default();
    redactor.hide("abcd");
    redactor.hide("abcdefgh");
    assert_eq!(redactor.redact("abcdefgh abcd"), format!("{HIDDEN} {HIDDEN}"));
}
