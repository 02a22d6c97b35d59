//! The numbers of the protocol (NBD protocol, doc/proto.md, `Values`), and what has been agreed on with a
//! server.

use std::fmt;

/// The first word of a server's greeting.
pub(super) const GREETING: u64 = 0x4e42_444d_4147_4943;
/// The second word of the newstyle greeting, and the first of an option.
pub(super) const OPTION: u64 = 0x4948_4156_454f_5054;
/// The second word of the oldstyle greeting.
pub(super) const OLDSTYLE: u64 = 0x0000_4202_8186_1253;
/// The first word of an option reply.
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// The first word of a request.
pub(super) const REQUEST: u32 = 0x2560_9513;
/// The first word of a simple reply.
pub(super) const SIMPLE_REPLY: u32 = 0x6744_6698;
/// The first word of a chunk of a structured reply.
pub(super) const STRUCTURED_REPLY: u32 = 0x668e_33ef;

/// The largest payload of a request or a reply that no server may treat as an attack, whatever more a server
/// allows (doc/proto.md, `Size constraints`).
pub(super) const LARGEST_PAYLOAD: u32 = 1 << 25;

/// The most block descriptors in one chunk (doc/proto.md, `Structured reply types`).
pub(super) const MOST_DESCRIPTORS: u32 = 1 << 20;

/// The longest error chunk: an error, a string, an offset, and room for extensions.
pub(super) const LONGEST_ERROR: u32 = 4 + 2 + 4096 + 8 + 256;

/// Handshake flags of both sides.
pub(super) mod handshake {
    pub(in super::super) const FIXED_NEWSTYLE: u16 = 1;
    pub(in super::super) const NO_ZEROES: u16 = 2;
}

/// Handshake options.
pub(super) mod option {
    pub(in super::super) const EXPORT_NAME: u32 = 1;
    pub(in super::super) const ABORT: u32 = 2;
    pub(in super::super) const LIST: u32 = 3;
    pub(in super::super) const STARTTLS: u32 = 5;
    pub(in super::super) const INFO: u32 = 6;
    pub(in super::super) const GO: u32 = 7;
    pub(in super::super) const STRUCTURED: u32 = 8;
    pub(in super::super) const SET_META_CONTEXT: u32 = 10;
}

/// Types of option replies.
pub(super) mod option_reply {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const SERVER: u32 = 2;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const META_CONTEXT: u32 = 4;
    /// The bit that is set in all errors.
    pub(in super::super) const ERROR: u32 = 1 << 31;
    pub(in super::super) const UNSUPPORTED: u32 = ERROR | 1;
    pub(in super::super) const POLICY: u32 = ERROR | 2;
    pub(in super::super) const TLS_REQUIRED: u32 = ERROR | 5;
    pub(in super::super) const UNKNOWN: u32 = ERROR | 6;
    pub(in super::super) const SHUTDOWN: u32 = ERROR | 7;
}

/// Types of information about an export.
pub(super) mod info {
    pub(in super::super) const EXPORT: u16 = 0;
    pub(in super::super) const DESCRIPTION: u16 = 2;
    pub(in super::super) const BLOCK_SIZE: u16 = 3;
}

/// Types of chunks of structured replies.
pub(super) mod chunk {
    pub(in super::super) const NONE: u16 = 0;
    pub(in super::super) const OFFSET_DATA: u16 = 1;
    pub(in super::super) const OFFSET_HOLE: u16 = 2;
    pub(in super::super) const BLOCK_STATUS: u16 = 5;
    /// The bit that is set in all errors.
    pub(in super::super) const ERROR: u16 = 1 << 15;
    pub(in super::super) const ERROR_OFFSET: u16 = ERROR | 2;
    /// The flag of a reply's last chunk.
    pub(in super::super) const DONE: u16 = 1;
}

/// The bit of a block descriptor that says that the block reads as zero.
pub(super) const STATE_ZERO: u32 = 2;

/// The metadata context that reports where an image has data.
pub(super) const ALLOCATION: &str = "base:allocation";

/// The prefix of the metadata contexts that report what was written since a bitmap of QEMU began (QEMU,
/// docs/interop/nbd.txt, `qemu:dirty-bitmap`).
pub(super) const DIRTY_BITMAP: &str = "qemu:dirty-bitmap:";

/// The bit of a block descriptor in such a context that says that the block was written.
pub(super) const STATE_DIRTY: u32 = 1;

/// A request type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read,
    Write,
    Disconnect,
    Flush,
    WriteZeroes,
    BlockStatus,
}

impl Command {
    fn code(self) -> u16 {
        match self {
            Command::Read => 0,
            Command::Write => 1,
            Command::Disconnect => 2,
            Command::Flush => 3,
            Command::WriteZeroes => 6,
            Command::BlockStatus => 7,
        }
    }

    /// Returns whether the request changes the export, so that a flush has to cover it.
    pub(super) fn writes(self) -> bool {
        matches!(self, Command::Write | Command::WriteZeroes)
    }

    /// Returns the header of a request, without flags.
    pub(super) fn header(self, cookie: u64, offset: u64, length: u32) -> [u8; 28] {
        let mut header = [0; 28];
        header[..4].copy_from_slice(&REQUEST.to_be_bytes());
        header[6..8].copy_from_slice(&self.code().to_be_bytes());
        header[8..16].copy_from_slice(&cookie.to_be_bytes());
        header[16..24].copy_from_slice(&offset.to_be_bytes());
        header[24..].copy_from_slice(&length.to_be_bytes());
        header
    }
}

/// Shows the name used in messages.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Read => "read",
            Command::Write => "write",
            Command::Disconnect => "disconnect",
            Command::Flush => "flush",
            Command::WriteZeroes => "write zeroes",
            Command::BlockStatus => "block status",
        })
    }
}

/// The features of an export (doc/proto.md, `Transmission flags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub(super) u16);

impl Features {
    /// Returns whether the export is read-only.
    pub fn read_only(self) -> bool {
        self.0 & (1 << 1) != 0
    }

    /// Returns whether the export can be flushed. Otherwise an acknowledged write is as safe as it gets.
    pub fn flush(self) -> bool {
        self.0 & (1 << 2) != 0
    }

    /// Returns whether zeros can be written without sending them.
    pub fn write_zeroes(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    /// Returns whether several connections are coherent.
    pub fn multi_conn(self) -> bool {
        self.0 & (1 << 8) != 0
    }
}

/// The block sizes of an export (doc/proto.md, `Size constraints`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// The alignment that offsets and lengths must have.
    pub minimum: u32,
    /// The alignment that they should have.
    pub preferred: u32,
    /// The longest payload.
    pub maximum: u32,
}

/// The sizes that apply if a server does not report any.
impl Default for BlockSizes {
    fn default() -> Self {
        Self { minimum: 1, preferred: 4096, maximum: LARGEST_PAYLOAD }
    }
}

impl BlockSizes {
    /// Validates a server's sizes and caps the payload at the largest that is allowed.
    pub(super) fn checked(minimum: u32, preferred: u32, maximum: u32) -> Result<Self, String> {
        if !minimum.is_power_of_two() || minimum > 1 << 16 {
            return Err(format!(
                "a minimum block size of {minimum}, which is not a power of two up to 65536"
            ));
        }
        // The payload must hold the preferred block, which is at least a sector.
        if maximum < minimum.max(512) {
            return Err(format!("a largest payload of {maximum} and a minimum block size of {minimum}"));
        }
        let maximum = maximum.min(LARGEST_PAYLOAD) / minimum * minimum;
        Ok(Self { minimum, preferred: preferred.clamp(minimum, maximum), maximum })
    }
}

/// The properties of an export, and what was negotiated for one connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name; empty for the server's default.
    pub name: String,
    /// The server's description.
    pub description: Option<String>,
    /// The size in bytes.
    pub size: u64,
    /// The features.
    pub features: Features,
    /// The block sizes.
    pub block: BlockSizes,
    /// Whether reads are answered with structured replies.
    pub(super) structured: bool,
    /// The id of the metadata context for extents.
    pub(super) allocation: Option<u32>,
    /// Whether that context is a dirty bitmap, in which clean blocks take the place of zeros.
    pub(super) bitmap: bool,
}

impl Export {
    /// Returns the name in messages.
    pub fn title(&self) -> String {
        title(&self.name)
    }

    /// Returns whether the export reports extents.
    pub fn extents(&self) -> bool {
        self.allocation.is_some()
    }

    /// Returns how a later connection's view differs from this one, as far as that matters.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        if self.size != now.size {
            return Some(format!("its size was {} and is {}", self.size, now.size));
        }
        if self.block != now.block {
            return Some("its block sizes changed".to_owned());
        }
        // The id of a context is valid for one connection only.
        let same = self.features == now.features && self.structured == now.structured;
        if !same || self.extents() != now.extents() {
            return Some("its features changed".to_owned());
        }
        None
    }
}

/// Returns the name of an export in messages.
pub(super) fn title(name: &str) -> String {
    if name.is_empty() { "the default export".to_owned() } else { format!("export {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_documented() {
        let header = Command::WriteZeroes.header(0x0102_0304_0506_0708, 0x10, 0x2000);
        assert_eq!(
            header,
            [
                0x25, 0x60, 0x95, 0x13, 0, 0, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0,
                0x20, 0
            ]
        );
    }

    #[test]
    fn block_sizes_are_bounded() {
        let sizes = |a, b, c| BlockSizes::checked(a, b, c).map(|s| (s.minimum, s.preferred, s.maximum));
        assert_eq!(sizes(1, 4096, u32::MAX), Ok((1, 4096, 1 << 25)));
        assert_eq!(sizes(512, 0, 1000), Ok((512, 512, 512)));
        for (minimum, maximum) in [(0, 4096), (3, 4096), (1 << 17, 1 << 20), (4096, 512), (1, 511)] {
            assert!(sizes(minimum, 4096, maximum).is_err(), "{minimum} {maximum}");
        }
    }
}
