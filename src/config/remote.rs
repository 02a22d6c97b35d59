//! A remote that is ready for use: its provider, base URL, credentials and origin.
//!
//! The base URL has no credentials, no query and no trailing slash, but keeps its path. [`join`] never
//! produces `//`.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use crate::transport::address::{is_loopback, join, squeeze};

use super::environment::expand_home;
use super::profile::Profile;
use super::secret::SecretSource;
use super::service::{DiskService, Service};
use crate::provider::Provider;
use crate::{Error, Result};

/// A cloud account, or the built-in emulator.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The name, without the colon.
    pub name: String,
    /// The provider.
    pub provider: Service,
    /// The address.
    pub endpoint: Endpoint,
    /// The user of HTTP Basic: a UUID, an e-mail address or a login.
    pub user: Option<String>,
    /// Whether requests may be sent unencrypted to another machine.
    pub allow_http: bool,
    /// A PEM file with authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Joyent: the login, used in paths and key ids.
    pub account: Option<String>,
    /// Joyent: the name of the key on the account.
    pub key_id: Option<String>,
    /// Joyent: the private key's file; the SSH agent is used if `None`.
    pub identity: Option<PathBuf>,
    /// `SpotCloud`: the key of the OAuth consumer.
    pub consumer_key: Option<String>,
    /// `SpotCloud`: the secret of the OAuth consumer.
    pub consumer_secret: Option<SecretString>,
    /// `SpotCloud`: the OAuth access token.
    pub token: Option<String>,
    /// `SpotCloud`: the secret of the OAuth access token.
    pub token_secret: Option<SecretString>,
    /// Where it was defined.
    pub origin: Origin,
    pub(super) secret: SecretSource,
}

/// The address of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The built-in emulator.
    Local,
    /// A base URL.
    Url(Url),
}

/// Where a remote was defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    BuiltIn,
    /// In the configuration file.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The first line of the remote.
        line: usize,
    },
    /// By these environment variables.
    Environment(Vec<&'static str>),
}

/// The authentication scheme of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// HTTP Basic with the user and [`Remote::secret`].
    Basic,
    /// OAuth 1.0a with the consumer and the token.
    OAuth,
    /// HTTP Signature with the account, the key id, and a private key.
    Signature,
    /// [`Remote::secret`] alone, if any: a ticket, a token in the URL, or nothing.
    Bearer,
}

impl Remote {
    /// Creates a remote without credentials, for the emulator and for tests.
    pub fn new(name: impl Into<String>, provider: impl Into<Service>, endpoint: Endpoint) -> Self {
        Remote {
            name: name.into(),
            provider: provider.into(),
            endpoint,
            user: None,
            allow_http: false,
            ca_file: None,
            account: None,
            key_id: None,
            identity: None,
            consumer_key: None,
            consumer_secret: None,
            token: None,
            token_secret: None,
            origin: Origin::BuiltIn,
            secret: SecretSource::None,
        }
    }

    /// Returns the built-in emulator in Open Hosting's dialect.
    pub fn local() -> Self {
        Self::new(super::LOCAL, Provider::OpenHosting, Endpoint::Local)
    }

    /// Sets Basic credentials.
    #[must_use]
    pub fn with_credentials(mut self, user: impl Into<String>, secret: SecretString) -> Self {
        self.user = Some(user.into());
        self.secret = SecretSource::Value(secret);
        self
    }

    /// Sets the base URL, for example that of `local:` once its emulator listens.
    #[must_use]
    pub fn at(mut self, base: Url) -> Self {
        self.endpoint = Endpoint::Url(base);
        self
    }

    /// Returns the URL of a path below the base URL. `local:` has one only once its emulator listens, see
    /// [`Remote::at`].
    pub fn url_for(&self, path: &str) -> Result<Url> {
        match &self.endpoint {
            Endpoint::Url(base) => Ok(join(base, path)),
            Endpoint::Local => Err(Error::usage(format!("{}: is built in and has no URL", self.name))),
        }
    }

    /// Returns the authentication scheme. Joyent signs with a key unless a secret and no key is configured.
    pub fn auth_scheme(&self) -> AuthScheme {
        match self.provider {
            Service::Disks(_) => AuthScheme::Bearer,
            Service::Api(Provider::SpotCloud) => AuthScheme::OAuth,
            Service::Api(Provider::Joyent)
                if self.key_id.is_some() || self.identity.is_some() || !self.has_secret() =>
            {
                AuthScheme::Signature
            }
            Service::Api(_) => AuthScheme::Basic,
        }
    }

    /// Refuses plain http to other machines, unless the remote has `allow_http = true`.
    ///
    /// This applies to every scheme: Basic sends the secret; an OAuth login receives the token's secret; an
    /// intercepted signature can be replayed, for minutes if only the date is signed; and the data is not
    /// protected.
    pub fn check_plain_http(&self) -> Result<()> {
        let Endpoint::Url(url) = &self.endpoint else { return Ok(()) };
        // NBD has no credentials, and its addresses say whether they are encrypted.
        let safe = url.scheme() != "http" || self.allow_http || is_loopback(url);
        if safe {
            return Ok(());
        }
        let what = match self.auth_scheme() {
            AuthScheme::Basic => "its credentials",
            AuthScheme::OAuth => "its tokens and signed requests",
            AuthScheme::Signature => "its signed requests",
            AuthScheme::Bearer => "its ticket or token",
        };
        let hint = match &self.origin {
            Origin::Environment(names) => format!(
                "use https in {}, or define the remote in the configuration file with `allow_http = true`",
                names.first().unwrap_or(&"the variable")
            ),
            _ => format!("use https, or add `allow_http = true` to `[remotes.{}]`", self.name),
        };
        Err(Error::usage(format!(
            "remote {} ({}): {what} would be sent unencrypted, over plain http to {}",
            self.name,
            self.origin,
            url.host_str().unwrap_or_default()
        ))
        .hint(hint))
    }
}

/// Creates a remote from its profile. Relative paths start from the directory `base`.
pub(super) fn resolve(
    name: &str,
    profile: &Profile,
    origin: Origin,
    base: Option<&Path>,
    home: Option<&Path>,
) -> Result<Remote> {
    let context = |e: Error| e.context(format_args!("remote {name} ({origin})"));
    let provider = profile.check().map_err(context)?;
    let url = profile.url.as_deref().ok_or_else(|| {
        context(
            Error::usage("the key `url` is missing")
                .hint("set `url` to the address of the API, https://HOST/"),
        )
    })?;
    let endpoint = Endpoint::Url(parse_address(url, provider).map_err(context)?);
    let path = |path: Option<&PathBuf>| -> Result<Option<PathBuf>> {
        let Some(path) = path else { return Ok(None) };
        let path = expand_home(path, home).map_err(context)?;
        Ok(Some(base.map_or_else(|| path.clone(), |base| base.join(&path))))
    };
    let secret = if let Some(secret) = &profile.secret {
        SecretSource::Value(secret.clone())
    } else if let Some(file) = path(profile.secret_file.as_ref())? {
        SecretSource::File(file)
    } else if let Some(command) = &profile.secret_command {
        SecretSource::Command(command.clone())
    } else {
        SecretSource::None
    };
    // Joyent's account is also the user of Basic.
    let (mut user, mut account) = (profile.user.clone(), profile.account.clone());
    if provider == Service::Api(Provider::Joyent) {
        user = user.or_else(|| account.clone());
        account = account.or_else(|| user.clone());
    }
    Ok(Remote {
        user,
        allow_http: profile.allow_http.unwrap_or(false),
        ca_file: path(profile.ca_file.as_ref())?,
        account,
        key_id: profile.key_id.clone(),
        identity: path(profile.identity.as_ref())?,
        consumer_key: profile.consumer_key.clone(),
        consumer_secret: profile.consumer_secret.clone(),
        token: profile.token.clone(),
        token_secret: profile.token_secret.clone(),
        secret,
        origin,
        ..Remote::new(name, provider, endpoint)
    })
}

/// Parses the address of a remote: a base URL, or an NBD URI (NBD, doc/uri.md).
pub fn parse_address(text: &str, service: Service) -> Result<Url> {
    const FORM: &str = "nbd://HOST, nbds://HOST for TLS, or nbd+unix:///?socket=PATH";
    if service != Service::Disks(DiskService::Nbd) {
        return parse_base(text);
    }
    let url =
        Url::parse(text.trim()).map_err(|e| Error::usage(format!("cannot parse the url: {e}")).hint(FORM))?;
    if !is_nbd(&url) {
        return Err(Error::usage("the url is not an NBD URI").hint(FORM));
    }
    Ok(url)
}

fn is_nbd(url: &Url) -> bool {
    matches!(url.scheme(), "nbd" | "nbds" | "nbd+unix" | "nbds+unix")
}

/// Returns whether a URL may be shown. An invalid one may contain credentials.
pub(super) fn is_presentable(text: &str) -> bool {
    parse_base(text).is_ok() || Url::parse(text.trim()).is_ok_and(|url| is_nbd(&url))
}

/// Parses a base URL. Errors do not contain the text, since it may contain credentials.
pub fn parse_base(text: &str) -> Result<Url> {
    const FORM: &str = "expected a url such as https://api.example.com/ or https://api.example.com/api";
    let text = text.trim();
    if let Some(host) = host_alone(text) {
        return Err(Error::usage("the url has no scheme").hint(format!("did you mean `https://{host}`?")));
    }
    let mut url =
        Url::parse(text).map_err(|e| Error::usage(format!("cannot parse the url: {e}")).hint(FORM))?;
    if !matches!(url.scheme(), "http" | "https") || !text.contains("://") {
        return Err(Error::usage("the url does not begin with https:// or http://").hint(FORM));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage("the url contains credentials, which would end up in logs")
            .hint("remove USER:SECRET@ from the url, and set `user` and `secret_command` instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::usage("the url has a query or a fragment (`?` or `#`)").hint(FORM));
    }
    let path = squeeze(url.path());
    url.set_path(path.trim_end_matches('/'));
    Ok(url)
}

/// A host, with a port and a path maybe, that lacks nothing but the scheme of a URL; `None` for anything that may hold more.
fn host_alone(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let (host, rest) = text.split_once(':').unwrap_or((text, ""));
    let port = rest.split('/').next().unwrap_or_default();
    let is_host = host.contains('.') || host.starts_with("localhost");
    let is_whole = is_host && port.bytes().all(|b| b.is_ascii_digit()) && !rest.starts_with('/');
    (is_whole && text.len() <= 255 && host.chars().chain(rest.chars()).all(plain)).then_some(text)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Local => f.write_str("built-in emulator"),
            Endpoint::Url(url) => f.write_str(url.as_str()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
