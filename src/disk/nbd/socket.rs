//! The byte stream to a server: TCP or a Unix socket, optionally with TLS.

use super::NbdOptions;
use super::address::{NbdAddress, Place};
use super::failure::disconnected;
use crate::error::{Error, Kind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The send buffer of a Unix socket in bytes, twice the default of Linux (`wmem_default`,
/// Documentation/admin-guide/sysctl/net.rst). With it the two ends wait for each other a third as often. With
/// several times as much, data leaves the processor's cache before it is read. A TCP socket tunes itself.
const UNIX_SEND_BUFFER: usize = 416 << 10;

/// The reading half of a connection.
pub(super) type Reading = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// The writing half of a connection.
pub(super) type Writing = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// A connection before it is split.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<Socket>>),
}

/// The TLS configuration and the name to verify.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl Socket {
    /// Connects without sending anything.
    pub(super) async fn connect(address: &NbdAddress) -> Result<Self> {
        let connected = match address.place() {
            Place::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await.and_then(|tcp| {
                // A request is written at once, and waiting for more would only delay it.
                tcp.set_nodelay(true)?;
                Ok(Socket::Tcp(tcp))
            }),
            Place::Unix(path) => UnixStream::connect(path).await.map(|unix| {
                // A failure is harmless: the default works as well.
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(&unix, UNIX_SEND_BUFFER);
                Socket::Unix(unix)
            }),
        };
        connected.map_err(|e| disconnected(format!("cannot connect to {address}")).source(e))
    }

    /// Encrypts the connection. No received data may be buffered at this point.
    pub(super) async fn encrypt(self, tls: &Tls) -> Result<Self> {
        let encrypted = tls.connector.connect(tls.server_name.clone(), self).await;
        let stream = encrypted.map_err(|e| {
            // A certificate that is not trusted will not be trusted on the next attempt.
            let tls = e.get_ref().and_then(|e| e.downcast_ref::<tokio_rustls::rustls::Error>());
            let kind = if tls.is_some() { Kind::Auth } else { Kind::Connection };
            Error::new(kind, "the TLS handshake with the NBD server failed").source(e)
        })?;
        Ok(Socket::Tls(Box::new(stream)))
    }

    /// Splits the connection into two halves for concurrent use.
    pub(super) fn split(self) -> (Reading, Writing) {
        match self {
            Socket::Tcp(tcp) => {
                let (reading, writing) = tcp.into_split();
                (Box::new(reading), Box::new(writing))
            }
            Socket::Unix(unix) => {
                let (reading, writing) = unix.into_split();
                (Box::new(reading), Box::new(writing))
            }
            tls @ Socket::Tls(_) => {
                let (reading, writing) = tokio::io::split(tls);
                (Box::new(reading), Box::new(writing))
            }
        }
    }
}

impl Tls {
    /// Creates the configuration for a server, or `None` if its address does not use TLS.
    pub(super) fn new(address: &NbdAddress, options: &NbdOptions) -> Result<Option<Self>> {
        if !address.tls() {
            return Ok(None);
        }
        let failed = |e: tokio_rustls::rustls::Error| Error::new(Kind::Io, "cannot set up TLS").source(e);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let config = if let Some(pem) = &options.ca_pem {
            builder.with_root_certificates(roots(pem)?)
        } else {
            // The roots of this machine, by the verifier that the HTTP client uses.
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(failed)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let name = address.server_name();
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|e| Error::usage(format!("`{name}` is not a valid name of a TLS server")).source(e))?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config.with_no_client_auth())), server_name }))
    }
}

/// Parses the trusted certificates of a PEM file; no others are trusted.
fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let wrong = || Error::usage("the remote's `ca_file` holds no certificate in PEM");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| wrong().source(e))?;
        roots.add(certificate).map_err(|e| wrong().source(e))?;
    }
    if roots.is_empty() {
        return Err(wrong());
    }
    Ok(roots)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_read(cx, into),
            Socket::Unix(unix) => Pin::new(unix).poll_read(cx, into),
            Socket::Tls(tls) => Pin::new(tls).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Socket::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Socket::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Socket::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
            Socket::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_flush(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
