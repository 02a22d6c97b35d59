use std::io::Write as _;

use crate::config::{Config, Environment};
use crate::{Kind, Result};

fn config() -> Result<(Config, Environment), Box<dyn std::error::Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(
        br#"default_remote = "a"
[remotes.a]
provider = "openhosting"
url = "https://a/"
user = "me"
secret_command = "echo hunter2"
[remotes.bad]
provider = "openhosting"
url = "https://u:hunter2@h/"
[remotes.clear]
provider = "crosspeer"
url = "http://h/"
user = "me"
secret = "hunter2"
[remotes.joy]
provider = "joyent"
url = "https://j/"
account = "demo"
[remotes.spot]
provider = "spotcloud"
url = "https://s/"
consumer_key = "k"
consumer_secret = "hunter2"
"#,
    )?;
    let env = Environment::from_pairs([("OHURI", "https://h/"), ("OHAUTH", "you:hunter2")]);
    Ok((Config::load(Some(file.path()), &env)?, env))
}

#[test]
fn the_list_tells_origins_and_problems_but_no_secrets() -> Result<(), Box<dyn std::error::Error>> {
    let (config, _) = config()?;
    let all = config.summaries();
    let names: Vec<_> = all.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["a", "bad", "clear", "joy", "local", "oh", "spot"]);
    let defaults: Vec<_> = all.iter().filter(|s| s.is_default).map(|s| &*s.name).collect();
    assert_eq!(defaults, ["a"]);
    let [a, bad, clear, joy, local, oh, spot] = &all[..] else { return Err("seven remotes".into()) };
    assert_eq!((a.endpoint.as_deref(), &*a.secret), (Some("https://a/"), "secret_command (hidden)"));
    assert!(a.origin.ends_with(":2") && a.problem.is_none(), "{a:?}");
    assert!(
        bad.problem.as_ref().is_some_and(|p| p.contains("credentials")) && bad.endpoint.is_none(),
        "{bad:?}"
    );
    assert!(clear.problem.as_ref().is_some_and(|p| p.contains("plain http")), "{clear:?}");
    assert_eq!((joy.user.as_deref(), &*joy.secret), (Some("demo"), "SSH agent"));
    assert_eq!((&*local.origin, &*local.provider), ("built in", "openhosting"));
    assert_eq!(
        (&*oh.origin, &*oh.secret, oh.user.as_deref()),
        ("OHURI, OHAUTH", "OHAUTH (hidden)", Some("you"))
    );
    assert_eq!(&*spot.secret, "no token yet");
    assert!(!format!("{all:?}").contains("hunter2"));
    Ok(())
}

#[test]
fn one_remote_is_shown_key_by_key() -> Result<(), Box<dyn std::error::Error>> {
    let (config, _) = config()?;
    let show = |name| {
        config
            .show(name)
            .map(|keys| keys.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("\n"))
    };
    assert!(show("a")?.contains("user=me\nsecret_command=(hidden)\norigin="), "{}", show("a")?);
    assert!(show("bad")?.contains("url=(hidden"), "{}", show("bad")?);
    assert!(show("oh")?.contains("secret=OHAUTH (hidden)\norigin=OHURI, OHAUTH"), "{}", show("oh")?);
    assert!(show("local")?.contains("url=built-in emulator"), "{}", show("local")?);
    assert_eq!(show("nobody").unwrap_err().kind(), Kind::Usage);
    Ok(())
}

#[test]
fn a_check_finds_what_is_missing() -> Result<(), Box<dyn std::error::Error>> {
    let (config, env) = config()?;
    for fine in ["a", "oh", "local"] {
        config.check(fine, &env).map_err(|e| format!("{fine}: {e}"))?;
    }
    for (name, kind, says) in [
        ("bad", Kind::Usage, "credentials"),
        ("clear", Kind::Usage, "plain http"),
        ("joy", Kind::Auth, "no key id"),
        ("spot", Kind::Auth, "no token"),
    ] {
        let e = config.check(name, &env).expect_err(name);
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.to_string().contains(says) && e.hint_text().is_some(), "{e}");
    }
    let e = config.check("oh", &Environment::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::Auth, "{e}");
    Ok(())
}
