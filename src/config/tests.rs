use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;
use crate::Kind;
use crate::provider::Provider;

type Test = Result<(), Box<dyn std::error::Error>>;

/// A configuration file that is removed when this is dropped.
struct Home(tempfile::TempDir);

impl Home {
    fn new(text: &str) -> std::io::Result<Self> {
        let home = Home(tempfile::tempdir()?);
        fs::create_dir_all(home.file().parent().unwrap_or(Path::new("/")))?;
        fs::write(home.file(), text)?;
        fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600))?;
        Ok(home)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/diskferry/config.toml")
    }

    fn env(&self, more: &[(&str, &str)]) -> Environment {
        let home = ("HOME".into(), self.0.path().as_os_str().to_owned());
        Environment::from_pairs(
            more.iter()
                .map(|(k, v)| (std::ffi::OsString::from(k), std::ffi::OsString::from(v)))
                .chain([home]),
        )
    }
}

const TWO: &str = r#"
[remotes.oh]
provider = "openhosting"
url = "https://api.example.com/"
user = "me"
secret = "hunter2"

[remotes.cs]
provider = "cloudsigma"
url = "https://sigma.example.com/"
"#;

const OH: [(&str, &str); 2] = [("OHURI", "https://env.example.com/"), ("OHAUTH", "you:swordfish")];

#[test]
fn a_fresh_machine_has_local_and_says_so() -> Test {
    for env in [Environment::from_pairs([("HOME", "/nonexistent")]), Environment::default()] {
        let config = Config::load(None, &env)?;
        assert_eq!(
            config.default_remote()?,
            DefaultRemote { name: "local".into(), nothing_configured: true }
        );
        let local = config.remote("local")?;
        assert_eq!((local.provider, local.endpoint), (Provider::OpenHosting.into(), Endpoint::Local));
        assert_eq!(config.names(), ["local"]);
    }
    Ok(())
}

#[test]
fn the_contracts_example_is_read() -> Test {
    let home = Home::new(
        "default_remote = \"oh\"\n[remotes.oh]\nprovider = \"openhosting\"\n\
         url = \"https://api-east1.openhosting.com/\"\nuser = \"6339d58e\"\n\
         secret_command = \"echo from-the-store\"      # or secret_file\n",
    )?;
    let env = home.env(&[]);
    let config = Config::load(None, &env)?;
    assert_eq!(config.path(), Some(&*home.file()));
    let default = config.default_remote()?;
    assert_eq!(default, DefaultRemote { name: "oh".into(), nothing_configured: false });
    let oh = config.remote("oh")?;
    assert_eq!(oh.user.as_deref(), Some("6339d58e"));
    assert_eq!(oh.origin, Origin::File { path: home.file(), line: 2 });
    assert_eq!(oh.secret(&env)?.expose_secret(), "from-the-store");
    assert_eq!(oh.url_for("/drives/info")?.as_str(), "https://api-east1.openhosting.com/drives/info");
    Ok(())
}

#[test]
fn files_are_looked_for_beside_the_configuration() -> Test {
    let home = Home::new(&TWO.replace("secret = \"hunter2\"", "secret_file = \"key\""))?;
    fs::write(home.file().with_file_name("key"), "from beside\n")?;
    let env = home.env(&[]);
    let oh = Config::load(None, &env)?.remote("oh")?;
    assert_eq!(oh.secret(&env)?.expose_secret(), "from beside");
    Ok(())
}

#[test]
fn flag_comes_before_variable_before_default() -> Test {
    let [flag, variable, default] = ["flag", "variable", "default"]
        .map(|user| TWO.replace("\"me\"", &format!("{user:?}")))
        .map(|text| Home::new(&text));
    let (flag, variable, default) = (flag?, variable?, default?);
    let user = |config: Config| Ok::<_, Error>(config.remote("oh")?.user.unwrap_or_default());
    let path = variable.file().display().to_string();
    let env = default.env(&[("DISKFERRY_CONFIG", &path)]);
    assert_eq!(user(Config::load(Some(&flag.file()), &env)?)?, "flag");
    assert_eq!(user(Config::load(None, &env)?)?, "variable");
    assert_eq!(user(Config::load(None, &default.env(&[]))?)?, "default");
    let xdg = variable.0.path().join(".config").display().to_string();
    assert_eq!(user(Config::load(None, &default.env(&[("XDG_CONFIG_HOME", &xdg)]))?)?, "variable");
    Ok(())
}

#[test]
fn a_named_file_must_exist() {
    let env = Environment::from_pairs([("DISKFERRY_CONFIG", "/no/such/file")]);
    let e = Config::load(None, &env).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().contains("/no/such/file") && e.to_string().contains("DISKFERRY_CONFIG"), "{e}");
    let e = Config::load(Some(Path::new("/no/flag")), &env).unwrap_err();
    assert!(e.to_string().contains("/no/flag") && e.to_string().contains("--config"), "{e}");
    assert!(Config::load(Some(Path::new("/dev/null")), &env).is_ok(), "an empty file is a file");
    assert!(Config::load_or_new(None, &env).is_ok_and(|c| c.path() == Some(Path::new("/no/such/file"))));
}

#[test]
fn an_unreadable_file_is_an_error() {
    let e = Config::load(Some(Path::new("/")), &Environment::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("configuration /"), "{e}");
}

#[test]
fn an_environment_remote_replaces_the_files_as_a_whole() -> Test {
    let home = Home::new(&TWO.replace("user = \"me\"", "user = \"me\"\nallow_http = true"))?;
    let env = home.env(&OH);
    let oh = Config::load(None, &env)?.remote("oh")?;
    assert_eq!(oh.endpoint.to_string(), "https://env.example.com/");
    assert_eq!(oh.user.as_deref(), Some("you"));
    assert_eq!(oh.secret(&env)?.expose_secret(), "swordfish");
    assert!(!oh.allow_http, "nothing of the file's remote is left");
    assert_eq!(oh.origin, Origin::Environment(vec!["OHURI", "OHAUTH"]));
    let env = home.env(&OH[..1]);
    let oh = Config::load(None, &env)?.remote("oh")?;
    let e = oh.secret(&env).unwrap_err();
    assert_eq!(e.kind(), Kind::Auth);
    assert!(e.hint_text().unwrap_or_default().contains("OHAUTH=USER:SECRET"), "{:?}", e.hint_text());
    let env = home.env(&OH[1..]);
    assert_eq!(
        Config::load(None, &env)?.remote("oh")?.user.as_deref(),
        Some("me"),
        "OHAUTH alone is nothing"
    );
    Ok(())
}

#[test]
fn the_other_vendors_variables_make_remotes() -> Test {
    let env = Environment::from_pairs([
        ("EHURI", "https://eh.example.com/api/"),
        ("EHAUTH", "u:s:t"),
        ("SDC_CLI_URL", "https://sdc.example.com"),
        ("SDC_CLI_ACCOUNT", "demo"),
        ("SDC_CLI_KEY_ID", "id_rsa"),
        ("SDC_CLI_IDENTITY", "/keys/id_rsa"),
    ]);
    let config = Config::load(None, &env)?;
    let eh = config.remote("eh")?;
    assert_eq!(eh.provider, Provider::Crosspeer.into());
    assert_eq!(eh.secret(&env)?.expose_secret(), "s:t");
    assert_eq!(eh.url_for("drives/list")?.as_str(), "https://eh.example.com/api/drives/list");
    let sdc = config.remote("sdc")?;
    assert_eq!(sdc.provider, Provider::Joyent.into());
    assert_eq!(sdc.account.as_deref(), Some("demo"));
    assert_eq!(sdc.key_id.as_deref(), Some("id_rsa"));
    assert_eq!(sdc.identity.as_deref(), Some(Path::new("/keys/id_rsa")));
    assert_eq!(sdc.auth_scheme(), AuthScheme::Signature);
    assert_eq!(config.names(), ["eh", "local", "sdc"]);
    let no_colon = Environment::from_pairs([("OHURI", "https://h/"), ("OHAUTH", "hunter2")]);
    let oh = Config::load(None, &no_colon)?.remote("oh")?;
    assert_eq!(oh.user, None, "it may be the secret");
    assert_eq!(oh.secret(&no_colon).unwrap_err().kind(), Kind::Auth);
    let no_user = Environment::from_pairs([("OHURI", "https://h/"), ("OHAUTH", ":hunter2")]);
    assert_eq!(Config::load(None, &no_user)?.remote("oh")?.user, None);
    Ok(())
}

#[test]
fn the_default_is_the_only_one_or_must_be_named() -> Test {
    let home = Home::new(TWO)?;
    let e = Config::load(None, &home.env(&[]))?.default_remote().unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().contains("cs: oh:"), "{e}");
    assert!(e.hint_text().unwrap_or_default().contains("default_remote"), "{:?}", e.hint_text());
    let only = Config::load(None, &Environment::from_pairs(OH))?;
    assert_eq!(only.default_remote()?, DefaultRemote { name: "oh".into(), nothing_configured: false });
    for name in ["local", "cs"] {
        let home = Home::new(&format!("default_remote = {name:?}\n{TWO}"))?;
        let default = Config::load(None, &home.env(&[]))?.default_remote()?;
        assert_eq!(default, DefaultRemote { name: name.into(), nothing_configured: false });
    }
    let home = Home::new(&format!("default_remote = \"ohh\"\n{TWO}"))?;
    let e = Config::load(None, &home.env(&[]))?.default_remote().unwrap_err();
    assert!(e.to_string().contains("config.toml:1: default_remote: there is no remote `ohh:`"), "{e}");
    Ok(())
}

#[test]
fn an_unknown_remote_names_the_known_and_the_nearest() -> Test {
    let home = Home::new(TWO)?;
    let config = Config::load(None, &home.env(&[]))?;
    for (name, says) in [
        ("ohh", "did you mean `oh:`? The remotes are `cs:`, `local:`, `oh:`"),
        ("lcoal", "did you mean `local:`?"),
        ("something", "the remotes are `cs:`, `local:`, `oh:`"),
        ("eh", "set EHURI, EHAUTH to make `eh:`"),
    ] {
        let e = config.remote(name).unwrap_err();
        assert_eq!(e.kind().exit_code(), 2);
        assert!(e.hint_text().unwrap_or_default().contains(says), "{name}: {:?}", e.hint_text());
    }
    Ok(())
}

#[test]
fn a_wrong_remote_stands_only_in_its_own_way() -> Test {
    let home = Home::new(TWO)?;
    let env = home.env(&[("EHURI", "nonsense")]);
    let config = Config::load(None, &env)?;
    assert!(config.remote("oh").is_ok());
    let e = config.remote("eh").unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().contains("EHURI"), "{e}");
    Ok(())
}

#[test]
fn a_secret_that_others_can_read_is_warned_of() -> Test {
    let home = Home::new(TWO)?;
    assert!(Config::load(None, &home.env(&[]))?.warnings().is_empty());
    for mode in [0o640, 0o604] {
        fs::set_permissions(home.file(), fs::Permissions::from_mode(mode))?;
        let config = Config::load(None, &home.env(&[]))?;
        assert!(config.warnings().iter().any(|w| w.contains("chmod 600")), "{mode:o}");
    }
    fs::write(home.file(), TWO.replace("secret = \"hunter2\"", "secret_command = \"pass x\""))?;
    assert!(Config::load(None, &home.env(&[]))?.warnings().is_empty(), "the way to a secret is none");
    Ok(())
}

#[test]
fn nothing_prints_a_secret() -> Test {
    let home = Home::new(
        r#"
[remotes.a]
provider = "openhosting"
url = "https://h/"
secret = "hunter2-a"
[remotes.b]
provider = "crosspeer"
url = "http://h/"
secret_command = "echo hunter2-b"
[remotes.c]
provider = "spotcloud"
url = "https://h/"
consumer_key = "k"
consumer_secret = "hunter2-c"
token = "t"
token_secret = "hunter2-d"
[remotes.d]
provider = "openhosting"
url = "https://u:hunter2-e@h/"
[remotes.e]
provider = "openhosting"
url = "https://h/"
secret = "hunter2-f"
secret_command = "echo hunter2-g"
"#,
    )?;
    let env =
        home.env(&[("OHURI", "https://h/"), ("OHAUTH", "u:hunter2-h"), ("EHURI", "https://hunter2@h/")]);
    let config = Config::load(None, &env)?;
    let mut shown =
        format!("{env:?} {:?} {:#?} {:?}", config.summaries(), config.summaries(), config.warnings());
    for name in config.names() {
        let remote = config.remote(&name);
        write!(shown, "{remote:?} {remote:#?} {:?} {:?}", config.show(&name)?, config.check(&name, &env))?;
        if let Ok(remote) = remote {
            write!(shown, "{:?} {}", remote.secret(&env), remote.secret_source())?;
            write!(shown, "{:?}", remote.check_plain_http())?;
        }
    }
    write!(shown, "{config:?} {config:#?}")?;
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("OHAUTH (hidden)"), "{shown}");
    Ok(())
}
