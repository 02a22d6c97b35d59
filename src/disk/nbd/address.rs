//! The address of an export: the four kinds of NBD URI.
//!
//! The syntax is that of the NBD project (doc/uri.md, `NBD URI components`). The `url` crate is not used,
//! because it resolves `..` in the path, and an export name is not a path.

use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// The port assigned by IANA (doc/uri.md, `NBD URI authority`).
pub(super) const DEFAULT_PORT: u16 = 10_809;

/// The longest string that the protocol allows, in bytes (doc/proto.md, `Conventions`).
pub(super) const LONGEST_STRING: usize = 4096;

/// The syntax, shown for an invalid address.
const FORM: &str = "expected nbd://HOST[:10809]/EXPORT, nbds://HOST/EXPORT for TLS, or \
                    nbd+unix:///EXPORT?socket=PATH";

/// The address of an export, or of a server whose export is named separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdAddress {
    place: Place,
    tls: bool,
    /// The name in the server's certificate.
    server_name: String,
    export: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A host (an IPv6 address without brackets) and a port.
    Tcp(String, u16),
    /// A Unix socket of this machine. A name that begins with a NUL is an abstract socket.
    Unix(PathBuf),
}

impl NbdAddress {
    /// Parses a URI.
    ///
    /// # Errors
    /// A usage error for an invalid URI, and for parameters that would be ignored.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::usage(format!("the address `{text}` {what}")).hint(FORM);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("is not an NBD URI".to_owned()));
        };
        let (unix, tls) = match scheme.to_ascii_lowercase().as_str() {
            "nbd" => (false, false),
            "nbds" => (false, true),
            "nbd+unix" => (true, false),
            "nbds+unix" => (true, true),
            other => return Err(wrong(format!("has the unsupported scheme `{other}`"))),
        };
        if rest.contains('#') {
            return Err(wrong("contains a `#`, which must be written `%23`".to_owned()));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let decode = |part: &str| percent_decode(part).map_err(&wrong);
        let export = decode(path)?;
        check_name(&export).map_err(&wrong)?;
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.set(key, decode(value)?).map_err(&wrong)?;
        }
        let (place, host) = match (unix, parameters.socket) {
            (true, Some(socket)) => (unix_place(authority, socket).map_err(&wrong)?, "localhost".to_owned()),
            (true, None) => return Err(wrong("has no socket: `?socket=PATH` is missing".to_owned())),
            (false, Some(_)) => {
                return Err(wrong("has a socket, which only nbd+unix and nbds+unix support".to_owned()));
            }
            (false, None) => {
                let (host, port) = host_and_port(authority).map_err(&wrong)?;
                (Place::Tcp(host.clone(), port), host)
            }
        };
        Ok(Self { place, tls, server_name: parameters.tls_hostname.unwrap_or(host), export })
    }

    /// Returns the address of the export `name` on the same server. `name` is not percent-decoded.
    ///
    /// # Errors
    /// A usage error for an invalid name, or if the address already has another export.
    pub fn with_export(mut self, name: &str) -> Result<Self> {
        check_name(name).map_err(|what| Error::usage(format!("the export `{name}` {what}")))?;
        if !self.export.is_empty() && self.export != name {
            return Err(Error::usage(format!(
                "the address {self} already has the export `{}`, so `{name}` cannot be selected",
                self.export
            ))
            .hint("remove the export from the address"));
        }
        name.clone_into(&mut self.export);
        Ok(self)
    }

    /// Returns the name of the export; empty for the server's default.
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Returns whether the connection must be encrypted.
    pub fn tls(&self) -> bool {
        self.tls
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the name that the server's certificate must have.
    pub(super) fn server_name(&self) -> &str {
        &self.server_name
    }
}

/// Shows the server without its export.
impl fmt::Display for NbdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "nbd{s}://[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "nbd{s}://{host}:{port}"),
            Place::Unix(socket) => write!(f, "nbd{s}+unix://?socket={}", show_path(socket)),
        }
    }
}

fn show_path(path: &Path) -> String {
    path.to_string_lossy().replace('\0', "%00")
}

/// The query parameters of a URI.
#[derive(Default)]
struct Parameters {
    socket: Option<String>,
    tls_hostname: Option<String>,
}

impl Parameters {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match (key, value.as_str()) {
            ("socket", "") => return Err("has an empty socket".to_owned()),
            ("socket", _) => self.socket = Some(value),
            ("tls-hostname", _) => self.tls_hostname = Some(value),
            ("tls-type", "x509") | ("tls-verify-peer", "1") => {}
            ("tls-type", other) => {
                return Err(format!("has the unsupported TLS type `{other}`: expected x509"));
            }
            ("tls-verify-peer", _) => {
                return Err("turns off verification of the server, which is not supported".to_owned());
            }
            (other, _) => return Err(format!("has the unknown parameter `{other}`")),
        }
        Ok(())
    }
}

fn unix_place(authority: &str, socket: String) -> Result<Place, String> {
    if !authority.is_empty() {
        return Err(format!("has both the host `{authority}` and a Unix socket"));
    }
    if socket.char_indices().any(|(at, c)| c == '\0' && at > 0) {
        return Err("has a NUL in the name of the socket".to_owned());
    }
    Ok(Place::Unix(PathBuf::from(socket)))
}

fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("has a user, which only TLS with pre-shared keys uses; that is not supported".to_owned());
    }
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("has a `[` without a `]`")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("has `{host}` where an IPv6 address is expected"));
        }
        (host.to_owned(), port)
    } else {
        let at = authority.find(':').unwrap_or(authority.len());
        (percent_decode(&authority[..at])?, &authority[at..])
    };
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => DEFAULT_PORT,
        Some("") => DEFAULT_PORT,
        Some(number) => number
            .parse()
            .ok()
            .filter(|port| *port > 0 && number.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| format!("has `{number}` where a port is expected"))?,
        None => return Err(format!("has `{port}` after its host")),
    };
    Ok((host, port))
}

/// Returns an error for a name that cannot be sent: "Strings" have at most 4096 bytes and no NUL
/// (doc/proto.md, `Conventions`).
fn check_name(name: &str) -> Result<(), String> {
    if name.len() > LONGEST_STRING {
        return Err(format!("has an export name of more than {LONGEST_STRING} bytes"));
    }
    if name.contains('\0') {
        return Err("has a NUL in the export's name".to_owned());
    }
    Ok(())
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("has a `%` without two hexadecimal digits after it".to_owned());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> (String, u16, String) {
        let address = NbdAddress::parse(text).unwrap();
        match address.place() {
            Place::Tcp(host, port) => (host.clone(), *port, address.export().to_owned()),
            other @ Place::Unix(_) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn exports_are_named_as_the_document_says() {
        for (text, export) in [
            ("nbd://example.com/disk", "disk"),
            ("nbd://example.com/", ""),
            ("nbd://example.com", ""),
            ("nbd://example.com//disk", "/disk"),
            ("nbd://example.com/hello%20world", "hello world"),
            // The export is not a path, so `..` is not resolved.
            ("nbd://example.com/a/../b", "a/../b"),
            ("nbd://example.com/%C3%A4/%23", "ä/#"),
            ("NBD://example.com/X", "X"),
        ] {
            assert_eq!(tcp(text), ("example.com".to_owned(), DEFAULT_PORT, export.to_owned()), "{text}");
        }
        let unix = NbdAddress::parse("nbd+unix:///disk?socket=%2Frun%2Fa%20b.sock").unwrap();
        assert_eq!((unix.export(), unix.place()), ("disk", &Place::Unix("/run/a b.sock".into())));
        assert_eq!(unix.to_string(), "nbd+unix://?socket=/run/a b.sock");
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(tcp("nbd://[::1]:9/x"), ("::1".to_owned(), 9, "x".to_owned()));
        assert_eq!(tcp("nbd://[fe80::2]"), ("fe80::2".to_owned(), DEFAULT_PORT, String::new()));
        assert_eq!(tcp("nbd://10.0.0.1:/x").1, DEFAULT_PORT);
        assert_eq!(NbdAddress::parse("nbds://[::1]/x").unwrap().to_string(), "nbds://[::1]:10809");
        let named = NbdAddress::parse("nbds+unix:///?socket=s&tls-hostname=nbd.example").unwrap();
        assert_eq!((named.tls(), named.server_name()), (true, "nbd.example"));
        assert_eq!(NbdAddress::parse("nbds://h/").unwrap().server_name(), "h");
        assert_eq!(
            NbdAddress::parse("nbd+unix:///?socket=%00/abstract").unwrap().to_string(),
            "nbd+unix://?socket=%00/abstract"
        );
    }

    #[test]
    fn what_would_be_ignored_or_misread_is_refused() {
        let long = format!("nbd://h/{}", "x".repeat(LONGEST_STRING + 1));
        for text in [
            "example.com",
            "http://example.com/",
            "nbd:///disk",
            "nbd://h:x/",
            "nbd://h:0/",
            "nbd://h:+5/",
            "nbd://h:70000/",
            "nbd://[::1/",
            "nbd://[::1]9/",
            "nbd://[h]/",
            "nbd://user@h/",
            "nbd://h/a#b",
            "nbd://h/%",
            "nbd://h/%zz",
            "nbd://h/%ff",
            "nbd://h/%00",
            "nbd://h/?socket=s",
            "nbd+unix:///x",
            "nbd+unix:///x?socket=",
            "nbd+unix://h/x?socket=s",
            "nbd+unix:///x?socket=a%00b",
            "nbds://h/?tls-type=psk",
            "nbds://h/?tls-verify-peer=0",
            "nbds://h/?tls-certificates=/etc",
            long.as_str(),
        ] {
            let error = NbdAddress::parse(text).expect_err(text);
            assert_eq!(error.kind(), crate::error::Kind::Usage, "{text}");
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn the_export_may_be_named_apart_from_the_address() {
        let server = NbdAddress::parse("nbd://h").unwrap();
        assert_eq!(server.clone().with_export("a%20/b").unwrap().export(), "a%20/b");
        assert!(server.clone().with_export("a\0").is_err());
        let named = NbdAddress::parse("nbd://h/a").unwrap();
        assert!(named.clone().with_export("a").is_ok());
        assert!(named.with_export("b").unwrap_err().to_string().contains("already has the export `a`"));
    }
}
