//! The features of a server (ovirt-imageio, docs/images.md, "OPTIONS"), and whether it is on this machine.

use super::transfer::{Request, Transfer};
use crate::error::{Error, Kind, Result};
use crate::transport::client::text;
use reqwest::Method;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The longest reply to OPTIONS: a few names and numbers.
const LONGEST: usize = 64 << 10;

/// The most concurrent requests, whatever a server allows.
const MOST: usize = 1024;

/// The longest path of a Unix socket (`sun_path` of unix(7)).
const LONGEST_SOCKET: usize = 107;

/// User ids below this belong to the system and its services (`SYS_UID_MAX` of login.defs(5)).
const PEOPLE: u32 = 1000;

/// What a server supports for a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list of features, as the server has it")]
pub struct ServerFeatures {
    /// Whether it can zero ranges.
    pub zero: bool,
    /// Whether it flushes only on request.
    pub flush: bool,
    /// Whether it lists extents.
    pub extents: bool,
    /// Whether it computes checksums.
    pub checksum: bool,
    /// Whether the ticket allows writes, as far as the server says so (`Allow`).
    pub writable: bool,
    /// The most concurrent reads.
    pub max_readers: usize,
    /// The most concurrent writes; more may damage the image.
    pub max_writers: usize,
    /// The socket on which it listens locally. A name that begins with a NUL is an abstract socket.
    pub unix_socket: Option<PathBuf>,
}

impl ServerFeatures {
    /// Queries the server, in one attempt.
    pub(super) async fn ask(transfer: &Transfer) -> Result<Self> {
        let answer = transfer.send(Request::new(Method::OPTIONS, "")).await?;
        // Older servers support only GET and PUT (docs/images.md, "OPTIONS", "Errors").
        if matches!(answer.status(), 204 | 405) {
            return Self::read(&Options::default(), "GET, PUT");
        }
        let mut answer = transfer.granted(answer, 200).await?;
        let allow = text(answer.headers(), "allow");
        let body = answer.at_most(LONGEST).await?;
        let options: Options = serde_json::from_slice(&body).map_err(|e| {
            Error::new(Kind::Protocol, "the server's reply to OPTIONS is not JSON")
                .source(e)
                .hint("another server or a proxy may have replied: check the remote's url and the network")
        })?;
        Self::read(&options, &allow)
    }

    fn read(options: &Options, allow: &str) -> Result<Self> {
        let has = |feature: &str| options.features.iter().any(|has| has == feature);
        let most =
            |most: Option<u64>| most.map_or(1, |most| usize::try_from(most).unwrap_or(MOST).clamp(1, MOST));
        let socket = match &options.unix_socket {
            Some(socket) if socket.len() > LONGEST_SOCKET => {
                return Err(Error::new(
                    Kind::Protocol,
                    "the server reports a Unix socket of an invalid length",
                ));
            }
            Some(socket) if socket.starts_with(['/', '\0']) => Some(PathBuf::from(socket)),
            _ => None,
        };
        Ok(Self {
            zero: has("zero"),
            flush: has("flush"),
            extents: has("extents"),
            checksum: has("checksum"),
            writable: allow.split(',').any(|method| method.trim() == "PUT"),
            max_readers: most(options.max_readers),
            max_writers: most(options.max_writers),
            unix_socket: socket,
        })
    }

    /// Returns the socket if a server listens there that may be this one.
    ///
    /// Anybody can take an abstract name first, and a port may be forwarded to another machine's server. The
    /// ticket is not sent to a process of another user.
    pub(super) async fn reachable_socket(&self) -> Option<&Path> {
        let socket = self.unix_socket.as_deref()?;
        let peer = UnixStream::connect(socket).await.ok()?.peer_cred().ok()?;
        (peer.uid() < PEOPLE || peer.uid() == rustix::process::geteuid().as_raw()).then_some(socket)
    }
}

/// The reply to OPTIONS.
#[derive(Debug, Default, Deserialize)]
struct Options {
    #[serde(default)]
    features: Vec<String>,
    max_readers: Option<u64>,
    max_writers: Option<u64>,
    unix_socket: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, allow: &str) -> Result<ServerFeatures> {
        ServerFeatures::read(&serde_json::from_str(json).unwrap(), allow)
    }

    #[test]
    fn what_a_server_does_not_say_it_cannot() {
        let nothing = read("{}", "GET, PUT").unwrap();
        assert_eq!((nothing.max_readers, nothing.max_writers), (1, 1));
        assert!(!(nothing.zero || nothing.flush || nothing.extents || nothing.checksum) && nothing.writable);
        assert_eq!(nothing.unix_socket, None);
    }

    #[test]
    fn what_a_server_says_has_bounds() {
        let all = read(
            r#"{"unix_socket":"\u0000/org/ovirt/imageio","features":["extents","zero","flush","x"],
                "max_readers":0,"max_writers":18446744073709551615}"#,
            "OPTIONS,GET",
        )
        .unwrap();
        assert_eq!((all.max_readers, all.max_writers), (1, MOST));
        assert!(all.zero && all.flush && all.extents && !all.checksum && !all.writable);
        assert_eq!(all.unix_socket, Some("\0/org/ovirt/imageio".into()));
        assert_eq!(read(r#"{"unix_socket":"relative"}"#, "").unwrap().unix_socket, None);
        let long = format!(r#"{{"unix_socket":"/{}"}}"#, "x".repeat(LONGEST_SOCKET));
        assert_eq!(read(&long, "").unwrap_err().kind(), Kind::Protocol);
    }
}
