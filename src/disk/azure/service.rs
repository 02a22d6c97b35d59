//! Requests to the blob service: URLs, headers, the exchange, and checks of the reply.

use super::refusal;
use super::sas::SasToken;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::address;
use crate::transport::client::{Options, text};
use crate::transport::http::{Answer, Http, Outbound};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use std::ops::Range;
use std::sync::Arc;
use url::form_urlencoded;

/// The service version to use: the oldest with all features used here, so that it is available wherever page
/// blobs are. CRC64 checksums came with 2019-02-02, partial lists of page ranges with 2020-10-02 (Azure
/// Storage REST reference, `Versioning for the Azure Storage services`, `Get Page Ranges`).
const VERSION: &str = "2020-10-02";

/// The longest name of a blob in characters (`Naming and referencing containers, blobs, and metadata`, `Blob
/// names`).
const LONGEST_NAME: usize = 1024;

/// The longest `ETag` that is accepted. Azure's have 20 characters.
const LONGEST_ETAG: usize = 200;

/// A client for a container, or for a single blob by its own URL. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Service {
    http: Http,
    base: Arc<Url>,
    sas: Arc<SasToken>,
}

/// A request, without the headers that every request has.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// The name of the blob below the base URL; empty for the base itself.
    pub(super) blob: &'a str,
    /// The query parameters before the token.
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The expected length of the reply's body.
    pub(super) expected: u64,
}

impl<'a> Request<'a> {
    /// Creates a request without a body.
    pub(super) fn new(method: Method, blob: &'a str) -> Self {
        Self { method, blob, query: &[], headers: HeaderMap::new(), body: Bytes::new(), expected: 0 }
    }

    /// Adds a header. All values are made here or were checked, so an invalid one is a bug.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::usage(format!("the value of {name} is not a valid header value")))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Requests a byte range.
    pub(super) fn range(self, range: &Range<u64>) -> Result<Self> {
        self.header("x-ms-range", &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
    }

    /// Makes the request conditional on this `ETag`, if given.
    pub(super) fn if_match(self, etag: Option<&str>) -> Result<Self> {
        match etag {
            Some(etag) => self.header("if-match", etag),
            None => Ok(self),
        }
    }
}

impl Service {
    /// Creates a client for the container or blob at `base`.
    pub(super) fn new(mut base: Url, sas: SasToken, options: &Options, meters: Arc<Meters>) -> Result<Self> {
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::usage("the remote's url has a query or a fragment")
                .hint("move the part after the `?`, which is the SAS token, to the remote's secret"));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        if path.is_empty() {
            return Err(Error::usage("the remote's url has no container")
                .hint("expected a url such as https://ACCOUNT.blob.core.windows.net/CONTAINER"));
        }
        base.set_path(&path);
        let http = Http::new(base.clone(), options, meters)?;
        Ok(Self { http, base: Arc::new(base), sas: Arc::new(sas) })
    }

    /// Returns the URL of the container, without the token.
    pub(super) fn address(&self) -> &Url {
        &self.base
    }

    /// Returns the URL of a blob with a query and the token.
    fn url(&self, blob: &str, query: &[(&str, &str)]) -> Url {
        let mut url = (*self.base).clone();
        if !blob.is_empty()
            && let Ok(mut path) = url.path_segments_mut()
        {
            path.extend(blob.split('/'));
        }
        let mut all = form_urlencoded::Serializer::new(String::new());
        let mut asked = all.extend_pairs(query).finish();
        if !asked.is_empty() {
            asked.push('&');
        }
        // Some servers decode a plus sign as a space and some do not.
        let asked = asked.replace('+', "%20");
        url.set_query(Some(&(asked + self.sas.query())));
        url
    }

    /// Sends a request and waits for the head of the reply, whatever its status.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer> {
        let url = self.url(request.blob, request.query);
        let mut request = request.header("x-ms-version", VERSION)?;
        // The service logs this id (`Monitoring Azure Blob Storage`), so that a request can be found there.
        request = request.header("x-ms-client-request-id", &uuid::Uuid::new_v4().to_string())?;
        request.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let Request { method, headers, body, expected, .. } = request;
        self.http.send(Outbound { method, url, headers, body, expected }).await
    }

    /// Sends a request. A reply with another status is an error.
    pub(super) async fn ask(&self, request: Request<'_>, status: u16) -> Result<Answer> {
        let mut answer = self.send(request).await?;
        if answer.status() == status { Ok(answer) } else { Err(self.refused(&mut answer).await) }
    }

    /// Converts an error reply.
    pub(super) async fn refused(&self, answer: &mut Answer) -> Error {
        let body = answer.error_text().await;
        refusal::error(answer.status(), answer.headers(), &body, &self.sas)
    }
}

/// Returns the `ETag` of a reply, which every reply about a blob has (RFC 9110, 8.8.3).
pub(super) fn etag(headers: &HeaderMap) -> Result<String> {
    let etag = text(headers, header::ETAG.as_str());
    if etag.is_empty() || etag.len() > LONGEST_ETAG || !etag.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::new(Kind::Protocol, "unexpected reply: it has no valid ETag")
            .hint("another server or a proxy may have replied: check the remote's url and the network"));
    }
    Ok(quoted(&etag))
}

/// Returns an `ETag` in quotation marks, which lists of blobs omit.
pub(super) fn quoted(etag: &str) -> String {
    format!("\"{}\"", etag.trim_matches('"'))
}

/// Returns an error if the name of a blob is invalid. An empty name is the blob that the URL itself names.
pub(super) fn check_name(name: &str) -> Result<()> {
    let wrong = |what: &str| Err(Error::usage(format!("invalid name of a blob {name:.80?}: {what}")));
    if name.chars().count() > LONGEST_NAME {
        return wrong("it has more than 1,024 characters");
    }
    if name.chars().any(char::is_control) {
        return wrong("it has control characters");
    }
    // Clients and servers would remove them from the path, encoded or not.
    if name.split('/').any(|part| matches!(part, "." | "..")) {
        return wrong("a part of it is `.` or `..`");
    }
    Ok(())
}

/// Returns an error for a URL that would send the token unencrypted.
pub(super) fn check_transport(url: &Url, allow_http: bool) -> Result<()> {
    if url.scheme() == "https" || allow_http || address::is_loopback(url) {
        return Ok(());
    }
    Err(Error::usage("the SAS token would be sent unencrypted")
        .hint("use a url with https:// for the remote, or set `allow_http = true` in it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::catalogue::secret;

    fn service(url: &str) -> Result<Service> {
        let sas = SasToken::parse("?sv=2020-12-06&sr=c&sp=rw&sig=hunter2%2B%2F").unwrap();
        Service::new(url.parse().unwrap(), sas, &Options::default(), Arc::default())
    }

    #[test]
    fn names_are_encoded_and_the_token_is_kept_as_it_is() {
        let service = service("https://a.blob.core.windows.net/images/").unwrap();
        let url = service.url("web/disk 1?#%2f+ü.vhd", &[("comp", "page"), ("marker", "a b&c")]);
        assert_eq!(
            url.as_str(),
            "https://a.blob.core.windows.net/images/web/disk%201%3F%23%252f+%C3%BC.vhd\
             ?comp=page&marker=a%20b%26c&sv=2020-12-06&sr=c&sp=rw&sig=hunter2%2B%2F"
        );
        let own = service.url("", &[]);
        assert!(own.as_str().starts_with("https://a.blob.core.windows.net/images?sv="), "{own}");
        let shown = secret::url(&url);
        assert!(
            shown.ends_with("?comp=page&marker=a%20b%26c&sv=(hidden)&sr=(hidden)&sp=(hidden)&sig=(hidden)"),
            "{shown}"
        );
        assert!(!format!("{service:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_container_or_no_name_is_refused() {
        for url in ["https://a.blob.core.windows.net/", "https://a/c?sig=hunter2", "https://a/c#x"] {
            let error = service(url).unwrap_err();
            assert!(error.kind() == Kind::Usage && !error.to_string().contains("hunter2"), "{error}");
        }
        for name in ["a/../b", ".", "a\nb", &"x".repeat(1025)] {
            assert_eq!(check_name(name).unwrap_err().kind(), Kind::Usage, "{name}");
        }
        check_name("a//b/.c.").unwrap();
        let http: Url = "http://a.blob.core.windows.net/c".parse().unwrap();
        assert!(check_transport(&http, false).is_err() && check_transport(&http, true).is_ok());
        check_transport(&"http://127.0.0.1:1/a/c".parse().unwrap(), false).unwrap();
    }

    #[test]
    fn an_etag_has_quotation_marks() {
        assert_eq!((quoted("0x8D"), quoted("\"0x8D\"")), ("\"0x8D\"".to_owned(), "\"0x8D\"".to_owned()));
        assert!(etag(&HeaderMap::new()).is_err());
    }
}
