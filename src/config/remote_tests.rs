use super::*;
use crate::Kind;

fn profile(provider: &str) -> Profile {
    Profile {
        provider: Some(provider.into()),
        url: Some("https://api.example.com/".into()),
        ..Profile::default()
    }
}

fn origin() -> Origin {
    Origin::File { path: "/etc/c.toml".into(), line: 7 }
}

fn ready(profile: &Profile) -> Result<Remote> {
    resolve("oh", profile, origin(), Some(Path::new("/etc")), Some(Path::new("/home/me")))
}

fn at(url: &str) -> Result<Remote> {
    ready(&Profile { url: Some(url.into()), user: Some("u".into()), ..profile("openhosting") })
}

#[test]
fn a_base_is_joined_with_one_slash() -> Result<()> {
    for (base, path, whole) in [
        ("https://h", "/drives/info", "https://h/drives/info"),
        ("https://h/", "drives/info", "https://h/drives/info"),
        ("https://h/api/", "/drives/info", "https://h/api/drives/info"),
        ("https://h//api//", "//drives//info", "https://h/api/drives/info"),
        ("http://127.0.0.1:8701/", "/drives/a%2Fb/info", "http://127.0.0.1:8701/drives/a%2Fb/info"),
        ("https://h/api", "/x?a=b//c&d=%20", "https://h/api/x?a=b//c&d=%20"),
        ("https://h/api", "", "https://h/api/"),
    ] {
        assert_eq!(at(base)?.url_for(path)?.as_str(), whole, "{base} {path}");
    }
    Ok(())
}

#[test]
fn a_base_that_is_none_is_refused_without_repeating_it() {
    for (url, says) in [
        ("https://me:hunter2@h/", "credentials"),
        ("https://hunter2@h/", "credentials"),
        ("https://:hunter2@h/", "credentials"),
        ("ftp://me:hunter2@h/", "https://"),
        ("hunter2:8701", "https://"),
        ("//me:hunter2@h", "cannot parse the url"),
        ("", "cannot parse the url"),
        ("https://", "cannot parse the url"),
        ("https:h", "https://"),
        ("https://h/?key=hunter2", "?"),
        ("https://h/#hunter2", "#"),
    ] {
        let e = at(url).expect_err(url);
        assert_eq!(e.kind(), Kind::Usage, "{url}");
        assert!(e.to_string().contains(says) && e.to_string().contains("oh (/etc/c.toml:7)"), "{url}: {e}");
        assert!(e.hint_text().is_some_and(|hint| !hint.contains("hunter2")), "{url}");
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }
}

#[test]
fn plain_http_is_for_this_machine() -> Result<()> {
    for url in
        ["https://h/", "http://127.0.0.1:1/", "http://127.9.9.9/", "http://[::1]:1/", "http://LOCALHOST/"]
    {
        at(url)?.check_plain_http().unwrap_or_else(|e| panic!("{url}: {e}"));
    }
    for url in [
        "http://h/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://128.0.0.1/",
        "http://[::2]/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
    ] {
        let e = at(url)?.check_plain_http().expect_err(url);
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.hint_text().unwrap_or_default().contains("allow_http"), "{url}");
    }
    let mut allowed = at("http://h/")?;
    allowed.allow_http = true;
    allowed.check_plain_http()
}

#[test]
fn no_scheme_may_be_overheard() -> Result<()> {
    let http = |provider| Profile { url: Some("http://h/".into()), ..profile(provider) };
    let key = Profile { account: Some("me".into()), key_id: Some("k".into()), ..http("joyent") };
    assert_eq!(ready(&key)?.auth_scheme(), AuthScheme::Signature);
    assert!(ready(&key)?.check_plain_http().is_err());
    assert_eq!(ready(&http("spotcloud"))?.auth_scheme(), AuthScheme::OAuth);
    assert!(ready(&http("spotcloud"))?.check_plain_http().is_err());
    ready(&Profile { allow_http: Some(true), ..http("spotcloud") })?.check_plain_http()?;
    let password = Profile { user: Some("me".into()), secret: Some("s".into()), ..http("joyent") };
    assert_eq!(ready(&password)?.auth_scheme(), AuthScheme::Basic);
    assert!(ready(&password)?.check_plain_http().is_err());
    assert_eq!(ready(&password)?.account.as_deref(), Some("me"));
    Ok(())
}

#[test]
fn paths_start_at_the_file_or_at_home() -> Result<()> {
    let remote = ready(&Profile {
        identity: Some("~/.ssh/id_rsa".into()),
        ca_file: Some("ca.pem".into()),
        ..profile("joyent")
    })?;
    assert_eq!(remote.identity.as_deref(), Some(Path::new("/home/me/.ssh/id_rsa")));
    assert_eq!(remote.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    Ok(())
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let wrong = |profile: &Profile, says: &str| {
        let e = ready(profile).expect_err(says);
        assert_eq!(e.kind(), Kind::Usage);
        let hint = e.hint_text().unwrap_or_default();
        assert!(e.to_string().contains(says) && !hint.is_empty(), "{e}; {hint}");
        hint.to_owned()
    };
    wrong(&Profile { provider: None, ..profile("x") }, "`provider` is missing");
    wrong(&Profile { url: None, ..profile("openhosting") }, "`url` is missing");
    let hint = wrong(&profile("openhostin"), "unknown provider `openhostin`");
    assert!(hint.contains("did you mean `openhosting`?"), "{hint}");
    wrong(&Profile { key_id: Some("k".into()), ..profile("crosspeer") }, "`key_id` is not a key");
    wrong(&Profile { secret: Some("k".into()), ..profile("spotcloud") }, "`secret` is not a key");
    let two =
        Profile { secret: Some("a".into()), secret_command: Some("b".into()), ..profile("openhosting") };
    wrong(&two, "secret and secret_command are both set");
}

#[test]
fn local_has_no_url_until_its_emulator_listens() -> Result<()> {
    let local = Remote::local();
    assert!(local.url_for("/drives/list").is_err());
    let base = parse_base("http://127.0.0.1:4/")?;
    assert_eq!(local.at(base).url_for("/drives/list")?.as_str(), "http://127.0.0.1:4/drives/list");
    Ok(())
}
