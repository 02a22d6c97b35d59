//! Deliberately wrong replies: pages, redirects, bombs, and bodies that are corrupted, too long or endless.

use super::faults::WrongBytes;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use flate2::{Compression, write::GzEncoder};
use http_body::{Body as _, Frame, SizeHint};
use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to our network</title></head>\n\
                    <body><h1>Please log in to use the Internet</h1></body></html>\n";

/// What a bomb unpacks to: the number of members, and the size of each in bytes.
const BOMB: (usize, usize) = (256, 64 << 20);

/// Returns the page of a captive portal, with a status that means success.
pub(super) fn page(random: u64) -> Response {
    let statuses = [StatusCode::OK, StatusCode::ACCEPTED, StatusCode::PARTIAL_CONTENT];
    let at = usize::try_from(random % 3).unwrap_or(0);
    reply(statuses[at], "text/html; charset=utf-8", PAGE)
}

/// Returns a reply with only a body and its media type.
pub(super) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Returns 307 to an address of this emulator that does not exist, so that the log shows a client that
/// follows it.
pub(super) fn redirect(head: &Parts, scheme: &str) -> Response {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut response = reply(StatusCode::TEMPORARY_REDIRECT, "text/html; charset=utf-8", PAGE);
    let location = format!("{scheme}://{host}/elsewhere{}", head.uri.path());
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Returns 200 with a body that unpacks to a thousand times its size.
pub(super) fn bomb() -> Response {
    // One gzip member; a body of many such members is valid too (RFC 1952, section 2.2).
    static MEMBER: OnceLock<Bytes> = OnceLock::new();
    let member = MEMBER.get_or_init(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        // Writing to memory does not fail, and a truncated bomb would still explode.
        let whole = (0..BOMB.1 / zeros.len()).try_for_each(|_| encoder.write_all(&zeros));
        whole.and_then(|()| encoder.finish()).unwrap_or_default().into()
    });
    let pieces = std::iter::repeat_n(member.clone(), BOMB.0).collect();
    let mut response =
        reply(StatusCode::OK, "application/octet-stream", Body::new(Followed::new(None, pieces)));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// Returns a response to a create that is not an object with a UUID.
pub(super) fn nameless() -> Response {
    let mut response = reply(StatusCode::OK, "text/plain", "status creating\n");
    let shape = HeaderName::from_static("x-elastic-output");
    response.headers_mut().insert(shape, HeaderValue::from_static("properties"));
    response
}

/// Appends bytes to a body, with a length that counts them.
pub(super) fn lengthened(response: Response, random: u64) -> Response {
    let (mut head, body) = response.into_parts();
    // The router has set the correct length.
    head.headers.remove(CONTENT_LENGTH);
    let more = usize::try_from(random % 8192).unwrap_or(0) + 1;
    let more = VecDeque::from([Bytes::from(vec![0x55; more])]);
    Response::from_parts(head, Body::new(Followed::new(Some(body), more)))
}

/// A body, if any, followed by pieces.
struct Followed {
    body: Option<Body>,
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Followed {
    fn new(body: Option<Body>, pieces: VecDeque<Bytes>) -> Self {
        let before = body.as_ref().map_or(0, |body| body.size_hint().lower());
        let left = before + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Followed { body, pieces, left }
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(body) = &mut self.body {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.left -= frame.data_ref().map_or(0, |data| data.len() as u64).min(self.left);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.body = None,
            }
        }
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64).min(self.left);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Flips one bit of a body, and returns whether there was a byte to flip it in.
pub(super) fn bent(response: Response, wrong: &WrongBytes) -> (Response, bool) {
    let len = response.body().size_hint().lower();
    if len == 0 {
        return (response, false);
    }
    let (head, body) = response.into_parts();
    let (at, bit) = wrong.bit(len);
    (Response::from_parts(head, Body::new(Bent { body, left: at, bit: Some(bit) })), true)
}

struct Bent {
    body: Body,
    /// Bytes before the one to flip.
    left: u64,
    bit: Option<u8>,
}

impl http_body::Body for Bent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_data() => {
                let data = frame.into_data().unwrap_or_default();
                let len = data.len() as u64;
                let here = usize::try_from(self.left).ok().filter(|at| *at < data.len());
                let data = match here.zip(self.bit) {
                    Some((at, bit)) => {
                        self.bit = None;
                        let mut bytes = data.to_vec();
                        bytes[at] ^= bit;
                        bytes.into()
                    }
                    None => data,
                };
                self.left = self.left.saturating_sub(len);
                Some(Ok(Frame::data(data)))
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sends the body of a reply one byte at a time. A reply without a body gets one that never ends.
pub(super) fn dripping(response: Response, every: Duration) -> Response {
    let (head, body) = response.into_parts();
    let mut tick = interval(every.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if body.size_hint().exact() == Some(0) {
        let endless = Drip { body: None, tick, ready: Bytes::new(), left: None };
        return reply(StatusCode::OK, "text/plain", Body::new(endless));
    }
    let left = body.size_hint().exact();
    Response::from_parts(head, Body::new(Drip { body: Some(body), tick, ready: Bytes::new(), left }))
}

struct Drip {
    body: Option<Body>,
    tick: Interval,
    ready: Bytes,
    /// `None` if the length is unknown or the body never ends.
    left: Option<u64>,
}

impl http_body::Body for Drip {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.ready.is_empty() {
            let Some(body) = &mut self.body else {
                self.ready = Bytes::from_static(b"\n");
                break;
            };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.ready = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        ready!(self.tick.poll_tick(cx));
        self.left = self.left.map(|left| left.saturating_sub(1));
        Poll::Ready(Some(Ok(Frame::data(self.ready.split_to(1)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
