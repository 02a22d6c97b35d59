//! The options for reading an image: `upload`, `boot`, `verify`.

use super::options::{parse, size};
use crate::disk::format::SourceFormat;
use crate::disk::image::OpenOptions;
use clap::Args;

/// How an image is read.
#[derive(Debug, Args)]
pub struct SourceOptions {
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse::<SourceFormat>)]
    #[arg(help = "Format of the image: auto (found out by its content), raw, qcow2, vmdk, vhd or vhdx")]
    source_format: SourceFormat,
    /// Also read the files that the image refers to, such as its backing chain
    #[arg(long)]
    follow_backing: bool,
    /// Which image of an archive (tar, OVA) to use, if there are several
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    /// The largest size of standard input or a packed image; what is shorter is padded with zeros
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size_at_most: Option<u64>,
}

impl SourceOptions {
    /// Returns the options in the library's form. `size` is the value of `--size`.
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
