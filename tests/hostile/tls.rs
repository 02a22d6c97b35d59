//! TLS as the client meets it: a certificate that is good, expired, early, for another name, of an unknown authority; and an
//! authority of the remote's own.

use super::world::{DRIVE, Ended, World};
use diskferry::emulator::{Config, Emulator, Tls};
use diskferry::provider::Provider;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(40);
const DAY: Duration = Duration::from_hours(24);

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// A server's certificate for a name, good from and until so many days from now.
    fn signs(&self, name: &str, days: (i32, i32)) -> Tls {
        let at = |days: i32| {
            let span = DAY * days.unsigned_abs();
            if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (at(days.0).into(), at(days.1).into());
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Tls::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

/// What becomes of a call and of an upload to a server with this certificate. `ca_file` is what the remote trusts.
fn ask(tls: Tls, ca_file: Option<&str>, upload: bool) -> (Ended, usize) {
    let data = tempfile::tempdir().unwrap();
    let config = Config { tls: Some(tls), ..Config::new(Provider::OpenHosting, data.path(), "u", "s") };
    let emulator = Emulator::start_logged(config).unwrap();
    let world = World::new(&emulator.url());
    if let Some(pem) = ca_file {
        world.trust(pem);
    }
    let ended = if upload {
        let image = world.image(100_000);
        world.run(LIMIT, &["upload", &image, "oh:", "--retries", "2"])
    } else {
        world.run(LIMIT, &["drive", "list", "oh:", "--retries", "2"])
    };
    (ended, emulator.log().len())
}

#[test]
fn a_remotes_own_authority_is_trusted() {
    let authority = Authority::new("ours");
    for upload in [false, true] {
        let (ended, requests) = ask(authority.signs("127.0.0.1", (-1, 30)), Some(&authority.pem), upload);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(requests > 0);
    }
}

#[test]
fn a_certificate_that_is_not_good_is_told_apart_and_sent_nothing() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (tls, ca_file, says) in [
        (ours.signs("127.0.0.1", (-1, 30)), None, "UnknownIssuer"),
        (ours.signs("127.0.0.1", (-1, 30)), Some(&theirs.pem), "UnknownIssuer"),
        (ours.signs("127.0.0.1", (-30, -1)), Some(&ours.pem), "expired"),
        (ours.signs("127.0.0.1", (1, 30)), Some(&ours.pem), "not valid yet"),
        (ours.signs("example.org", (-1, 30)), Some(&ours.pem), "not valid for name"),
    ] {
        for upload in [false, true] {
            let (ended, requests) = ask(tls.clone(), ca_file.map(|pem| &**pem), upload);
            assert_eq!((ended.code, requests), (1, 0), "{}", ended.stderr);
            let stderr = &ended.stderr;
            assert!(stderr.contains("certificate") && stderr.contains(says), "{says}: {stderr}");
            assert!(stderr.contains("ca_file"), "no hint: {stderr}");
            // Another attempt would meet the same certificate.
            assert!(!stderr.contains("retry") && !stderr.contains("attempts"), "{stderr}");
        }
    }
}

#[test]
fn an_authority_that_is_no_certificate_is_refused_at_once() {
    let authority = Authority::new("ours");
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let (ended, requests) = ask(authority.signs("127.0.0.1", (-1, 30)), Some(text), false);
        assert_eq!((ended.code, requests), (2, 0), "{text:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("ca_file"), "{}", ended.stderr);
    }
}

#[test]
fn http_and_https_are_not_mixed_up() {
    let plain = super::server::start(|_| super::server::done());
    let secure = World::new(&plain.replace("http:", "https:"));
    secure
        .run(LIMIT, &["drive", "info", &format!("oh:{DRIVE}"), "--retries", "0"])
        .failed(1, &["no connection"]);
    let authority = Authority::new("ours");
    let data = tempfile::tempdir().unwrap();
    let tls = Some(authority.signs("127.0.0.1", (-1, 30)));
    let config = Config { tls, ..Config::new(Provider::OpenHosting, data.path(), "u", "s") };
    let emulator = Emulator::start_logged(config).unwrap();
    let clear = World::new(&emulator.url().replace("https:", "http:"));
    let ended = clear.run(LIMIT, &["drive", "list", "oh:", "--retries", "0"]);
    assert!(ended.code != 0 && emulator.log().is_empty(), "{}", ended.stderr);
}
