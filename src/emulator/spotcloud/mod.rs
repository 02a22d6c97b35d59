//! SpotCloud Buyer API 1.2: appliances to download, and machines of several providers to run them.
//!
//! A request is admitted by its OAuth signature ([`oauth`]), and only once: a nonce cannot be used again.
//! [`tokens`] issues the tokens, and [`resources`] has the other calls, over [`state`] and the fixed
//! [`market`]. [`download`] sends the bytes. Replies are JSON or XML ([`reply`]), as the path's extension
//! says.

mod download;
mod market;
mod oauth;
mod reply;
mod resources;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

pub use oauth::is_signed;

use super::faults::Dealer;
use super::form::{Malformed, Parameters};
use super::front::Front;
use super::{Config, Service};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::Response;
pub(super) use download::BLOBS;
use oauth::{Presented, decode, is_form, url_of};
use reply::{Format, Node, Refusal, respond};
use state::{Account, Accounts, Token};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The largest deviation of a request's clock, in seconds. The manual names no bound; OAuth servers of its
/// time allowed minutes.
const SKEW: u64 = 300;

/// The longest body in bytes: a form of a few fields.
const LONGEST: usize = 1 << 20;

/// The key of the public appliance.
const PUBLIC: &str = "public-tiny";

/// The key of an instance, an appliance and a provider that belong to another client: 401 (2.2.4, 3.3.4,
/// 4.2.4).
const FOREIGN: &str = "another";

/// The state that all calls share.
struct Site {
    consumer: Token,
    /// The token that exists without an exchange: the same two words as the consumer's.
    ready: Token,
    accounts: Accounts,
    appliances: Vec<Appliance>,
    /// What the account can spend, in hundredths of a dollar, if it is limited.
    balance: Option<u64>,
    secure: bool,
    dealer: Arc<Dealer>,
    /// The number of replies with bytes.
    sent: AtomicU64,
    /// Used nonces, with their tokens and times.
    nonces: Mutex<HashSet<(String, String, u64)>>,
}

/// An appliance in the emulator's storage.
struct Appliance {
    key: String,
    path: PathBuf,
    public: bool,
}

impl Site {
    /// Returns an appliance that exists.
    fn appliance(&self, account: &Account, key: &str) -> Result<&Appliance, Refusal> {
        let there = !account.deleted.iter().any(|deleted| deleted == key);
        let found = self.appliances.iter().find(|appliance| appliance.key == key).filter(|_| there);
        found.ok_or_else(|| match key {
            FOREIGN => Refusal::not_yours("appliance"),
            _ => Refusal::missing("appliance"),
        })
    }

    /// Returns an appliance that the user may change.
    fn own(&self, account: &Account, key: &str) -> Result<&Appliance, Refusal> {
        let appliance = self.appliance(account, key)?;
        if appliance.public { Err(Refusal::not_yours("appliance")) } else { Ok(appliance) }
    }

    /// Returns the unsigned address of an appliance's bytes, which only redirected clients know.
    fn ticket(&self, key: &str) -> String {
        let words = [&*self.consumer.secret, key].join("\0");
        super::auth::base64(words.as_bytes()).replace(['+', '/', '='], "-")
    }

    /// Admits a signed request.
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Refusal> {
        let no = |why: &str| Err(Refusal::new(401, format!("OAuth: {why}")));
        let presented = Presented::of(head, body);
        if presented.get("oauth_signature_method") != Some("HMAC-SHA1") {
            return no("the signature method is HMAC-SHA1");
        }
        if presented.get("oauth_version").is_some_and(|version| version != "1.0") {
            return no("the version is 1.0");
        }
        if presented.get("oauth_consumer_key") != Some(&self.consumer.key) {
            return no("the consumer is not known");
        }
        let key = presented.get("oauth_token").unwrap_or_default();
        let secret = match words(head.uri.path()).as_slice() {
            ["_ah", "OAuthGetRequestToken"] if key.is_empty() => Some(String::new()),
            ["_ah", "OAuthGetRequestToken"] => None,
            ["_ah", _] => {
                let account = self.accounts.read()?;
                account.requests.iter().find(|r| r.token.key == key).map(|r| r.token.secret.clone())
            }
            _ if key == self.ready.key => Some(self.ready.secret.clone()),
            _ => {
                let account = self.accounts.read()?;
                account.tokens.iter().find(|token| token.key == key).map(|token| token.secret.clone())
            }
        };
        let Some(secret) = secret else { return no("the token is not known") };
        let url = url_of(head, self.secure);
        if !presented.is_signed_by(head.method.as_str(), &url, &self.consumer.secret, &secret) {
            return no("the signature is wrong");
        }
        self.once(key, &presented)
    }

    /// Refuses a time that is too far off, and a request that was sent before.
    fn once(&self, token: &str, presented: &Presented) -> Result<(), Refusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time: Option<u64> = presented.get("oauth_timestamp").and_then(|text| text.parse().ok());
        let Some(time) = time.filter(|time| time.abs_diff(now) <= SKEW) else {
            return Err(Refusal::new(401, "OAuth: the timestamp is missing or too far off"));
        };
        let Some(nonce) = presented.get("oauth_nonce").filter(|nonce| !nonce.is_empty()) else {
            return Err(Refusal::new(401, "OAuth: the nonce is missing"));
        };
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.retain(|(_, _, used)| used.abs_diff(now) <= 2 * SKEW);
        if nonces.insert((token.to_owned(), nonce.to_owned(), time)) {
            return Ok(());
        }
        Err(Refusal::new(401, "OAuth: the nonce was used before"))
    }
}

/// Opens the service over a data directory.
pub(super) fn open(config: Config, dealer: &Arc<Dealer>) -> io::Result<Service> {
    let accounts = Accounts::open(config.data.join("spotcloud.json"), ())?;
    let tiny = config.data.join("tiny.img");
    if !tiny.exists() {
        let line = b"A tiny image, for everybody to try out.\n";
        std::fs::write(&tiny, line.iter().copied().cycle().take(64 << 10).collect::<Vec<u8>>())?;
    }
    let own = config.appliances.into_iter().map(|(key, path)| Appliance { key, path, public: false });
    let public = [Appliance { key: PUBLIC.to_owned(), path: tiny, public: true }];
    let ready = Token { key: config.user, secret: config.secret };
    let site = Arc::new(Site {
        consumer: ready.clone(),
        ready,
        accounts,
        appliances: own.chain(public).collect(),
        balance: config.faults.balance.map(|balance| u64::try_from(balance).unwrap_or(0)),
        secure: config.tls.is_some(),
        dealer: Arc::clone(dealer),
        sent: AtomicU64::new(0),
        nonces: Mutex::default(),
    });
    Ok(Service {
        router: Router::new().fallback(call).with_state(Arc::clone(&site)),
        front: Box::new(Buyer(site)),
        drives: None,
    })
}

/// How SpotCloud handles requests.
struct Buyer(Arc<Site>);

impl Front for Buyer {
    fn signs_body(&self, head: &Parts) -> bool {
        is_form(head)
    }

    fn knows(&self, head: &Parts) -> bool {
        match words(head.uri.path()).as_slice() {
            [BLOBS, ticket] => {
                self.0.appliances.iter().any(|appliance| self.0.ticket(&appliance.key) == *ticket)
            }
            ["_ah", "OAuthAuthorizeToken"] => {
                let token = Parameters::of_query(head.uri.query()).text("oauth_token");
                let account = self.0.accounts.read();
                account.is_ok_and(|account| {
                    account.requests.iter().any(|r| Some(&r.token.key) == token.as_ref())
                })
            }
            _ => true,
        }
    }

    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Response> {
        // The consent page is for a browser, and the target of a redirect is itself a credential.
        match words(head.uri.path()).first().copied() {
            Some("_ah") if head.uri.path().ends_with("/OAuthAuthorizeToken") => Ok(()),
            Some(BLOBS) => Ok(()),
            _ => self.0.admit(head, body).map_err(|refusal| refusal.response()),
        }
    }

    fn route(&self, uri: &Uri) -> Uri {
        uri.clone()
    }

    fn busy(&self) -> Response {
        // The manual has no code for it.
        Refusal::new(503, "Busy; this is a fault made on purpose").response()
    }

    fn unavailable(&self) -> Response {
        Refusal::new(503, "Out of service; this is a fault made on purpose").response()
    }
}

fn words(path: &str) -> Vec<&str> {
    path.split('/').filter(|word| !word.is_empty()).collect()
}

/// Carries out a request.
async fn call(State(site): State<Arc<Site>>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match to_bytes(body, LONGEST).await {
        Ok(body) => body,
        Err(error) => return Refusal::new(400, format!("The body cannot be read: {error}")).response(),
    };
    let done = tokio::task::spawn_blocking(move || {
        route(&site, &head, &body).unwrap_or_else(|refusal| refusal.response())
    });
    done.await.unwrap_or_else(|error| Refusal::new(500, format!("The call broke off: {error}")).response())
}

/// A request that was admitted.
struct Request {
    /// The beginning of the URLs in its replies.
    root: String,
    input: Parameters,
}

impl Request {
    /// Returns the URL of an object.
    fn uri(&self, kind: &str, key: &str) -> Node {
        format!("{}/api/v1/buyer/{kind}/{key}.json", self.root).into()
    }
}

fn route(site: &Site, head: &Parts, body: &[u8]) -> Result<Response<Body>, Refusal> {
    let url = url_of(head, site.secure);
    let root = url.strip_suffix(head.uri.path()).unwrap_or(&url).to_owned();
    let input = match Parameters::read(head.uri.query(), &head.headers, body) {
        Ok(input) => input,
        // A body of another type is not for this service.
        Err(Malformed::Type(_)) => Parameters::of_query(head.uri.query()),
        Err(Malformed::Body(why)) => return Err(Refusal::new(400, why)),
    };
    let request = &Request { root, input };
    let decoded: Vec<String> = words(head.uri.path()).into_iter().map(decode).collect();
    let get = matches!(head.method, Method::GET | Method::HEAD);
    let method = if get { "GET" } else { head.method.as_str() };
    let post = head.method == Method::POST;
    let wrong = || Err(Refusal::new(405, format!("{} is not for this path", head.method)));
    let path: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["_ah", "OAuthGetRequestToken"] if get || post => tokens::request(site, &Presented::of(head, body)),
        ["_ah", "OAuthGetAccessToken"] if get || post => tokens::access(site, &Presented::of(head, body)),
        ["_ah", "OAuthAuthorizeToken"] if get || post => {
            let token = request.input.text("oauth_token").unwrap_or_default();
            tokens::authorize(site, &token, request.input.text("oauth_callback").as_deref())
        }
        ["blobs", ticket] if get => download::blob(site, head, ticket),
        ["api", "v1", "download", "appliance", key] if get => {
            download::download(site, head, &request.root, key)
        }
        ["api", "v1", "buyer", kind, last] => buyer(site, request, method, kind, last),
        ["_ah", ..] | ["blobs", _] | ["api", "v1", "download", ..] if !get => wrong(),
        _ => Err(Refusal::missing("path")),
    }
}

/// Carries out a call of the buyer's API.
fn buyer(
    site: &Site,
    request: &Request,
    method: &str,
    kind: &str,
    last: &str,
) -> Result<Response<Body>, Refusal> {
    let (name, format) = match Format::split(last) {
        Some(split) => split,
        // The manual prints DELETE without an extension.
        None if method == "DELETE" => (last, Format::Json),
        None => return Err(Refusal::missing("path")),
    };
    let found = match (kind, name, method) {
        ("instances", "list", "GET") => resources::instances(site, request)?,
        ("instances", "list", "POST") => {
            return format.respond(201, &resources::create_instance(site, request)?);
        }
        ("instance", key, "GET") => resources::instance(site, request, key)?,
        ("instance", key, "DELETE") => {
            resources::delete_instance(site, key)?;
            return Ok(respond(204, "text/plain", String::new()));
        }
        ("appliances", "list", "GET") => resources::appliances(site, request, false)?,
        ("appliances", "public", "GET") => resources::appliances(site, request, true)?,
        ("appliance", key, "GET") => resources::appliance(site, request, key)?,
        ("appliance", key, "PUT") => resources::rename(site, request, key)?,
        ("appliance", key, "DELETE") => {
            resources::delete_appliance(site, key)?;
            return Ok(respond(204, "text/plain", String::new()));
        }
        ("providers", "list", "GET") => resources::providers(request),
        ("provider", key, "GET") => resources::provider(request, key)?,
        // `list` is not a key: the manual uses the same word for one and for all.
        ("hardware", "list", "GET") => resources::hardware_list(request),
        ("hardware", key, "GET") => resources::hardware(request, key)?,
        (
            "instances" | "instance" | "appliances" | "appliance" | "providers" | "provider" | "hardware",
            ..,
        ) => {
            return Err(Refusal::new(405, format!("{method} is not for this path")));
        }
        _ => return Err(Refusal::missing("path")),
    };
    format.respond(200, &found)
}
