//! The format of a downloaded file: raw, fixed VHD or qcow2.

use crate::disk::file::{PartDisk, PartFile};
use crate::disk::format::TargetFormat;
use crate::engine::encode::codec::Compression;
use crate::error::{Error, Result};
use std::path::Path;

/// How to write a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileForm {
    /// The format of the file.
    pub format: TargetFormat,
    /// How to compress the clusters of a qcow2.
    pub compression: Compression,
}

impl Default for FileForm {
    /// Raw, without compression.
    fn default() -> Self {
        Self { format: TargetFormat::Raw, compression: Compression::None }
    }
}

/// The level of `--compress auto`.
///
/// 348 MiB of an ext4 image became 173 MiB at level 1, 142 at 2, 138 at 3, 136 at 6 and 131 at 9, for 0.7, 2,
/// 2.4, 3.3 and 8 processor seconds. `qemu-img convert -c` takes 9.6 for 131.
const AUTO_LEVEL: u32 = 3;

impl FileForm {
    /// Refuses a form that is not possible. `to` is the destination of the download.
    pub fn check(&self, to: Option<&Path>) -> Result<()> {
        let is_qcow2 = self.format == TargetFormat::Qcow2;
        if is_qcow2 && to.is_some_and(super::is_stream) {
            return Err(Error::usage("a qcow2 cannot go to standard output, as its tables are written last")
                .hint("name a file, or use `--format raw` or `--format vhd`"));
        }
        if !is_qcow2 && self.compression != Compression::None {
            return Err(Error::usage("`--compress` needs `--format qcow2`"));
        }
        Ok(())
    }

    /// Returns the compression of clusters as shown in plans.
    pub(super) fn compress(self) -> String {
        match self.compression {
            Compression::None => "none".to_owned(),
            Compression::Auto => "auto".to_owned(),
            Compression::Level(level) => level.to_string(),
        }
    }

    /// Returns a file name for this format, derived from the name of the downloaded object.
    pub(in crate::job) fn file_name(self, name: String) -> String {
        if self.format == TargetFormat::Raw {
            return name;
        }
        let ending = format!(".{}", self.format);
        let stem = [".raw", ".img", &*ending].iter().find_map(|old| name.strip_suffix(old));
        format!("{}{ending}", stem.filter(|stem| !stem.is_empty()).unwrap_or(&name))
    }

    /// Returns the file as the disk to which the image is written.
    pub(super) fn disk(self, part: PartFile, size: u64) -> Result<PartDisk> {
        match self.format {
            TargetFormat::Raw | TargetFormat::Vhd => Ok(PartDisk::new(part, size)),
            TargetFormat::Qcow2 => {
                let level = match self.compression {
                    Compression::None => None,
                    Compression::Auto => Some(AUTO_LEVEL),
                    Compression::Level(level) => Some(u32::from(level)),
                };
                PartDisk::qcow2(part, size, level)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_its_format() {
        let named =
            |format, name: &str| FileForm { format, ..FileForm::default() }.file_name(name.to_owned());
        for (name, vhd) in [
            ("web-1", "web-1.vhd"),
            ("a.raw", "a.vhd"),
            ("a.vhd", "a.vhd"),
            (".img", ".img.vhd"),
            ("é", "é.vhd"),
        ] {
            assert_eq!(named(TargetFormat::Vhd, name), vhd);
            assert_eq!(named(TargetFormat::Raw, name), name);
        }
        assert_eq!(named(TargetFormat::Qcow2, "disk.raw"), "disk.qcow2");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let qcow2 = FileForm { format: TargetFormat::Qcow2, compression: Compression::Level(3) };
        assert!(qcow2.check(Some(Path::new("file"))).is_ok() && qcow2.check(None).is_ok());
        assert!(qcow2.check(Some(Path::new("-"))).is_err());
        let vhd = FileForm { format: TargetFormat::Vhd, ..FileForm::default() };
        assert!(vhd.check(Some(Path::new("-"))).is_ok());
        assert!(FileForm { compression: Compression::Auto, ..vhd }.check(None).is_err());
    }
}
