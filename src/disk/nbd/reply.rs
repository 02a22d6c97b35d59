//! Parses the headers and fields of replies. Does no I/O.

use super::address::LONGEST_STRING;
use super::failure::Refusal;
use super::protocol::{Command, LONGEST_ERROR, MOST_DESCRIPTORS, SIMPLE_REPLY, STRUCTURED_REPLY, chunk};

/// The length of a simple reply's header, and of the common part of both.
pub(super) const SHORT_HEAD: usize = 16;

/// The length of the rest of a structured reply's header.
pub(super) const LONG_HEAD: usize = 4;

/// The header of a reply or chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Simple { error: u32, cookie: u64 },
    Chunk { flags: u16, kind: u16, cookie: u64 },
}

impl Head {
    /// Parses the common part of a header. A [`Head::Chunk`] is followed by its length.
    pub(super) fn parse(bytes: [u8; SHORT_HEAD]) -> Result<Self, String> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let cookie = u64::from(word(8)) << 32 | u64::from(word(12));
        match word(0) {
            SIMPLE_REPLY => Ok(Head::Simple { error: word(4), cookie }),
            STRUCTURED_REPLY => Ok(Head::Chunk { flags: half(4), kind: half(6), cookie }),
            magic => Err(format!("a reply begins with {magic:#010x}")),
        }
    }

    pub(super) fn cookie(self) -> u64 {
        match self {
            Head::Simple { cookie, .. } | Head::Chunk { cookie, .. } => cookie,
        }
    }
}

/// The contents of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing; it ends the reply.
    Nothing,
    /// An offset and this many bytes.
    Data(u32),
    /// An offset and a length.
    Hole,
    /// The id of a context and this many block descriptors.
    Status(u32),
    /// An error of this many bytes, and whether it ends with an offset.
    Error(u32, bool),
}

impl Content {
    /// Checks a chunk against its request before its contents are read.
    pub(super) fn of(kind: u16, flags: u16, len: u32, command: Command, asked: u32) -> Result<Self, String> {
        let wrong = || Err(format!("a chunk of type {kind} and {len} bytes in reply to a {command} request"));
        match kind {
            chunk::NONE if len == 0 && flags & chunk::DONE != 0 => Ok(Content::Nothing),
            chunk::OFFSET_DATA if command == Command::Read => match len.checked_sub(8) {
                Some(data) if data > 0 && data <= asked => Ok(Content::Data(data)),
                _ => wrong(),
            },
            chunk::OFFSET_HOLE if command == Command::Read && len == 12 => Ok(Content::Hole),
            chunk::BLOCK_STATUS if command == Command::BlockStatus => {
                let count = len.saturating_sub(4) / 8;
                if count == 0 || count > MOST_DESCRIPTORS || len != 4 + 8 * count {
                    return wrong();
                }
                Ok(Content::Status(count))
            }
            // An unknown type of error is still an error.
            _ if kind & chunk::ERROR != 0 => {
                let offset = kind == chunk::ERROR_OFFSET;
                let least = if offset { 14 } else { 6 };
                if !(least..=LONGEST_ERROR).contains(&len) {
                    return wrong();
                }
                Ok(Content::Error(len, offset))
            }
            _ => wrong(),
        }
    }
}

/// Parses the payload of an error chunk, which has at least the fixed fields.
pub(super) fn refusal(payload: &[u8], with_offset: bool) -> Result<Refusal, String> {
    let short = || "an error chunk is shorter than its fields".to_owned();
    let (number, rest) = payload.split_first_chunk::<4>().ok_or_else(short)?;
    let (len, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let len = usize::from(u16::from_be_bytes(*len));
    if len > LONGEST_STRING || len > rest.len() {
        return Err(format!("an error's message of {len} bytes in a chunk that has no room for it"));
    }
    let (message, rest) = rest.split_at(len);
    let offset = match (with_offset, rest.first_chunk::<8>()) {
        (false, _) => None,
        (true, Some(offset)) => Some(u64::from_be_bytes(*offset)),
        (true, None) => return Err(short()),
    };
    match u32::from_be_bytes(*number) {
        0 => Err("an error chunk with the error 0".to_owned()),
        number => Ok(Refusal { number, message: String::from_utf8_lossy(message).into_owned(), offset }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(magic: u32, rest: [u8; 12]) -> Result<Head, String> {
        let mut bytes = [0; SHORT_HEAD];
        bytes[..4].copy_from_slice(&magic.to_be_bytes());
        bytes[4..].copy_from_slice(&rest);
        Head::parse(bytes)
    }

    #[test]
    fn heads_are_told_apart() {
        let rest = [0, 1, 0x80, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(head(SIMPLE_REPLY, rest), Ok(Head::Simple { error: 0x1_8002, cookie: 1 << 32 | 2 }));
        let chunk = Head::Chunk { flags: 1, kind: chunk::ERROR_OFFSET, cookie: 1 << 32 | 2 };
        assert_eq!(head(STRUCTURED_REPLY, rest), Ok(chunk));
        assert_eq!(head(STRUCTURED_REPLY, rest).unwrap().cookie(), 1 << 32 | 2);
        assert!(head(0x4854_5450, rest).is_err());
    }

    #[test]
    fn a_chunk_fits_its_request_or_is_refused() {
        let content = |kind, flags, len, command| Content::of(kind, flags, len, command, 100);
        assert_eq!(content(chunk::NONE, 1, 0, Command::Flush), Ok(Content::Nothing));
        assert_eq!(content(chunk::OFFSET_DATA, 0, 108, Command::Read), Ok(Content::Data(100)));
        assert_eq!(content(chunk::OFFSET_HOLE, 0, 12, Command::Read), Ok(Content::Hole));
        assert_eq!(content(chunk::BLOCK_STATUS, 1, 20, Command::BlockStatus), Ok(Content::Status(2)));
        assert_eq!(content(chunk::ERROR | 0x4d, 1, 6, Command::Write), Ok(Content::Error(6, false)));
        assert_eq!(content(chunk::ERROR_OFFSET, 1, 14, Command::Write), Ok(Content::Error(14, true)));
        let most = 4 + 8 * MOST_DESCRIPTORS;
        for (kind, flags, len, command) in [
            (chunk::NONE, 0, 0, Command::Read),
            (chunk::NONE, 1, 1, Command::Read),
            (chunk::OFFSET_DATA, 1, 7, Command::Read),
            (chunk::OFFSET_DATA, 1, 8, Command::Read),
            (chunk::OFFSET_DATA, 1, 109, Command::Read),
            (chunk::OFFSET_DATA, 1, u32::MAX, Command::Read),
            (chunk::OFFSET_DATA, 1, 20, Command::Write),
            (chunk::OFFSET_HOLE, 1, 11, Command::Read),
            (chunk::OFFSET_HOLE, 1, 12, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, 0, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, 4, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, 13, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, most + 8, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, u32::MAX - 3, Command::BlockStatus),
            (chunk::BLOCK_STATUS, 1, 12, Command::Read),
            (chunk::ERROR | 1, 1, 5, Command::Read),
            (chunk::ERROR_OFFSET, 1, 13, Command::Read),
            (chunk::ERROR | 1, 1, LONGEST_ERROR + 1, Command::Read),
            (3, 1, 0, Command::Read),
        ] {
            assert!(content(kind, flags, len, command).is_err(), "{kind} {flags} {len} {command}");
        }
    }

    #[test]
    fn an_error_chunk_is_parsed_or_refused() {
        let mut payload = vec![0, 0, 0, 5, 0, 3];
        payload.extend_from_slice(b"why");
        let refused = |bytes: &[u8], offset| refusal(bytes, offset);
        let expected = Refusal { number: 5, message: "why".to_owned(), offset: None };
        assert_eq!(refused(&payload, false), Ok(expected.clone()));
        assert!(refused(&payload, true).is_err(), "there is no offset");
        payload.extend_from_slice(&9_u64.to_be_bytes());
        assert_eq!(refused(&payload, true), Ok(Refusal { offset: Some(9), ..expected }));
        // The message exceeds the payload; the number is invalid; the payload is empty.
        assert!(refused(&[0, 0, 0, 5, 0, 9, b'x'], false).is_err());
        assert!(refused(&[0, 0, 0, 0, 0, 0], false).is_err());
        let mut long = vec![0, 0, 0, 5, 0x10, 1];
        long.resize(6 + 4097, b'x');
        assert!(refused(&long, false).is_err());
        for len in 0..6 {
            assert!(refused(&payload[..len], false).is_err(), "{len}");
        }
    }
}
