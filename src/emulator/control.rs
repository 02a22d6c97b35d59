//! Steers a [`Fleet`] over HTTP, with small JSON bodies, on an address of its own.
//!
//! The address is loopback, and requests that a web page makes are refused: whoever reaches this listener can
//! delete the emulators' data.

mod calls;

use super::fleet::Fleet;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::response::Response;
use calls::{Refusal, Reply, carry_out};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The largest body in bytes: a rule of a few fields.
const LONGEST: usize = 64 << 10;

/// How long to wait after a connection could not be accepted, for example because the process is out of
/// descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// The control listener. It stops when dropped.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    /// Dropped to stop; the thread is then joined.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The emulators that the listener steers.
struct Steered {
    fleet: Arc<Fleet>,
    /// Whether the data outlives the process, so that a reset has to say that it may be removed.
    keeps: bool,
}

impl Control {
    /// Starts listening on a thread of its own. `keeps` says that the emulators' data outlives the process; a
    /// reset then has to say that it may be removed.
    ///
    /// # Errors
    /// Fails if the address is not loopback or cannot be listened on.
    pub fn start(address: SocketAddr, fleet: Arc<Fleet>, keeps: bool) -> io::Result<Control> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{address} can be reached by other machines; expected a loopback address"),
            ));
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let steered = Arc::new(Steered { fleet, keeps });
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = &mut stopped => {}
                    () = accept(listener, steered) => {}
                }
            });
        })?;
        Ok(Control { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the listener's URL, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of the control address panicked");
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, steered: Arc<Steered>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let steered = Arc::clone(&steered);
        tokio::spawn(async move {
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                let steered = Arc::clone(&steered);
                async move { Ok::<_, Infallible>(answer(steered, request.map(Body::new)).await) }
            });
            // An error here means that the client went away or does not speak HTTP.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(steered: Arc<Steered>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let outcome = match (from_a_page(&head), to_bytes(body, LONGEST).await) {
        (true, _) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a web page may not steer the emulator",
            "use a client that sends no Origin, and the address as it was printed",
        )),
        (false, Err(_)) => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than the 64 KiB limit",
            "send one JSON object",
        )),
        (false, Ok(body)) => {
            // A reset blocks until the emulators have stopped.
            let done = tokio::task::spawn_blocking(move || carry_out(&steered, &head, &body)).await;
            done.unwrap_or_else(|error| {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Err(Refusal::new(status, format!("the request broke off: {error}"), "start `serve` again"))
            })
        }
    };
    let (status, kind, body) = match outcome {
        Ok(Reply::Json(value)) => (StatusCode::OK, "application/json", format!("{value}\n")),
        Ok(Reply::Lines(lines)) => (StatusCode::OK, "application/x-ndjson", lines),
        Err(Refusal { status, error, hint }) => {
            (status, "application/json", format!("{}\n", json!({ "error": error, "hint": hint })))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    }
    response
}

/// Returns whether a browser sends this for a web page: it has an `Origin`, or the `Host` is a name that DNS
/// leads here.
fn from_a_page(head: &Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let own = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    head.headers.contains_key(ORIGIN) || !own
}
