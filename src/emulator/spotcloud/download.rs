//! The bytes of an appliance (SpotCloud Buyer API 1.2, 3.5). The manual promises only these; the faults
//! decide whether there are ranges, validators and redirects.

use super::Site;
use super::reply::{Refusal, respond};
use crate::emulator::faults::{Etag, Ranges};
use crate::emulator::stream::{Reading, streamed};
use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE,
};
use axum::http::request::Parts;
use axum::response::Response;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::Ordering;

/// The path of the redirects' targets.
pub(crate) const BLOBS: &str = "blobs";

/// `GET /api/v1/download/appliance/{key}`
pub(super) fn download(site: &Site, head: &Parts, root: &str, key: &str) -> Result<Response<Body>, Refusal> {
    let path = path_of(site, key)?;
    if site.dealer.redirects(key) {
        let mut response = respond(302, "text/plain", "The appliance is elsewhere\n");
        set(&mut response, LOCATION, &format!("{root}/{BLOBS}/{}", site.ticket(key)));
        return Ok(response);
    }
    whole_or_part(site, head, &path)
}

/// `GET /blobs/{ticket}`: an address that is itself the credential. It accepts no other.
pub(super) fn blob(site: &Site, head: &Parts, ticket: &str) -> Result<Response<Body>, Refusal> {
    if head.headers.contains_key(AUTHORIZATION) {
        return Err(Refusal::new(400, "This address takes no Authorization"));
    }
    let appliance = site.appliances.iter().find(|appliance| site.ticket(&appliance.key) == ticket);
    let appliance = appliance.ok_or_else(|| Refusal::missing("address"))?;
    whole_or_part(site, head, &path_of(site, &appliance.key)?)
}

fn path_of(site: &Site, key: &str) -> Result<std::path::PathBuf, Refusal> {
    Ok(site.appliance(&*site.accounts.read()?, key)?.path.clone())
}

fn whole_or_part(site: &Site, head: &Parts, path: &Path) -> Result<Response<Body>, Refusal> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let len = metadata.len();
    let etag = match site.dealer.etag() {
        Etag::Stands => Some(format!("\"{:x}-{:x}-{len:x}\"", metadata.mtime(), metadata.mtime_nsec())),
        Etag::Missing => None,
        Etag::Changing => Some(format!("\"{}\"", site.sent.fetch_add(1, Ordering::Relaxed))),
    };
    let modified = metadata.modified().map(httpdate::fmt_http_date).ok().filter(|_| etag.is_some());
    let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let stands = header(IF_RANGE)
        .is_none_or(|known| [&etag, &modified].into_iter().any(|ours| ours.as_deref() == Some(known)));
    let ranges = site.dealer.ranges();
    let asked = match ranges {
        Ranges::Ignored => None,
        _ => header(RANGE).filter(|_| stands).map(|range| span(range, len)),
    };
    let mut response = match asked {
        Some(None) => {
            let mut response = respond(416, "text/plain", "There is nothing there\n");
            set(&mut response, CONTENT_RANGE, &format!("bytes */{len}"));
            response
        }
        Some(Some((from, to))) => {
            // Another range of the same length.
            let shift = if ranges == Ranges::Wrong { u64::from(to + 1 < len) } else { 0 };
            let (from, to) = (from + shift, to + shift);
            let mut response = respond(206, "application/octet-stream", bytes(file, from, to + 1)?);
            set(&mut response, CONTENT_RANGE, &format!("bytes {from}-{to}/{len}"));
            response
        }
        None => respond(200, "application/octet-stream", bytes(file, 0, len)?),
    };
    if ranges != Ranges::Ignored {
        set(&mut response, ACCEPT_RANGES, "bytes");
    }
    for (name, value) in [(ETAG, etag), (LAST_MODIFIED, modified)] {
        if let Some(value) = value {
            set(&mut response, name, &value);
        }
    }
    Ok(response)
}

fn bytes(file: File, from: u64, to: u64) -> io::Result<Body> {
    let read = move |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at)?;
        Ok(Bytes::from(bytes))
    };
    let (first, rest) = Reading::new(read, from, to).next()?;
    Ok(streamed(first, rest))
}

/// Returns the first and the last byte of a range (RFC 9110, section 14.1.2), or `None` if there is nothing
/// there. A header that cannot be parsed, or that has several ranges, means the whole file.
fn span(range: &str, size: u64) -> Option<(u64, u64)> {
    let last = size.checked_sub(1)?;
    let all = Some((0, last));
    let Some((from, to)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return all;
    };
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => (from <= last).then_some((from, to.min(last))),
        (Ok(from), Err(_)) if to.is_empty() => (from <= last).then_some((from, last)),
        (Err(_), Ok(len)) if from.is_empty() => (len > 0).then_some((size.saturating_sub(len), last)),
        _ => all,
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // A value that cannot be in a header is left out, and the client sees that it is missing.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn ranges_are_those_of_the_standard() {
        for (range, expected) in [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=2-5", Some((2, 5))),
            ("bytes=8-99", Some((8, 9))),
            ("bytes=8-", Some((8, 9))),
            ("bytes=-3", Some((7, 9))),
            ("bytes=-99", Some((0, 9))),
            ("bytes=-0", None),
            ("bytes=10-", None),
            ("bytes=10-12", None),
            ("bytes=5-2", Some((0, 9))),
            ("bytes=0-1,3-4", Some((0, 9))),
            ("lines=0-1", Some((0, 9))),
        ] {
            assert_eq!(span(range, 10), expected, "{range}");
        }
        assert_eq!(span("bytes=0-0", 0), None);
    }
}
