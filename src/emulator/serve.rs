//! The accept loop and the connections.

use super::exchange::Exchanges;
use super::line::{Handle, Line, Pace, Socket};
use super::tls::Tls;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long to wait after a connection could not be accepted, for example because the process is out of
/// descriptors: long enough not to spin, short enough not to be noticed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Serves until `stop` fires or its sender is dropped; then every connection is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    tls: Option<Tls>,
    mut stop: oneshot::Receiver<()>,
) {
    let tls = tls.map(|tls| tls.acceptor());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Counted before the next connection is accepted.
                    let active = exchanges.activity.begin();
                    let served = connection(stream, Arc::clone(&exchanges), exchanges.pace(), tls.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(active);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            // Removes finished connections as they end.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(
    stream: TcpStream,
    exchanges: Arc<Exchanges>,
    pace: Option<Arc<Pace>>,
    tls: Option<TlsAcceptor>,
) {
    // Replies are small or written in large pieces: waiting to fill a segment only delays them. If this
    // fails, replies are slower, not wrong.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let mut http = http1::Builder::new();
    if let Some(pace) = &pace {
        http.max_buf_size(pace.step().max(16 << 10));
    }
    let socket = Socket::new(stream, Arc::clone(&line), pace);
    match tls {
        None => exchange(&http, socket, exchanges, &line).await,
        // TLS runs over the socket: a fault that ends the line ends both.
        Some(tls) => match tls.accept(socket).await {
            Ok(stream) => exchange(&http, stream, exchanges, &line).await,
            Err(error) => tracing::debug!("a connection did not get as far as TLS: {error}"),
        },
    }
}

/// Answers the requests on a connection.
async fn exchange<S>(http: &http1::Builder, stream: S, exchanges: Arc<Exchanges>, line: &Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let (exchanges, line) = (Arc::clone(&exchanges), Arc::clone(line));
        async move { exchanges.answer(line, request).await }
    });
    let mut stream = Handle::new(stream);
    tokio::select! {
        // An error here means that the client went away or does not speak HTTP.
        served = http.serve_connection(TokioIo::new(stream.again()), service) => {
            if let Err(error) = served {
                tracing::debug!("a connection ended: {error}");
            }
        }
        // Dropping the connection closes or resets its socket.
        () = line.ended() => {}
    }
    if let Some(endless) = line.filling() {
        endless.send(&mut stream).await;
    }
}
