//! The accept loop and the connections.

use super::exchange::Exchanges;
use super::line::{Line, Pace, Socket};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long to wait after a connection could not be accepted, as when the process is out of descriptors: long enough
/// not to spin, short enough not to be noticed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Serves until told to stop, or until whoever could tell is gone; then every connection is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    pace: Option<Arc<Pace>>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&exchanges), pace.clone()));
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            // Finished connections are let go of as they finish.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, exchanges: Arc<Exchanges>, pace: Option<Arc<Pace>>) {
    // Replies are small or written in large pieces: waiting to fill a segment only delays them. Without it they are
    // slower, not wrong.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let mut http = http1::Builder::new();
    if let Some(pace) = &pace {
        http.max_buf_size(pace.step().max(16 << 10));
    }
    let socket = Socket::new(stream, Arc::clone(&line), pace);
    let service = service_fn(|request| {
        let (exchanges, line) = (Arc::clone(&exchanges), Arc::clone(&line));
        async move { exchanges.answer(line, request).await }
    });
    let served = http.serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        // An error here is the client's going away or not speaking HTTP.
        outcome = served => if let Err(error) = outcome {
            tracing::debug!("a connection ended: {error}");
        },
        // Dropping the connection closes or resets its socket.
        () = line.ended() => {}
    }
}
