//! Access: passwords, signatures, versions.

use super::client::{Reply, Request, request};
use super::requests::other_key;
use super::{FINGERPRINT, LOGIN, PUBLIC, World, config};
use crate::emulator::Emulator;
use crate::emulator::auth::base64;
use crate::emulator::joyent::public_key::PublicKey;
use crate::emulator::joyent::signature::Claim;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const PRIVATE: &[u8] = include_bytes!("../../../../testdata/keys/test-rsa.pem");

/// The date of the manual's sample, and its signatures with the test key by `openssl dgst -sha256 -sign` and
/// `-sha1`. The manual's own samples show no signature.
const SIGNED: &str = "Sat, 11 Jun 2011 23:56:29 GMT";
const SHA256: &str = "QMt/zJpgT4Xm/QUIv1GNL1GB5J3syK4HZx4X8mzXR8UZ3yqxYUd4YZ6Y3nIEwxJ4cSrdxrOAFfgUNsumWIkD8vykhvGZuzaf\
    0KjviyGk87pSY1BCV5o8X3pn3RB/xU33At1pUwkQ3qcx3p+ITSh5p6dstUsppZIOpoRRS8jpOJ0in40XxWf8UdFBwKZJJw0f\
    xop3gtEkkamzZAz5HUPokuzg2qDpLrGupxuOg3PyXJRhfRn0dh7uWmskKP9LzjgaHm1XN7ByOS25UlMcF1QRiY4pwKmXt906\
    5V7IwBYVPlWHTi1mZcdLfUCPJzase+BpPYyZr1TGrpU8CmQ+y/u6ZA==";
const SHA1: &str = "jNSHLntDVN7opoHuSbVKwTIJkpgozm8tcaj4nAU4aVKQlMCodo4NcebRmMO+51H/O1piHOpzkJ9TmxVWUNeOihfkLfYNpym6\
    qlKZ6s23/h8kQ78iWV5Ocv0YmLDTAXvJIcm/pRge7OSKvbm2gMekwXn89b3LjM0IbnH6Zb0cgsilg/D1fYeA6tYGdau7ZF/Y\
    j58Z8Dp9ebk2GPOLLTSRO/UatDpX8WMfd2DvE5AElrFuMzGmqza42QUdIZhLcgxPs6GcU3s1mrpoDje6xHcOOzZMJHU9ip90\
    a8jvx9HXdno4kwwjJSkmnYEC9l07peP94vyzUf2dkDKHn/ll3OtJYw==";

/// Creates a world whose account has the test key under the name `rsa`.
fn world() -> World {
    let data = tempfile::tempdir().unwrap();
    let keys = vec![("rsa".to_owned(), PUBLIC.to_owned())];
    let emulator = Emulator::start(crate::emulator::Config { keys, ..config(data.path(), "") }).unwrap();
    World { emulator, data }
}

fn sign(text: &str) -> String {
    let der = PrivatePkcs8KeyDer::from_pem_slice(PRIVATE).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    base64(&signature)
}

fn date(off: i64) -> String {
    let off_by = Duration::from_secs(off.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if off < 0 { now - off_by } else { now + off_by })
}

/// Requests the keys with these two headers.
fn ask(world: &World, date: Option<&str>, authorization: &str) -> Reply {
    let request = Request::bare("GET", "/my/keys").header("X-Api-Version", "~6.5");
    let request = request.header("Authorization", authorization);
    world.send(&match date {
        Some(date) => request.header("Date", date),
        None => request,
    })
}

fn signature(key: &str, date: &str) -> String {
    format!("Signature keyId=\"/{LOGIN}/keys/{key}\",algorithm=\"rsa-sha256\" {}", sign(date))
}

fn refused(reply: &Reply) {
    assert_eq!((reply.status, &*reply.code()), (401, "InvalidCredentials"), "{}", reply.text());
    assert!(reply.header("www-authenticate").is_some());
    reply.check(true);
}

#[test]
fn openssl_signs_what_is_verified_here() {
    let key = PublicKey::parse(PUBLIC).unwrap();
    for (algorithm, signature) in [("rsa-sha256", SHA256), ("rsa-sha1", SHA1)] {
        let text = format!("keyId=\"/demo/keys/rsa\",algorithm=\"{algorithm}\" {signature}");
        let claim = Claim::parse(&text).unwrap();
        assert!(claim.is_of(&key, SIGNED), "{algorithm}");
        assert!(!claim.is_of(&key, "Sat, 11 Jun 2011 23:56:30 GMT"), "{algorithm}");
        // The later form of the scheme puts the header's name before its value.
        assert!(!claim.is_of(&key, &format!("date: {SIGNED}")), "{algorithm}");
    }
    let crossed = format!("keyId=\"/demo/keys/rsa\",algorithm=\"rsa-sha1\" {SHA256}");
    assert!(!Claim::parse(&crossed).unwrap().is_of(&key, SIGNED));
}

#[test]
fn public_keys_are_read_as_ssh_keygen_reads_them() {
    let key = PublicKey::parse(PUBLIC).unwrap();
    assert_eq!(key.fingerprint(), FINGERPRINT);
    assert_eq!((key.exponent.len(), key.modulus.len()), (3, 256));
    let blob = PUBLIC.split(' ').nth(1).unwrap();
    for (text, says) in [
        (String::new(), "OpenSSH"),
        ("-----BEGIN PUBLIC KEY-----".to_owned(), "OpenSSH"),
        (format!("ssh-ed25519 {blob}"), "RSA"),
        ("ssh-rsa".to_owned(), "base64"),
        (format!("ssh-rsa *{blob}"), "base64"),
        (format!("ssh-rsa {}", &blob[..blob.len() - 4]), "short"),
        (format!("ssh-rsa {}", base64(b"\0\0\0\x07ssh-dss\0\0\0\x01\x03\0\0\0\x01\x05")), "first word"),
        (format!("ssh-rsa {}", base64(b"\0\0\0\x07ssh-rsa\0\0\0\x01\x83\0\0\0\x01\x05")), "negative"),
        (format!("ssh-rsa {}", base64(b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\xff\xff\xff\xff")), "short"),
    ] {
        let message = PublicKey::parse(&text).unwrap_err();
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn the_password_lets_in_and_another_does_not() {
    let world = world();
    let basic = |pair: &str| ask(&world, None, &format!("Basic {}", base64(pair.as_bytes())));
    assert_eq!(basic("demo:secret: with colon").status, 200);
    refused(&basic("demo:secret"));
    refused(&basic("my:secret: with colon"));
    refused(&ask(&world, None, "Bearer abc"));
    refused(&world.send(&Request::bare("GET", "/my/keys").header("X-Api-Version", "~6.5")));
    let world = World::new("");
    let nobody = world.get("/somebody/keys");
    assert_eq!((nobody.status, &*nobody.code()), (404, "ResourceNotFound"));
    // The operator's account exists ("HTTP Status Codes": no permissions to the specified resource).
    let others = world.get("/admin/keys");
    assert_eq!((others.status, &*others.code()), (403, "NotAuthorized"));
}

#[test]
fn a_signature_lets_in() {
    let world = world();
    let now = date(0);
    for key in ["rsa", FINGERPRINT] {
        let reply = ask(&world, Some(&now), &signature(key, &now));
        assert_eq!(reply.status, 200, "{key}: {}", reply.text());
    }
    let with_headers = signature("rsa", &now).replace("\",algorithm", "\",headers=\"date\",algorithm");
    assert_eq!(ask(&world, Some(&now), &with_headers).status, 200);
    // A key that a call adds works at once, and no longer after it is deleted.
    let fresh = World::new("");
    refused(&ask(&fresh, Some(&now), &signature("late", &now)));
    let key = PUBLIC.replace('+', "%2B").replace(' ', "+");
    assert_eq!(fresh.post("/my/keys", &format!("name=late&key={key}")).status, 201);
    assert_eq!(ask(&fresh, Some(&now), &signature("late", &now)).status, 200);
    assert_eq!(fresh.delete(&format!("/my/keys/{FINGERPRINT}")).status, 204);
    refused(&ask(&fresh, Some(&now), &signature("late", &now)));
}

#[test]
fn what_the_server_of_the_time_refused_is_refused() {
    let world = world();
    let now = date(0);
    let right = signature("rsa", &now);
    refused(&ask(&world, None, &right));
    refused(&ask(&world, Some(&date(-1000)), &right));
    refused(&ask(&world, Some(&now), &signature("rsa", &date(5))));
    refused(&ask(&world, Some(&now), &signature("none", &now)));
    refused(&ask(&world, Some(&now), &right.replace("/demo/", "/my/")));
    refused(&ask(&world, Some(&now), &right.replace("/demo/", "/other/")));
    refused(&ask(&world, Some(&now), &right.replace("\"/demo/keys/rsa\"", "/demo/keys/rsa")));
    let later = right.replace("rsa-sha256\" ", "rsa-sha256\",signature=\"") + "\"";
    refused(&ask(&world, Some(&now), &later));
    // Both sides of the limit, with a margin for the second that may pass meanwhile.
    for (off, status) in [(-298, 200), (298, 200), (-302, 401), (302, 401)] {
        let then = date(off);
        assert_eq!(ask(&world, Some(&then), &signature("rsa", &then)).status, status, "{off}");
    }
}

#[test]
fn a_version_has_to_be_named_that_is_served() {
    let world = World::new("");
    let version = |range: &str| world.send(&request("GET", "/my/keys").instead("X-Api-Version", range));
    assert_eq!(version(">=6.1 <7 || ~9").status, 200);
    for range in ["~7.0", "latest"] {
        let reply = version(range);
        assert_eq!((reply.status, &*reply.code()), (449, "InvalidVersion"));
        assert_eq!(reply.reason, "Retry With");
        reply.check(true);
    }
    let none =
        Request::bare("GET", "/my/keys").header("Authorization", "Basic ZGVtbzpzZWNyZXQ6IHdpdGggY29sb24=");
    assert_eq!(world.send(&none).status, 449);
}

#[test]
fn keys_have_names_and_fingerprints() {
    let world = World::new("");
    let key = PUBLIC.trim().replace('+', "%2B").replace(' ', "+");
    let made = world.post("/my/keys", &format!("key={key}"));
    assert_eq!(made.status, 201, "{}", made.text());
    let json = made.json();
    assert_eq!((json["name"].as_str(), json["key"].as_str()), (Some(FINGERPRINT), Some(PUBLIC.trim())));
    assert_eq!(world.get(&format!("/my/keys/{FINGERPRINT}")).json(), json);
    for (form, code) in [
        (format!("name=again&key={key}"), "InvalidArgument"),
        (format!("name={FINGERPRINT}&key={}", other_key()), "InvalidArgument"),
        ("name=bad&key=ssh-rsa+AAAA".to_owned(), "InvalidArgument"),
        ("name=none".to_owned(), "MissingParameter"),
    ] {
        let reply = world.post("/my/keys", &form);
        assert_eq!((reply.status, &*reply.code()), (409, code), "{form}");
    }
    assert_eq!(
        world.post(&format!("/my/keys?name=other&key={}", other_key()), "").status,
        201,
        "by the query"
    );
    assert_eq!(world.get("/my/keys").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_damaged_key_stops_the_start_and_is_named() {
    let data = tempfile::tempdir().unwrap();
    let keys = vec![("mine".to_owned(), "ssh-rsa AAAA".to_owned())];
    let refused = Emulator::start(crate::emulator::Config { keys, ..config(data.path(), "") }).unwrap_err();
    assert!(refused.to_string().contains("mine"), "{refused}");
}
