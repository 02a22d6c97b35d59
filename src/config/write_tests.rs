use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::Kind;
use crate::config::Environment;

type Test = Result<(), Box<dyn std::error::Error>>;

fn load(dir: &Path) -> Result<Config> {
    Config::load(None, &Environment::from_pairs([("XDG_CONFIG_HOME", dir)]))
}

fn profile(user: &str) -> Profile {
    Profile {
        provider: Some("openhosting".into()),
        url: Some("https://h/".into()),
        user: Some(user.into()),
        secret: Some("with \"quotes\" and \\ and é".into()),
        allow_http: Some(true),
        ca_file: Some("ca.pem".into()),
        ..Profile::default()
    }
}

const FILE: &str = "\
# mine
default_remote = 'a' # the first

# about a
[remotes.a]
provider = 'openhosting' # why
url = 'https://a/'
[remotes.b]
provider = 'cloudsigma'
url = 'https://b/'
# the end
";

fn with_file(text: &str) -> std::io::Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("diskferry/config.toml");
    write_private(&path, text).map_err(std::io::Error::other)?;
    Ok((dir, path))
}

#[test]
fn the_first_remote_makes_the_file() -> Test {
    let dir = tempfile::tempdir()?;
    let path = load(dir.path())?.write_remote("new", &profile("me"), Write::New)?;
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.path().join("diskferry"))?.permissions().mode() & 0o777, 0o700);
    let config = load(dir.path())?;
    assert!(config.warnings().is_empty());
    let remote = config.remote("new")?;
    assert_eq!(remote.user.as_deref(), Some("me"));
    assert!(remote.allow_http);
    let secret = remote.secret(&Environment::default())?;
    assert_eq!(secret.expose_secret(), "with \"quotes\" and \\ and é");
    assert!(fs::read_to_string(path)?.starts_with("[remotes.new]\n"));
    Ok(())
}

#[test]
fn comments_and_order_stay() -> Test {
    let (dir, path) = with_file(FILE)?;
    load(dir.path())?.write_remote("c", &profile("me"), Write::New)?;
    let text = fs::read_to_string(&path)?;
    assert!(text.starts_with(FILE.trim_end_matches("# the end\n")), "{text}");
    assert!(text.contains("# the end") && text.contains("[remotes.c]"), "{text}");
    load(dir.path())?.remove_remote("c")?;
    load(dir.path())?.remove_remote("b")?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains("# mine\ndefault_remote = 'a' # the first"), "{text}");
    assert!(text.contains("# about a\n[remotes.a]\nprovider = 'openhosting' # why"), "{text}");
    assert_eq!(load(dir.path())?.names(), ["a", "local"]);
    Ok(())
}

#[test]
fn what_is_about_the_file_outlives_a_remote() -> Test {
    let text = "# the file\n\n# about a\n[remotes.a]\nurl = 'https://a/'\n\n# off\n# [remotes.x]\n\n# about b\n\
                [remotes.b]\nurl = 'https://b/'\n# the end\n";
    let (dir, path) = with_file(text)?;
    load(dir.path())?.remove_remote("a")?;
    let rest = "# off\n# [remotes.x]\n\n# about b\n[remotes.b]\nurl = 'https://b/'\n# the end\n";
    assert_eq!(fs::read_to_string(&path)?, format!("# the file\n\n{rest}"));
    load(dir.path())?.remove_remote("b")?;
    assert_eq!(fs::read_to_string(&path)?, "# the file\n\n# off\n# [remotes.x]\n\n# the end\n");
    Ok(())
}

#[test]
fn every_way_to_write_a_table_can_be_changed() -> Test {
    for text in [
        "[remotes]\na = { provider = 'openhosting', url = 'https://a/' }\n",
        "remotes = { a = { provider = 'openhosting', url = 'https://a/' } }\n",
        "remotes.a.provider = 'openhosting'\nremotes.a.url = 'https://a/'\n",
        "[remotes]\n[remotes.a]\nprovider = 'openhosting'\nurl = 'https://a/'\n",
    ] {
        let (dir, _) = with_file(text)?;
        load(dir.path())?.write_remote("c", &profile("me"), Write::New)?;
        let user = Profile { user: Some("u".into()), ..Profile::default() };
        load(dir.path())?.write_remote("a", &user, Write::Update)?;
        assert_eq!(load(dir.path())?.remote("a")?.user.as_deref(), Some("u"), "{text}");
        assert_eq!(load(dir.path())?.remote("c")?.user.as_deref(), Some("me"), "{text}");
        load(dir.path())?.remove_remote("a")?;
        assert_eq!(load(dir.path())?.names(), ["c", "local"], "{text}");
    }
    Ok(())
}

#[test]
fn an_update_keeps_the_other_keys() -> Test {
    let (dir, path) = with_file(FILE)?;
    let user = Profile { user: Some("u".into()), ..Profile::default() };
    load(dir.path())?.write_remote("a", &user, Write::Update)?;
    assert!(fs::read_to_string(&path)?.contains("provider = 'openhosting' # why"));
    let a = load(dir.path())?.remote("a")?;
    assert_eq!((a.user.as_deref(), a.endpoint.to_string().as_str()), (Some("u"), "https://a/"));
    let new =
        Profile { provider: Some("crosspeer".into()), url: Some("https://x/".into()), ..Profile::default() };
    load(dir.path())?.write_remote("a", &new, Write::Replace)?;
    assert_eq!(load(dir.path())?.remote("a")?.user, None);
    let e = load(dir.path())?.write_remote("a", &new, Write::New).unwrap_err();
    assert!(e.to_string().contains("already"), "{e}");
    Ok(())
}

#[test]
fn a_bad_remote_leaves_the_old_file() -> Test {
    let (dir, path) = with_file(FILE)?;
    let config = load(dir.path())?;
    for bad in [
        Profile { url: Some("https://u:hunter2@h/".into()), ..profile("me") },
        Profile { provider: Some("nobody".into()), ..profile("me") },
        Profile { key_id: Some("x".into()), ..profile("me") },
    ] {
        let e = config.write_remote("c", &bad, Write::New).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }
    for name in ["local", "a b", ""] {
        assert!(config.write_remote(name, &profile("me"), Write::New).is_err(), "{name}");
    }
    assert_eq!(fs::read_to_string(path)?, FILE);
    Ok(())
}

#[test]
fn a_wrong_remote_does_not_keep_others_from_being_changed() -> Test {
    let (dir, _) = with_file(&FILE.replace("'https://b/'", "'nonsense'"))?;
    load(dir.path())?.write_remote("c", &profile("me"), Write::New)?;
    load(dir.path())?.remove_remote("b")?;
    assert_eq!(load(dir.path())?.names(), ["a", "c", "local"]);
    Ok(())
}

#[test]
fn the_default_goes_with_its_remote() -> Test {
    let (dir, path) = with_file(FILE)?;
    load(dir.path())?.remove_remote("a")?;
    assert_eq!(load(dir.path())?.default_remote()?.name, "b");
    load(dir.path())?.write_default("local")?;
    assert_eq!(load(dir.path())?.default_remote()?.name, "local");
    assert!(load(dir.path())?.write_default("nobody").is_err());
    assert!(load(dir.path())?.remove_remote("nobody").is_err());
    assert!(load(dir.path())?.remove_remote("local").is_err());
    assert!(fs::read_to_string(path)?.contains("[remotes.b]"));
    Ok(())
}

#[test]
fn a_remote_of_the_environment_is_not_removed_from_the_file() -> Test {
    let env = Environment::from_pairs([("XDG_CONFIG_HOME", "/nonexistent"), ("OHURI", "https://h/")]);
    let e = Config::load(None, &env)?.remove_remote("oh").unwrap_err();
    assert!(e.to_string().contains("OHURI"), "{e}");
    Ok(())
}

#[test]
fn a_link_stays_a_link() -> Test {
    let dir = tempfile::tempdir()?;
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "old")?;
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644))?;
    std::os::unix::fs::symlink(&real, &link)?;
    write_private(&link, "new")?;
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_eq!(fs::read_to_string(&real)?, "new");
    assert_eq!(fs::metadata(&real)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(write_private(Path::new("/dev/null"), "x").unwrap_err().kind(), Kind::Usage);
    Ok(())
}

#[test]
fn the_emulators_file_is_a_configuration_for_every_provider() -> Test {
    let listeners: Vec<_> = Provider::ALL
        .into_iter()
        .zip(8701..)
        .map(|(provider, port)| {
            let url = Url::parse(&format!("http://127.0.0.1:{port}/"))?;
            let (user, secret) = ("me".to_owned(), SecretString::from("s\"x"));
            Ok(EmulatedRemote { name: provider.to_string(), provider, url, user, secret })
        })
        .collect::<Result<_, url::ParseError>>()?;
    let (dir, _) = with_file(&emulator_profile(&listeners, Some(Path::new("/ca.pem")))?)?;
    let config = load(dir.path())?;
    for EmulatedRemote { provider, url, .. } in listeners {
        let remote = config.remote(provider.name())?;
        assert_eq!(remote.provider, provider.into());
        assert_eq!(remote.url_for("/x")?, url.join("x")?);
        assert_eq!(remote.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        remote.check_plain_http()?;
        if provider == Provider::SpotCloud {
            assert_eq!(remote.token.as_deref(), Some("me"));
        } else {
            assert_eq!(remote.secret(&Environment::default())?.expose_secret(), "s\"x");
            assert_eq!(remote.user.as_deref(), Some("me"));
        }
    }
    Ok(())
}
