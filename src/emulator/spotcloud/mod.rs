//! SpotCloud Buyer API 1.2: appliances to download, and machines of several providers to run them.
//!
//! A request is let in by its OAuth signature ([`oauth`]), which is checked once and answered once: the same nonce does not
//! come twice. [`tokens`] gives the tokens out, [`resources`] has the rest, over [`state`] and the fixed [`market`];
//! [`download`] sends the bytes. Replies are JSON or XML ([`reply`]) by the ending of the path.

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
use super::form::{boundary, parts};
use super::front::Front;
use super::{Config, Service};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::Response;
pub(super) use download::BLOBS;
use oauth::{Presented, is_form, url_of};
use reply::{Format, Refusal, respond};
use state::{Account, Accounts, Token};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use url::form_urlencoded;

/// How far a request's clock may be off, in seconds. The manual names no bound; OAuth's servers of its time took minutes.
const SKEW: u64 = 300;

/// The longest body: a form of a few fields.
const LONGEST: usize = 1 << 20;

/// The key of the appliance that everybody has.
const PUBLIC: &str = "public-tiny";

/// What all calls share.
struct Site {
    consumer: Token,
    /// The token that is there without any dance: the same two words as the consumer's.
    ready: Token,
    accounts: Accounts,
    appliances: Vec<Appliance>,
    /// Hundredths of a dollar.
    balance: Option<u64>,
    secure: bool,
    dealer: Arc<Dealer>,
    /// Replies with bytes, counted.
    sent: AtomicU64,
    /// Nonces that were used, with their tokens and times.
    nonces: Mutex<HashSet<(String, String, u64)>>,
}

/// An appliance that is kept here.
struct Appliance {
    key: String,
    path: PathBuf,
    public: bool,
}

impl Site {
    /// An appliance that is there.
    fn appliance(&self, account: &Account, key: &str) -> Option<&Appliance> {
        let there = !account.deleted.iter().any(|deleted| deleted == key);
        self.appliances.iter().find(|appliance| appliance.key == key).filter(|_| there)
    }

    /// One that the user may change.
    fn own(&self, account: &Account, key: &str) -> Result<&Appliance, Refusal> {
        let appliance = self.appliance(account, key).ok_or_else(|| Refusal::missing("appliance"))?;
        if appliance.public { Err(Refusal::new(401, "This appliance is not yours")) } else { Ok(appliance) }
    }

    /// The unsigned address of an appliance's bytes: known to whoever was redirected there.
    fn ticket(&self, key: &str) -> String {
        let words = [&*self.consumer.secret, key].join("\0");
        super::auth::base64(words.as_bytes()).replace(['+', '/', '='], "-")
    }

    /// Lets a signed request in.
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
                let requests = self.accounts.read()?.requests;
                requests.into_iter().find(|r| r.token.key == key).map(|r| r.token.secret)
            }
            _ if key == self.ready.key => Some(self.ready.secret.clone()),
            _ => self.accounts.read()?.tokens.into_iter().find(|t| t.key == key).map(|t| t.secret),
        };
        let Some(secret) = secret else { return no("the token is not known") };
        let url = url_of(head, self.secure);
        if !presented.is_signed_by(head.method.as_str(), &url, &self.consumer.secret, &secret) {
            return no("the signature is wrong");
        }
        self.once(key, &presented)
    }

    /// Refuses a time that is off, and what was sent before.
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

/// The service over a data directory.
pub(super) fn open(config: Config, dealer: &Arc<Dealer>) -> io::Result<Service> {
    let accounts = Accounts::open(&config.data)?;
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

/// SpotCloud's way with requests.
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
                let query = head.uri.query().unwrap_or_default();
                let token = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "oauth_token");
                let requests = self.0.accounts.read().map(|account| account.requests).unwrap_or_default();
                token.is_some_and(|(_, token)| requests.iter().any(|request| request.token.key == token))
            }
            _ => true,
        }
    }

    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Response> {
        // The page of consent is for a browser, and what a redirect leads to is good by itself.
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

/// Carries a request out.
async fn call(State(site): State<Arc<Site>>, request: Request) -> Response {
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

fn route(site: &Site, head: &Parts, body: &[u8]) -> Result<Response<Body>, Refusal> {
    let url = url_of(head, site.secure);
    let root = url.strip_suffix(head.uri.path()).unwrap_or(&url).to_owned();
    let (root, input) = (root.as_str(), input(head, body)?);
    let asked: &dyn Fn(&str) -> Option<String> =
        &|name: &str| input.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    let path = words(head.uri.path());
    let decoded: Vec<String> = path.iter().map(|word| decode(word)).collect();
    let get = matches!(head.method, Method::GET | Method::HEAD);
    let method = head.method.as_str();
    let post = head.method == Method::POST;
    let gone = || respond(204, "text/plain", String::new());
    let wrong = || Err(Refusal::new(405, format!("{} is not for this path", head.method)));
    let path: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["_ah", "OAuthGetRequestToken"] if get || post => tokens::request(site, &Presented::of(head, body)),
        ["_ah", "OAuthGetAccessToken"] if get || post => tokens::access(site, &Presented::of(head, body)),
        ["_ah", "OAuthAuthorizeToken"] if get || post => {
            let token = asked("oauth_token").unwrap_or_default();
            tokens::authorize(site, &token, asked("oauth_callback").as_deref())
        }
        ["blobs", ticket] if get => download::blob(site, head, ticket),
        ["api", "v1", "download", "appliance", key] if get => download::download(site, head, root, key),
        ["api", "v1", "buyer", kind, last] => {
            let (name, format) = match Format::split(last) {
                Some((name, format)) => (name, format),
                // A DELETE is printed without an ending.
                None if method == "DELETE" => (*last, Format::Json),
                None => return Err(Refusal::missing("path")),
            };
            let found = match (*kind, name, method) {
                ("instances", "list", "GET" | "HEAD") => resources::instances(site, root, asked)?,
                ("instances", "list", "POST") => {
                    return Ok(format.respond(201, &resources::create_instance(site, root, asked)?));
                }
                ("instance", key, "GET" | "HEAD") => resources::instance(site, root, key)?,
                ("instance", key, "DELETE") => {
                    resources::delete_instance(site, key)?;
                    return Ok(gone());
                }
                ("appliances", "list", "GET" | "HEAD") => resources::appliances(site, root, false)?,
                ("appliances", "public", "GET" | "HEAD") => resources::appliances(site, root, true)?,
                ("appliance", key, "GET" | "HEAD") => resources::appliance(site, root, key)?,
                ("appliance", key, "PUT") => resources::rename(site, root, key, asked)?,
                ("appliance", key, "DELETE") => {
                    resources::delete_appliance(site, key)?;
                    return Ok(gone());
                }
                ("providers", "list", "GET" | "HEAD") => resources::providers(root, asked),
                ("provider", key, "GET" | "HEAD") => resources::provider(root, key)?,
                // `list` is no key: the manual has the same word for one and for all.
                ("hardware", "list", "GET" | "HEAD") => resources::hardware_list(root, asked),
                ("hardware", key, "GET" | "HEAD") => resources::hardware(root, key)?,
                (
                    "instances" | "instance" | "appliances" | "appliance" | "providers" | "provider"
                    | "hardware",
                    ..,
                ) => {
                    return wrong();
                }
                _ => return Err(Refusal::missing("path")),
            };
            Ok(format.respond(200, &found))
        }
        ["_ah", ..] | ["blobs", _] | ["api", "v1", "download", ..] if !get => wrong(),
        _ => Err(Refusal::missing("path")),
    }
}

/// The parameters of the query and of a body, the body's last: a form, a form in parts, or JSON.
fn input(head: &Parts, body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = |form: &[u8]| form_urlencoded::parse(form).into_owned().collect::<Vec<_>>();
    let mut all = pairs(head.uri.query().unwrap_or_default().as_bytes());
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => all.extend(pairs(body)),
        "multipart/form-data" => {
            let fields = boundary(kind).and_then(|boundary| parts(body, &boundary));
            all.extend(
                fields.ok_or_else(|| Refusal::new(400, "The parts of the body cannot be told apart"))?,
            );
        }
        "application/json" if !body.is_empty() => {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)
                .map_err(|error| Refusal::new(400, format!("The body is no JSON object: {error}")))?;
            all.extend(object.into_iter().map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            }));
        }
        _ => {}
    }
    Ok(all)
}

/// A word of a path.
fn decode(word: &str) -> String {
    // In a path a plus is a plus.
    let form = word.replace('+', "%2B");
    let pair = form_urlencoded::parse(form.as_bytes()).next();
    pair.map(|(name, _)| name.into_owned()).unwrap_or_default()
}
