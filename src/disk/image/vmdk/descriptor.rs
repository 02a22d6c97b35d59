//! The descriptor of a VMDK: text, in a file of its own or inside a sparse extent (`VMware`, "Virtual Disk
//! Format 5.0", `The Descriptor File`).

use crate::disk::image::part::{Part, shown};
use crate::error::Result;

/// The longest descriptor in bytes. A disk of 62 TiB in extents of 2 GB has one of about 2 MiB, but so many
/// extents are not supported.
pub(super) const LONGEST: u64 = 1 << 20;

/// The most extents. Each is an open file, and a process may have 1024 by default.
const MOST_EXTENTS: usize = 512;

/// The first bytes of a descriptor file.
pub(super) const MAGIC: &[u8] = b"# Disk DescriptorFile";

/// The contents of a descriptor.
#[derive(Debug, Default)]
pub(super) struct Descriptor {
    pub(super) extents: Vec<Extent>,
    /// The parent image, if there is one.
    pub(super) parent: Option<String>,
}

/// An extent line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) sectors: u64,
    pub(super) kind: ExtentKind,
}

/// The kind of an extent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExtentKind {
    Zero,
    /// Uncompressed bytes, from a sector of the file.
    Flat {
        name: String,
        sector: u64,
    },
    Sparse {
        name: String,
    },
}

impl Descriptor {
    /// Parses a descriptor. `part` is used in errors.
    pub(super) fn parse(text: &[u8], part: &Part) -> Result<Self> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let (mut found, mut parent, mut hint) = (Self::default(), String::new(), String::new());
        for line in text.lines().map(str::trim) {
            let first = line.split_whitespace().next().unwrap_or_default();
            if matches!(first, "RW" | "RDONLY" | "NOACCESS") {
                if found.extents.len() == MOST_EXTENTS {
                    return Err(part.refused(format_args!("it has more than {MOST_EXTENTS} extents")));
                }
                found.extents.push(extent(line, part)?);
            } else if let Some((key, value)) = line.split_once('=') {
                let value = value.trim().trim_matches('"').to_owned();
                match &*key.trim().to_ascii_lowercase() {
                    "parentcid" => parent = value,
                    "parentfilenamehint" => hint = value,
                    _ => {}
                }
            }
        }
        // All ones means that there is no parent.
        let none = parent.is_empty() || parent.eq_ignore_ascii_case("ffffffff");
        found.parent = (!none).then_some(hint);
        Ok(found)
    }
}

/// `ACCESS SECTORS KIND "NAME" [SECTOR]`.
fn extent(line: &str, part: &Part) -> Result<Extent> {
    let wrong = |why: &str| part.damaged(format_args!("{why} in the line {}", shown(line)));
    let (front, quoted) = line.split_once('"').unwrap_or((line, ""));
    let (name, rest) = quoted.split_once('"').unwrap_or_default();
    let mut words = front.split_whitespace();
    let (access, sectors, kind) = (words.next(), words.next(), words.next().unwrap_or_default());
    let sectors: u64 = sectors.and_then(|word| word.parse().ok()).ok_or_else(|| wrong("no size"))?;
    if access == Some("NOACCESS") {
        return Err(wrong("an extent without read access"));
    }
    if name.is_empty() && kind != "ZERO" {
        return Err(wrong("an extent without a file"));
    }
    let name = name.to_owned();
    let kind = match kind {
        "ZERO" => ExtentKind::Zero,
        "FLAT" | "VMFS" => {
            let sector = match rest.split_whitespace().next() {
                Some(word) => word.parse().map_err(|_| wrong("an extent without an offset"))?,
                None => 0,
            };
            ExtentKind::Flat { name, sector }
        }
        "SPARSE" => ExtentKind::Sparse { name },
        other => {
            let why = format!("its extents are of the unsupported kind {} of ESX", shown(other));
            return Err(part
                .refused(why)
                .hint("clone it with `vmkfstools -i FILE -d thin`, or export it as an OVA"));
        }
    };
    Ok(Extent { sectors, kind })
}
