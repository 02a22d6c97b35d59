//! The description of a VMDK: text, in a file of its own or inside a sparse extent (`VMware`, "Virtual Disk
//! Format 5.0", `The Descriptor File`).

use crate::disk::image::part::{Part, shown};
use crate::error::Result;

/// The longest description. A disk of 62 TiB in extents of 2 GB has some 2 MiB of them; so many are not
/// opened.
pub(super) const LONGEST: u64 = 1 << 20;

/// The most extents: each is an open file, and a process may have 1024 of them by default.
const MOST_EXTENTS: usize = 512;

/// What a file that is a description begins with.
pub(super) const MAGIC: &[u8] = b"# Disk DescriptorFile";

/// What is known of a description.
#[derive(Debug, Default)]
pub(super) struct Descriptor {
    pub(super) extents: Vec<Extent>,
    /// The file with what this one has not.
    pub(super) parent: Option<String>,
}

/// A line of the extents.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) sectors: u64,
    pub(super) kind: ExtentKind,
}

/// What an extent consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExtentKind {
    Zero,
    /// Bytes as they are, from a sector of the file.
    Flat {
        name: String,
        sector: u64,
    },
    Sparse {
        name: String,
    },
}

impl Descriptor {
    /// Reads a description. `part` is named in errors.
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
        // All ones: there is none.
        let none = parent.is_empty() || parent.eq_ignore_ascii_case("ffffffff");
        found.parent = (!none).then_some(hint);
        Ok(found)
    }
}

/// `ACCESS SECTORS KIND "NAME" [SECTOR]`.
fn extent(line: &str, part: &Part) -> Result<Extent> {
    let wrong = |why: &str| part.damaged(format_args!("{why}, in its line {}", shown(line)));
    let (front, quoted) = line.split_once('"').unwrap_or((line, ""));
    let (name, rest) = quoted.split_once('"').unwrap_or_default();
    let mut words = front.split_whitespace();
    let (access, sectors, kind) = (words.next(), words.next(), words.next().unwrap_or_default());
    let sectors: u64 = sectors.and_then(|word| word.parse().ok()).ok_or_else(|| wrong("there is no size"))?;
    if access == Some("NOACCESS") {
        return Err(wrong("an extent may not be read"));
    }
    if name.is_empty() && kind != "ZERO" {
        return Err(wrong("an extent has no file"));
    }
    let name = name.to_owned();
    let kind = match kind {
        "ZERO" => ExtentKind::Zero,
        "FLAT" | "VMFS" => {
            let sector = match rest.split_whitespace().next() {
                Some(word) => word.parse().map_err(|_| wrong("an extent does not say where it begins"))?,
                None => 0,
            };
            ExtentKind::Flat { name, sector }
        }
        "SPARSE" => ExtentKind::Sparse { name },
        other => {
            let why = format!("its extents are of the kind {}, which only ESX reads", shown(other));
            return Err(part
                .refused(why)
                .hint("clone it with `vmkfstools -i FILE -d thin`, or export it as an OVA"));
        }
    };
    Ok(Extent { sectors, kind })
}
