//! The options that say how an image is read, of `upload` and `boot`.

use super::options::{parse, size};
use crate::disk::format::SourceFormat;
use crate::disk::image::OpenOptions;
use clap::Args;

/// How an image is read.
#[derive(Debug, Args)]
pub struct SourceOptions {
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse::<SourceFormat>)]
    #[arg(
        help = "What the image is: auto (its bytes say it), raw (sent as it is), qcow2, vmdk, vhd or vhdx"
    )]
    source_format: SourceFormat,
    /// Read the files that the image leads to: its backing chain, its data file, extents in other directories
    #[arg(long)]
    follow_backing: bool,
    /// The image in an archive (tar, OVA); needed where there is more than one
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    /// The most bytes that come from standard input or out of a packed image, which is padded with zeros
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size_at_most: Option<u64>,
}

impl SourceOptions {
    /// What the library is told. `size`: the value of `--size`.
    pub fn open_options(&self, size: Option<u64>) -> OpenOptions {
        OpenOptions {
            format: self.source_format,
            follow_backing: self.follow_backing,
            member: self.member.clone(),
            size,
            size_at_most: self.size_at_most,
        }
    }
}
