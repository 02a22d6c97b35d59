//! TLS of the listeners: a certificate that was given, or one of the emulator's own making.
//!
//! One of its own is signed with its own key and is kept, so that who trusts it once need not do so again. A client
//! trusts it by naming its file as a certificate authority.

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

/// How long a certificate of the emulator's own is good for.
const VALID: Duration = Duration::from_hours(365 * 24);

/// One that is good for less than this is made anew.
const MARGIN: Duration = Duration::from_hours(24);

/// What a listener shows to its clients.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.write_str("Tls")
    }
}

impl Tls {
    /// A certificate with those that lead from it to an authority, and its private key, all in PEM.
    ///
    /// # Errors
    /// Either is no PEM of its kind, or they do not belong together; the error does not show the key.
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

    /// The emulator's own certificate, from `cert.pem` and `key.pem` in a directory. They are made if they are not
    /// there, do not name this machine's loopback and all of `addresses`, or will not be valid a day from now. Also
    /// gives the certificate's file.
    ///
    /// # Errors
    /// The directory cannot be used.
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
        // The key first: a certificate without its key would be taken for a pair that was damaged.
        replace(dir, &key, key_pem.as_bytes())?;
        replace(dir, &certificate, certificate_pem.as_bytes())?;
        Ok((tls, certificate))
    }

    /// What takes a connection through its handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The names that a certificate has to have.
fn names(addresses: &[IpAddr]) -> Vec<String> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut names = vec!["localhost".to_owned()];
    for address in loopback.iter().chain(addresses) {
        let name = address.to_string();
        // Nobody connects to the address that stands for all of them.
        if !address.is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whether a client that trusts this certificate and no other would take it, under all names, a day from now.
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

/// A certificate and its key, in PEM.
fn make(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "diskferry emulator");
    params.distinguished_name = name;
    // A server's and not an authority's: it can vouch for nothing but itself.
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

/// Puts a file in its place, whole, readable by its owner alone.
fn replace(dir: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(contents)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message.into())
}
