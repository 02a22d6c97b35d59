//! What a server says that it can do (ovirt-imageio, docs/images.md, "OPTIONS"), and whether it is on this
//! machine.

use super::transfer::{Request, Transfer};
use crate::error::{Error, Kind, Result};
use crate::transport::client::text;
use reqwest::Method;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The longest answer to OPTIONS: a few names and numbers.
const LONGEST: usize = 64 << 10;

/// The most requests at a time that are ever made, whatever a server allows.
const MOST: usize = 1024;

/// The longest path of a unix socket (`sun_path` of unix(7)).
const LONGEST_SOCKET: usize = 107;

/// The user ids below this are those of the system and its servers (`SYS_UID_MAX` of login.defs(5)).
const PEOPLE: u32 = 1000;

/// What a server can do for one ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list of features, as the server has it")]
pub struct ServerFeatures {
    /// Whether it makes zeros by itself.
    pub zero: bool,
    /// Whether it flushes only when it is asked to.
    pub flush: bool,
    /// Whether it has a list of extents.
    pub extents: bool,
    /// Whether it computes checksums.
    pub checksum: bool,
    /// Whether the ticket allows writes, as far as the server says it (`Allow`).
    pub writable: bool,
    /// The most reads at a time.
    pub max_readers: usize,
    /// The most writes at a time: more may damage the image.
    pub max_writers: usize,
    /// The socket on which it listens on its own machine; one that begins with a NUL has no place in the file
    /// system.
    pub unix_socket: Option<PathBuf>,
}

impl ServerFeatures {
    /// Asks the server, in one attempt.
    pub(super) async fn ask(transfer: &Transfer) -> Result<Self> {
        let answer = transfer.send(Request::new(Method::OPTIONS, "")).await?;
        // Servers of before this request know nothing but GET and PUT (docs/images.md, "OPTIONS", "Errors").
        if matches!(answer.status(), 204 | 405) {
            return Self::read(&Options::default(), "GET, PUT");
        }
        let mut answer = transfer.granted(answer, 200).await?;
        let allow = text(answer.headers(), "allow");
        let body = answer.at_most(LONGEST).await?;
        let options: Options = serde_json::from_slice(&body).map_err(|e| {
            Error::new(Kind::Protocol, "the server does not say what it can do: no JSON")
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
                    "the server names a unix socket of an impossible length",
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

    /// The socket, if the server behind it may be this one: somebody listens there who may be a server.
    ///
    /// A name without a place in the file system is anybody's who takes it first, and so is a port that leads
    /// to another machine's server. The ticket is not given to another person's process.
    pub(super) async fn reachable_socket(&self) -> Option<&Path> {
        let socket = self.unix_socket.as_deref()?;
        let peer = UnixStream::connect(socket).await.ok()?.peer_cred().ok()?;
        (peer.uid() < PEOPLE || peer.uid() == rustix::process::geteuid().as_raw()).then_some(socket)
    }
}

/// The answer to OPTIONS.
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
