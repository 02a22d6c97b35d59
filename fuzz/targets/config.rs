//! The configuration file, and the values of options. A file is read or refused, no secret is shown, and
//! nothing is lost when the file is changed.

use super::input::{Input, file};
use diskferry::Error;
use diskferry::config::value::{parse_duration, parse_size};
use diskferry::config::{Config, Environment, Profile, Target, Write, config_text, parse_base};
use diskferry::transport::address::join;

/// The secret, which the input writes as `@`.
const SECRET: &str = "hunter2hunter2";

/// The first byte says whether the rest is a file, the values of options, or an address.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => values(&String::from_utf8_lossy(input.rest())),
        1 => address(&mut input),
        _ => configuration(&String::from_utf8_lossy(input.rest()).replace('@', SECRET)),
    }
}

fn configuration(text: &str) {
    let path = file("config.toml", text.as_bytes());
    let secret = is_hidden(text);
    let shows = |said: &str| assert!(!secret || !said.contains(SECRET), "{said}");
    let error = |error: &Error| shows(&format!("{error} {error:?} {:?}", error.hint_text()));
    let env = Environment::from_pairs([("HOME", "/nonexistent")]);
    let config = match Config::load(Some(&path), &env) {
        Ok(config) => config,
        Err(e) => return error(&e),
    };
    shows(&format!("{config:?} {:?} {:?}", config.warnings(), config.summaries()));
    let _ = config.default_remote().map_err(|e| error(&e));
    for name in config.names() {
        shows(&format!("{:?}", config.show(&name).expect("a name of its own")));
        match config.remote(&name) {
            Ok(remote) => {
                shows(&format!("{remote:?} {} {:?}", remote.secret_source(), remote.check_plain_http()));
                let _ = remote.check_plain_http().map_err(|e| error(&e));
            }
            Err(e) => error(&e),
        }
    }
    changed(&config, &path, &env, error);
}

/// Adding a remote leaves the others unchanged.
fn changed(config: &Config, path: &std::path::Path, env: &Environment, error: impl Fn(&Error)) {
    let told = |config: &Config, name: &str| format!("{:?}", config.show(name).map(lines_left_out));
    let profile = Profile {
        provider: Some("openhosting".to_owned()),
        url: Some("https://h/".to_owned()),
        secret: Some("\"'\n\u{1}\\".into()),
        ..Profile::default()
    };
    let new = "a-new-one";
    if config.names().iter().any(|name| name == new) {
        return;
    }
    if let Err(e) = config.write_remote(new, &profile, Write::New) {
        return error(&e);
    }
    let after = Config::load(Some(path), env).expect("what was written is read");
    assert!(after.names().len() == config.names().len() + 1 && after.remote(new).is_ok());
    for name in config.names() {
        assert_eq!(told(config, &name), told(&after, &name), "{name}");
    }
    after.remove_remote(new).expect("what was added is removed");
    let after = Config::load(Some(path), env).expect("what was written is read");
    assert_eq!(config.names(), after.names());
    let alone = config_text([("one", &profile)]).expect("a text");
    assert!(
        Config::load(Some(&file("alone.toml", alone.as_bytes())), env).is_ok_and(|c| c.remote("one").is_ok())
    );
}

/// Removes the origin, which has a line number, from what is shown of a remote.
fn lines_left_out(shown: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    shown.into_iter().filter(|(key, _)| *key != "origin").collect()
}

/// Returns whether the secret occurs only once, where a secret belongs.
fn is_hidden(text: &str) -> bool {
    if text.matches(SECRET).count() != 1 {
        return false;
    }
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let remotes = table.get("remotes").and_then(toml::Value::as_table);
    remotes.into_iter().flat_map(|remotes| remotes.values()).filter_map(toml::Value::as_table).any(|remote| {
        ["secret", "secret_command", "consumer_secret", "token_secret"]
            .iter()
            .any(|key| remote.get(*key).is_some_and(|value| value.to_string().contains(SECRET)))
    })
}

/// A value is what its digits say, or is refused with a hint.
fn values(text: &str) {
    let (size, duration) = (parse_size(text), parse_duration(text));
    for error in [size.as_ref().err(), duration.as_ref().err()].into_iter().flatten() {
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.hint_text().is_some());
    }
    if let Ok(size) = size {
        assert!(parse_size(&size.to_string()).is_ok_and(|again| again == size));
    }
    if let Ok(duration) = duration {
        // The duration can be waited for.
        assert!(std::time::Instant::now().checked_add(duration).is_some(), "{text:?} is {duration:?}");
    }
    if let Ok(target) = text.parse::<Target>() {
        assert!(Target::is_target(text));
        assert!(target.to_string().parse::<Target>().is_ok_and(|again| again == target));
        for id in target.drive().into_iter().chain(target.appliance()) {
            assert!(!id.contains(['/', '?', '#', '%', '\n']) && id != "..", "{id:?}");
        }
    }
}

/// A base URL has no secrets and no double slash, and what is joined to it stays below it.
fn address(input: &mut Input<'_>) {
    let (base, path) = (input.line(), input.line());
    let Ok(base) = parse_base(&base) else { return };
    assert!(base.username().is_empty() && base.password().is_none() && base.query().is_none());
    assert!(matches!(base.scheme(), "http" | "https"));
    assert_eq!(parse_base(base.as_str()).expect("a base is one"), base);
    // The URL type reads a backslash as a slash and drops control characters. The catalogue's paths have
    // neither.
    if path.contains(|c: char| c == '\\' || c.is_control()) {
        return;
    }
    let joined = join(&base, &path);
    assert!(joined.origin() == base.origin() && joined.fragment().is_none() && !joined.path().contains("//"));
}
