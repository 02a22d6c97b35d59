//! The fixed newstyle handshake, up to the transmission phase or the list of a server's exports.
//!
//! Every reply is read to its exact length and no further: what follows the last reply belongs to the
//! transmission phase, and what preceded TLS must not be taken for a part of it.

use super::address::LONGEST_STRING;
use super::failure::{Death, option_refused, violation};
use super::protocol::{
    ALLOCATION, BlockSizes, Export, Features, GREETING, OLDSTYLE, OPTION, OPTION_REPLY, handshake, info,
    option, option_reply, title,
};
use super::socket::{Socket, Tls};
use crate::error::{Error, Kind, Result};
use std::fmt::Write as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest option reply: two strings, and room for extensions.
const LONGEST_REPLY: u32 = 16 << 10;

/// The most replies to one option, more than any server has exports.
const MOST_REPLIES: usize = 4096;

/// The longest description in a list that is kept, in bytes.
const LONGEST_DESCRIPTION: usize = 256;

/// How many exports an error names.
const NAMED: usize = 10;

/// The largest size of an export: file offsets have 63 bits.
const LARGEST_EXPORT: u64 = i64::MAX as u64;

/// A connection in its handshake.
pub(super) struct Handshake {
    socket: Socket,
    /// Whether options can be answered.
    fixed: bool,
    /// Whether the reply to `NBD_OPT_EXPORT_NAME` has no padding.
    no_zeroes: bool,
}

/// A reply to an option.
struct OptionReply {
    kind: u32,
    data: Vec<u8>,
}

/// An export in a server's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedExport {
    /// The name of the export.
    pub name: String,
    /// The server's description.
    pub description: Option<String>,
    /// The size in bytes, if the server tells.
    pub size: Option<u64>,
    /// Whether the export is read-only, if the server tells.
    pub read_only: Option<bool>,
}

impl Handshake {
    /// Exchanges greetings and starts TLS if required.
    pub(super) async fn begin(mut socket: Socket, tls: Option<&Tls>) -> Result<Self> {
        let mut head = [0; 16];
        read(&mut socket, &mut head).await?;
        let (greeting, style) = (long(&head[..8]), long(&head[8..]));
        if greeting != GREETING || style != OPTION {
            return Err(if greeting == GREETING && style == OLDSTYLE {
                Error::new(Kind::Refused, "the NBD server supports only the oldstyle protocol")
                    .hint("export the disk with a current server, such as qemu-nbd or nbdkit")
            } else {
                Error::new(Kind::Protocol, "the server is not an NBD server")
            });
        }
        let mut flags = [0; 2];
        read(&mut socket, &mut flags).await?;
        let flags = u16::from_be_bytes(flags);
        let mine = flags & (handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES);
        write(&mut socket, &u32::from(mine).to_be_bytes()).await?;
        let mut this = Self {
            socket,
            fixed: flags & handshake::FIXED_NEWSTYLE != 0,
            no_zeroes: flags & handshake::NO_ZEROES != 0,
        };
        if let Some(tls) = tls {
            const WHAT: &str = "beginning TLS";
            if !this.fixed {
                return Err(option_refused(option_reply::UNSUPPORTED, "", WHAT));
            }
            let reply = this.ask(option::STARTTLS, &[]).await?;
            if reply.kind != option_reply::ACK {
                return Err(reply.refused(WHAT));
            }
            this.socket = this.socket.encrypt(tls).await?;
        }
        Ok(this)
    }

    /// Opens an export and ends the handshake.
    pub(super) async fn open(mut self, name: &str, context: &str) -> Result<(Socket, Export)> {
        if !self.fixed {
            return self.open_by_name(name).await;
        }
        let structured = self.ask(option::STRUCTURED, &[]).await?.kind == option_reply::ACK;
        let allocation = if structured { self.context(name, context).await? } else { None };
        let bitmap = context != ALLOCATION;
        match self.describe(option::GO, name).await? {
            Ok(description) => {
                let export = Export { structured, allocation, bitmap, ..description };
                Ok((self.socket, export))
            }
            Err(reply) if reply.kind == option_reply::UNSUPPORTED => {
                let (socket, export) = self.open_by_name(name).await?;
                Ok((socket, Export { structured, allocation, bitmap, ..export }))
            }
            Err(reply) => {
                let mut error = reply.refused(&format!("opening {}", title(name)));
                if reply.kind == option_reply::UNKNOWN
                    && let Ok(exports) = self.names().await
                {
                    error = unknown(name, &exports);
                }
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Returns the exports of the server with their descriptions.
    pub(super) async fn list(mut self) -> Result<Vec<ListedExport>> {
        if !self.fixed {
            return Err(option_refused(option_reply::UNSUPPORTED, "", "listing the exports"));
        }
        let mut exports = self.names().await?;
        for export in &mut exports {
            match self.describe(option::INFO, &export.name).await? {
                Ok(known) => {
                    (export.size, export.read_only) = (Some(known.size), Some(known.features.read_only()));
                    export.description = known.description.or(export.description.take());
                }
                // A server that does not know the option will not know it for the next export.
                Err(reply) if reply.kind == option_reply::UNSUPPORTED => break,
                Err(_) => {}
            }
        }
        self.abort().await;
        Ok(exports)
    }

    /// Returns the names and descriptions of the exports.
    async fn names(&mut self) -> Result<Vec<ListedExport>> {
        self.send(option::LIST, &[]).await?;
        let mut exports = Vec::new();
        for _ in 0..MOST_REPLIES {
            let reply = self.reply(option::LIST).await?;
            match reply.kind {
                option_reply::ACK => return Ok(exports),
                option_reply::SERVER => exports.push(reply.listed()?),
                _ => return Err(reply.refused("listing the exports")),
            }
        }
        Err(violation(format!("a list of more than {MOST_REPLIES} exports")))
    }

    /// Requests a metadata context and returns its id.
    async fn context(&mut self, name: &str, wanted: &str) -> Result<Option<u32>> {
        let mut data = string(name);
        data.extend_from_slice(&1_u32.to_be_bytes());
        data.extend_from_slice(&string(wanted));
        self.send(option::SET_META_CONTEXT, &data).await?;
        let mut id = None;
        for _ in 0..MOST_REPLIES {
            let reply = self.reply(option::SET_META_CONTEXT).await?;
            match (reply.kind, reply.data.split_first_chunk::<4>()) {
                (option_reply::ACK, _) => return Ok(id),
                (option_reply::META_CONTEXT, Some((number, context))) => {
                    if context == wanted.as_bytes() {
                        id = Some(u32::from_be_bytes(*number));
                    }
                }
                (kind, _) if kind & option_reply::ERROR != 0 => return Ok(None),
                _ => return Err(violation("an invalid metadata context")),
            }
        }
        Err(violation("too many metadata contexts"))
    }

    /// Requests the properties of an export by `GO` or `INFO`.
    async fn describe(&mut self, by: u32, name: &str) -> Result<Result<Export, OptionReply>> {
        let mut data = string(name);
        data.extend_from_slice(&2_u16.to_be_bytes());
        data.extend_from_slice(&info::DESCRIPTION.to_be_bytes());
        data.extend_from_slice(&info::BLOCK_SIZE.to_be_bytes());
        self.send(by, &data).await?;
        let (mut known, mut block, mut description) = (None, BlockSizes::default(), None);
        for _ in 0..MOST_REPLIES {
            let reply = self.reply(by).await?;
            match reply.kind {
                option_reply::ACK => {
                    let Some((size, features)) = known else {
                        return Err(violation("an export without its size"));
                    };
                    return Ok(Ok(export(name, size, features, block, description)?));
                }
                option_reply::INFO => match reply.data.split_first_chunk::<2>() {
                    Some((kind, payload)) => match (u16::from_be_bytes(*kind), payload.len()) {
                        (info::EXPORT, 10) => known = Some((long(payload), half(&payload[8..]))),
                        (info::BLOCK_SIZE, 12) => {
                            let sizes = [word(payload), word(&payload[4..]), word(&payload[8..])];
                            block = BlockSizes::checked(sizes[0], sizes[1], sizes[2]).map_err(violation)?;
                        }
                        (info::EXPORT | info::BLOCK_SIZE, len) => {
                            return Err(violation(format!("information about an export of {len} bytes")));
                        }
                        (info::DESCRIPTION, len) if len > 0 => {
                            description = Some(String::from_utf8_lossy(payload).into_owned());
                        }
                        _ => {}
                    },
                    None => return Err(violation("information about an export without a type")),
                },
                kind if kind & option_reply::ERROR != 0 => return Ok(Err(reply)),
                other => return Err(violation(format!("a reply of type {other} to opening an export"))),
            }
        }
        Err(violation("too much information about an export"))
    }

    /// Opens an export of a server that does not know `GO`. If the export does not exist, such a server
    /// closes the connection without a message, so the list is requested first.
    async fn open_by_name(mut self, name: &str) -> Result<(Socket, Export)> {
        if self.fixed
            && !name.is_empty()
            && let Ok(exports) = self.names().await
            && exports.iter().all(|export| export.name != name)
        {
            self.abort().await;
            return Err(unknown(name, &exports));
        }
        self.send(option::EXPORT_NAME, name.as_bytes()).await?;
        let mut reply = [0; 10];
        read(&mut self.socket, &mut reply).await.map_err(|error| {
            if error.kind() != Kind::Connection {
                return error;
            }
            let what = format!("the NBD server closed the connection when {} was requested", title(name));
            Error::new(Kind::NotFound, what)
                .hint("check the name of the export: this server does not report an unknown one")
        })?;
        if !self.no_zeroes {
            read(&mut self.socket, &mut [0; 124]).await?;
        }
        let export = export(name, long(&reply), half(&reply[8..]), BlockSizes::default(), None)?;
        Ok((self.socket, export))
    }

    /// Aborts the handshake. Whether the server receives that does not matter.
    async fn abort(mut self) {
        let _ = self.send(option::ABORT, &[]).await;
        let _ = self.socket.shutdown().await;
    }

    async fn ask(&mut self, option: u32, data: &[u8]) -> Result<OptionReply> {
        self.send(option, data).await?;
        self.reply(option).await
    }

    async fn send(&mut self, option: u32, data: &[u8]) -> Result<()> {
        let mut all = Vec::with_capacity(16 + data.len());
        all.extend_from_slice(&OPTION.to_be_bytes());
        all.extend_from_slice(&option.to_be_bytes());
        // The data is a name and a few numbers.
        all.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(data);
        write(&mut self.socket, &all).await
    }

    async fn reply(&mut self, to: u32) -> Result<OptionReply> {
        let mut head = [0; 20];
        read(&mut self.socket, &mut head).await?;
        let (magic, option) = (long(&head), word(&head[8..]));
        let (kind, len) = (word(&head[12..]), word(&head[16..]));
        if magic != OPTION_REPLY || option != to {
            return Err(violation(format!("a reply to option {to} begins with {magic:#x} and {option}")));
        }
        if len > LONGEST_REPLY {
            return Err(violation(format!("a reply of {len} bytes to option {to}")));
        }
        let mut data = vec![0; len as usize];
        read(&mut self.socket, &mut data).await?;
        Ok(OptionReply { kind, data })
    }
}

impl OptionReply {
    fn refused(&self, what: &str) -> Error {
        if self.kind & option_reply::ERROR == 0 {
            return violation(format!("a reply of type {} to {what}", self.kind));
        }
        option_refused(self.kind, &String::from_utf8_lossy(&self.data), what)
    }

    fn listed(&self) -> Result<ListedExport> {
        let wrong = || violation("a truncated export in the list");
        let (len, rest) = self.data.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (name, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(wrong)?;
        if name.len() > LONGEST_STRING {
            return Err(violation("an export in the list with a name longer than a string may be"));
        }
        let name = String::from_utf8(name.to_vec())
            .map_err(|_| violation("an export in the list with a name that is not UTF-8"))?;
        let rest = &rest[..rest.len().min(LONGEST_DESCRIPTION)];
        let description = (!rest.is_empty()).then(|| String::from_utf8_lossy(rest).into_owned());
        Ok(ListedExport { name, description, size: None, read_only: None })
    }
}

/// Validates a server's properties of an export.
fn export(
    name: &str,
    size: u64,
    features: u16,
    block: BlockSizes,
    description: Option<String>,
) -> Result<Export> {
    if size > LARGEST_EXPORT {
        return Err(violation(format!("an export of {size} bytes")));
    }
    let features = Features(features);
    Ok(Export {
        name: name.to_owned(),
        description,
        size,
        features,
        block,
        structured: false,
        allocation: None,
        bitmap: false,
    })
}

/// Returns the error for an export that does not exist.
fn unknown(name: &str, exports: &[ListedExport]) -> Error {
    let mut has = String::new();
    for export in exports.iter().take(NAMED) {
        let shown: String = export.name.chars().take(80).collect();
        // Writing to a String cannot fail.
        let _ = write!(has, "{}`{shown}`", if has.is_empty() { "" } else { ", " });
    }
    if exports.len() > NAMED {
        let _ = write!(has, " and {} more", exports.len() - NAMED);
    }
    let has = if has.is_empty() { "none".to_owned() } else { has };
    let what =
        if name.is_empty() { "no default export".to_owned() } else { format!("no export named `{name}`") };
    Error::new(Kind::NotFound, format!("{what}; the server has: {has}"))
}

/// Encodes a string for an option: length and bytes.
fn string(text: &str) -> Vec<u8> {
    let mut data = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    data
}

async fn read(socket: &mut Socket, into: &mut [u8]) -> Result<()> {
    socket.read_exact(into).await.map(drop).map_err(|e| Death::from(e).error())
}

async fn write(socket: &mut Socket, bytes: &[u8]) -> Result<()> {
    let sent = async {
        socket.write_all(bytes).await?;
        socket.flush().await
    };
    sent.await.map_err(|e| Death::from(e).error())
}

/// Returns the first eight bytes as a number.
fn long(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Returns the first four bytes as a number.
fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Returns the first two bytes as a number.
fn half(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes))
}
