//! The footer of a VHD ("Virtual Hard Disk Image Format Specification", 1.0, `Hard Disk Footer Format`).

/// What the footer says of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The disk's size in bytes.
    pub current_size: u64,
    /// Where the header of a dynamic disk is; all ones of a fixed one.
    pub data_offset: u64,
    /// 2 fixed, 3 dynamic, 4 differencing.
    pub disk_type: u32,
}

impl Footer {
    /// Reads a footer; `None` if these bytes are none, or their checksum is wrong.
    pub fn parse(bytes: &[u8; 512]) -> Option<Self> {
        let sum = bytes.iter().enumerate().filter(|(i, _)| !(64..68).contains(i));
        let sum: u32 = sum.map(|(_, byte)| u32::from(*byte)).sum();
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        (bytes.starts_with(b"conectix") && word(64) == !sum).then(|| Self {
            current_size: long(48),
            data_offset: long(16),
            disk_type: word(60),
        })
    }
}
