//! TLS round trips with a client that trusts only one certificate.

use super::client::{Client, Ending, exchange, request};
use super::config;
use crate::emulator::{Config, Emulator, FaultKind, Tls};
use std::io::{self, BufReader};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Sends a request over TLS to a name, trusting one file.
fn ask(emulator: &Emulator, trusted: &Path, name: &str) -> io::Result<super::Reply> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(emulator.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    match exchange(&mut stream, &request("GET", "/my/datacenters"))? {
        Ending::Reply(reply) => Ok(reply),
        // The connection ended without TLS's closing alert, or in the middle of the body.
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn start(data: &Path, faults: &str, tls: Tls) -> Emulator {
    Emulator::start_logged(Config { tls: Some(tls), ..config(data, faults) }).unwrap()
}

#[test]
fn its_own_certificate_is_good_for_loopback() {
    let data = tempfile::tempdir().unwrap();
    let address: IpAddr = [192, 0, 2, 1].into();
    let (tls, file) = Tls::own(&data.path().join("tls"), &[address]).unwrap();
    let emulator = start(data.path(), "", tls);
    assert_eq!(emulator.url(), format!("https://{}/", emulator.address()));
    for name in ["localhost", "127.0.0.1", "::1", "192.0.2.1"] {
        let reply = ask(&emulator, &file, name).unwrap();
        assert_eq!(reply.status, 200, "{name}");
        reply.check(true);
        assert_eq!(reply.json()["emulated"], "https://api.example.com");
    }
    assert!(ask(&emulator, &file, "example.com").is_err());
    let (_, other) = Tls::own(&data.path().join("other"), &[]).unwrap();
    assert!(ask(&emulator, &other, "localhost").is_err(), "not trusted");
    let plain = Client::new(emulator.address()).send(&request("GET", "/my/datacenters"));
    assert!(!matches!(plain, Ending::Reply(_)), "not over TCP alone");
}

#[test]
fn its_own_certificate_is_kept_while_it_serves() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let read = || std::fs::read(dir.join("cert.pem")).unwrap();
    Tls::own(dir, &[]).unwrap();
    let first = read();
    let mode = std::fs::metadata(dir.join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    Tls::own(dir, &[[127, 0, 0, 1].into(), [0, 0, 0, 0].into()]).unwrap();
    assert_eq!(read(), first, "kept");
    Tls::own(dir, &[[192, 0, 2, 1].into()]).unwrap();
    let second = read();
    assert_ne!(second, first, "it lacked an address");
    std::fs::write(dir.join("key.pem"), "damaged").unwrap();
    Tls::own(dir, &[]).unwrap();
    assert_ne!(read(), second, "its key was damaged");
}

#[test]
fn a_pair_that_does_not_fit_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, certificate) = Tls::own(one.path(), &[]).unwrap();
    Tls::own(other.path(), &[]).unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let (certificate, wrong) = (read(&certificate), read(&other.path().join("key.pem")));
    let right = read(&one.path().join("key.pem"));
    assert!(Tls::from_pem(&certificate, &right).is_ok());
    for (certificate, key) in [(&certificate, &wrong), (&right, &right), (&certificate, &certificate)] {
        let error = Tls::from_pem(certificate, key).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(!error.to_string().contains("PRIVATE"), "{error}");
    }
    assert_eq!(format!("{:?}", Tls::from_pem(&certificate, &right).unwrap()), "Tls");
}

#[test]
fn faults_break_the_line_under_tls() {
    for (faults, kind) in [("reset=1", FaultKind::Reset), ("short=1", FaultKind::Short)] {
        let data = tempfile::tempdir().unwrap();
        let (tls, file) = Tls::own(&data.path().join("tls"), &[]).unwrap();
        let emulator = start(data.path(), faults, tls);
        let error = ask(&emulator, &file, "localhost").unwrap_err();
        let silence = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        assert!(!silence, "{faults}: {error}");
        assert_eq!((emulator.faults_dealt(), emulator.log()[0].fault), (1, Some(kind)), "{faults}");
    }
}
