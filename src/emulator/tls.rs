//! TLS of the listeners, with a certificate that was given or one that the emulator makes.
//!
//! The emulator's own certificate is self-signed and kept, so that a client that trusts it once need not do
//! so again. A client trusts it by naming its file as a certificate authority.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// How long the emulator's own certificate is valid.
const VALID: Duration = Duration::from_hours(365 * 24);

/// A certificate that is valid for less than this is replaced.
const MARGIN: Duration = Duration::from_hours(24);

/// The certificate and key that a listener presents.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Leaves out the key.
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads a certificate, with its chain to an authority, and its private key, all in PEM.
    ///
    /// # Errors
    /// Fails if either is not PEM of its kind, or if they do not belong together. The error does not show the
    /// key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> io::Result<Tls> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(format!("the certificate cannot be read: {error}")))?;
        if certificates.is_empty() {
            return Err(invalid("there is no certificate in PEM"));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| invalid(format!("the private key cannot be read: {error}")))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| invalid(format!("certificate and key cannot be used: {error}")))?;
        Ok(Tls { config: Arc::new(config) })
    }

    /// Opens the emulator's own certificate, from `cert.pem` and `key.pem` in a directory. They are created
    /// if they are missing, do not name this machine's loopback and all of `addresses`, or expire within a
    /// day. Also returns the certificate's path.
    ///
    /// # Errors
    /// Fails if the directory cannot be used.
    pub fn own(dir: &Path, addresses: &[IpAddr]) -> io::Result<(Tls, PathBuf)> {
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let names = names(addresses);
        if let (Ok(certificate_pem), Ok(key_pem)) = (std::fs::read(&certificate), std::fs::read(&key))
            && is_good(&certificate_pem, &names)
            && let Ok(tls) = Tls::from_pem(&certificate_pem, &key_pem)
        {
            return Ok((tls, certificate));
        }
        let (certificate_pem, key_pem) = make(&names).map_err(io::Error::other)?;
        let tls = Tls::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes())?;
        std::fs::create_dir_all(dir)?;
        // The key first: a certificate without its key would look like a damaged pair.
        replace(dir, &key, key_pem.as_bytes())?;
        replace(dir, &certificate, certificate_pem.as_bytes())?;
        Ok((tls, certificate))
    }

    /// Returns the acceptor that performs the handshake of a connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Returns the names that a certificate must have.
fn names(addresses: &[IpAddr]) -> Vec<String> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut names = vec!["localhost".to_owned()];
    for address in loopback.iter().chain(addresses) {
        let name = address.to_string();
        // Nobody connects to the unspecified address.
        if !address.is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns whether a client that trusts only this certificate would accept it, under all names, a day from
/// now.
fn is_good(pem: &[u8], names: &[String]) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(pem) else { return false };
    let mut roots = RootCertStore::empty();
    if roots.add(certificate.clone()).is_err() {
        return false;
    }
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
    else {
        return false;
    };
    let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + MARGIN);
    names.iter().all(|name| {
        ServerName::try_from(&**name)
            .is_ok_and(|name| verifier.verify_server_cert(&certificate, &[], &name, &[], then).is_ok())
    })
}

/// Creates a certificate and its key, in PEM.
fn make(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "diskferry emulator");
    params.distinguished_name = name;
    // A server's certificate, not an authority's: it can vouch only for itself.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = std::time::SystemTime::now();
    // A client's clock may be behind.
    params.not_before = (now - MARGIN).into();
    params.not_after = (now + VALID).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file in one step, readable only by its owner.
fn replace(dir: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(contents)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message.into())
}
