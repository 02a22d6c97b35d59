//! The kernel's counters of a block device, which identify it and show writes to it.
//!
//! A device has no modification time. But sysfs counts written and discarded sectors
//! (`Documentation/block/stat.rst`, fields 7 and 14) and gives each device that appears a number that is
//! never reused (`diskseq`). If neither changed, nobody wrote to it. Completed writes (field 5) are ignored,
//! because the device mapper counts flushes among them.

use rustix::fs::{major, minor};
use std::path::PathBuf;

/// A block device in sysfs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device(u64);

/// The counters at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    /// Sectors written and discarded since the device appeared.
    written: Option<(u64, u64)>,
    /// The sequence number of the device, or of the disk that a partition is on.
    diskseq: Option<u64>,
}

impl Device {
    /// Returns the device with this device number.
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }

    /// The device's number.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// Reads the counters.
    pub(super) fn counters(self) -> Counters {
        let directory = PathBuf::from(format!("/sys/dev/block/{}:{}", major(self.0), minor(self.0)));
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
        // A partition has neither of its own: the folder above it is the disk's.
        let either = |name: &str| read(name).or_else(|| read(&format!("../{name}")));
        let counts = either("queue/iostats").is_none_or(|text| text.trim() != "0");
        Counters {
            written: read("stat").filter(|_| counts).and_then(|text| written(&text)),
            diskseq: either("diskseq").and_then(|text| text.trim().parse().ok()),
        }
    }
}

impl Counters {
    /// Returns whether writes can be detected at all.
    pub(super) fn known(&self) -> bool {
        self.written.is_some()
    }

    /// Returns what changed since `was`.
    pub(super) fn difference(&self, was: &Counters) -> Option<&'static str> {
        if self.diskseq != was.diskseq {
            Some("it is another device under the same name")
        } else if self.written != was.written {
            Some("the device was written to")
        } else {
            None
        }
    }
}

/// Parses the text of `stat`: sectors written and, if counted, discarded.
fn written(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = stat.split_whitespace().map_while(|field| field.parse().ok()).collect();
    Some((*fields.get(6)?, fields.get(13).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_read_from_old_and_new_kernels() {
        assert_eq!(written("  1 2 3 4 5 6 7 8 9 10 11\n"), Some((7, 0)));
        assert_eq!(written("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), Some((7, 14)));
        assert_eq!(written("1 2 x"), None);
    }

    #[test]
    fn a_write_and_another_device_are_told_apart_from_nothing() {
        let was = Counters { written: Some((7, 0)), diskseq: Some(3) };
        assert_eq!(was.difference(&was), None);
        let written = Counters { written: Some((8, 0)), ..was };
        assert_eq!(written.difference(&was), Some("the device was written to"));
        let other = Counters { diskseq: Some(4), ..written };
        assert!(other.difference(&was).unwrap().contains("another device"));
        assert!(!Device::of(u64::MAX).counters().known());
    }
}
