//! The numbers of the protocol (NBD protocol, doc/proto.md, `Values`), and what has been agreed on with a
//! server.

use std::fmt;

/// What a server says first.
pub(super) const GREETING: u64 = 0x4e42_444d_4147_4943;
/// What follows it in the newstyle handshake, and begins an option.
pub(super) const OPTION: u64 = 0x4948_4156_454f_5054;
/// What follows it in the oldstyle handshake.
pub(super) const OLDSTYLE: u64 = 0x0000_4202_8186_1253;
/// What begins a reply to an option.
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// What begins a request.
pub(super) const REQUEST: u32 = 0x2560_9513;
/// What begins a simple reply.
pub(super) const SIMPLE_REPLY: u32 = 0x6744_6698;
/// What begins a chunk of a structured reply.
pub(super) const STRUCTURED_REPLY: u32 = 0x668e_33ef;

/// The largest payload of a request or a reply, whatever more a server allows: none may take it for an attack
/// (doc/proto.md, `Size constraints`).
pub(super) const LARGEST_PAYLOAD: u32 = 1 << 25;

/// The most block descriptors in one chunk (doc/proto.md, `Structured reply types`).
pub(super) const MOST_DESCRIPTORS: u32 = 1 << 20;

/// The longest error chunk: an error, a string, an offset, and some room for what extensions add.
pub(super) const LONGEST_ERROR: u32 = 4 + 2 + 4096 + 8 + 256;

/// Flags of the handshake, both ways.
pub(super) mod handshake {
    pub(in super::super) const FIXED_NEWSTYLE: u16 = 1;
    pub(in super::super) const NO_ZEROES: u16 = 2;
}

/// Options of the handshake.
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

/// Types of replies to options.
pub(super) mod option_reply {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const SERVER: u32 = 2;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const META_CONTEXT: u32 = 4;
    /// The bit that all errors have.
    pub(in super::super) const ERROR: u32 = 1 << 31;
    pub(in super::super) const UNSUPPORTED: u32 = ERROR | 1;
    pub(in super::super) const POLICY: u32 = ERROR | 2;
    pub(in super::super) const TLS_REQUIRED: u32 = ERROR | 5;
    pub(in super::super) const UNKNOWN: u32 = ERROR | 6;
    pub(in super::super) const SHUTDOWN: u32 = ERROR | 7;
}

/// Types of what is said of an export.
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
    /// The bit that all errors have.
    pub(in super::super) const ERROR: u16 = 1 << 15;
    pub(in super::super) const ERROR_OFFSET: u16 = ERROR | 2;
    /// The flag of a reply's last chunk.
    pub(in super::super) const DONE: u16 = 1;
}

/// The bit of a block descriptor that says that the block reads as zero.
pub(super) const STATE_ZERO: u32 = 2;

/// The context of block descriptors that say where an image has no data.
pub(super) const ALLOCATION: &str = "base:allocation";

/// How the contexts begin whose block descriptors say what was written to since a bitmap of QEMU's began
/// (QEMU, docs/interop/nbd.txt, `qemu:dirty-bitmap`).
pub(super) const DIRTY_BITMAP: &str = "qemu:dirty-bitmap:";

/// The bit of such a block descriptor that says that the block was written to.
pub(super) const STATE_DIRTY: u32 = 1;

/// What a server is asked to do.
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

    /// Whether it changes the export, so that a flush has to cover it.
    pub(super) fn writes(self) -> bool {
        matches!(self, Command::Write | Command::WriteZeroes)
    }

    /// The head of a request, without flags.
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

/// What it is called in messages.
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

/// What an export can do (doc/proto.md, `Transmission flags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub(super) u16);

impl Features {
    /// Whether it cannot be written.
    pub fn read_only(self) -> bool {
        self.0 & (1 << 1) != 0
    }

    /// Whether it can be flushed: without that, what is written is as safe as it gets.
    pub fn flush(self) -> bool {
        self.0 & (1 << 2) != 0
    }

    /// Whether zeros can be written without sending them.
    pub fn write_zeroes(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    /// Whether several connections see one state of it.
    pub fn multi_conn(self) -> bool {
        self.0 & (1 << 8) != 0
    }
}

/// The sizes that requests have to keep to (doc/proto.md, `Size constraints`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// What offsets and lengths have to be multiples of.
    pub minimum: u32,
    /// What they had better be multiples of.
    pub preferred: u32,
    /// The longest payload.
    pub maximum: u32,
}

/// What a server supports that says nothing.
impl Default for BlockSizes {
    fn default() -> Self {
        Self { minimum: 1, preferred: 4096, maximum: LARGEST_PAYLOAD }
    }
}

impl BlockSizes {
    /// Checks what a server says of its sizes, and takes no payload to be larger than anybody allows.
    pub(super) fn checked(minimum: u32, preferred: u32, maximum: u32) -> Result<Self, String> {
        if !minimum.is_power_of_two() || minimum > 1 << 16 {
            return Err(format!("a minimum block size of {minimum}, which is no power of two up to 65536"));
        }
        // No payload is smaller than the preferred block, and that not than a sector.
        if maximum < minimum.max(512) {
            return Err(format!("a largest payload of {maximum} and a minimum block size of {minimum}"));
        }
        let maximum = maximum.min(LARGEST_PAYLOAD) / minimum * minimum;
        Ok(Self { minimum, preferred: preferred.clamp(minimum, maximum), maximum })
    }
}

/// What a server has said of an export, and what was agreed on for one connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name; empty for the server's default.
    pub name: String,
    /// What the server says of it.
    pub description: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// What it can do.
    pub features: Features,
    /// The sizes that requests keep to.
    pub block: BlockSizes,
    /// Whether reads are answered in chunks.
    pub(super) structured: bool,
    /// The id of the context that tells where there is no data.
    pub(super) allocation: Option<u32>,
    /// Whether that context is of a dirty bitmap: what it calls clean stands in the place of zeros.
    pub(super) bitmap: bool,
}

impl Export {
    /// What it is called in messages.
    pub fn title(&self) -> String {
        title(&self.name)
    }

    /// Whether it tells where it has no data.
    pub fn extents(&self) -> bool {
        self.allocation.is_some()
    }

    /// How a later connection's view differs from this one, where that matters.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        if self.size != now.size {
            return Some(format!("its size was {} and is {}", self.size, now.size));
        }
        if self.block != now.block {
            return Some("its block sizes are others than before".to_owned());
        }
        // A context's id holds for one connection only.
        let same = self.features == now.features && self.structured == now.structured;
        if !same || self.extents() != now.extents() {
            return Some("what it can do is not the same as before".to_owned());
        }
        None
    }
}

/// What an export is called in messages.
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
