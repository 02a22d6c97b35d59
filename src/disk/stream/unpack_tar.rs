//! The images of a tar archive that passes by.

use super::unpack::{Stop, Take, Walk};
use super::unpack_guard::RECORDS;
use crate::disk::format::HEAD;
use crate::error::{Error, Kind};
use std::cell::Cell;
use std::io::{self, Read};

/// The most names that are kept to be listed.
const MOST_NAMES: usize = 20;

/// The first image of an archive. What comes after it is read too, so that a damaged end is noticed.
/// `allowance` is that of the input: the archive's reader takes records into memory as long as they are.
pub(super) fn first_image(
    walk: &mut Walk<'_, '_>,
    input: impl Read,
    allowance: &Cell<u64>,
    depth: usize,
    take: Take<'_>,
) -> Result<(), Stop> {
    let wanted = walk.wanted.member.as_deref().map(plain_name);
    if wanted.is_some() {
        // Other images may come in front of the one that was named.
        walk.guard.reached();
    }
    let mut archive = tar::Archive::new(input);
    let mut taken = false;
    let mut entries = archive.entries().map_err(Stop::Io)?;
    // What the next step passes over before it comes to a header.
    let mut rest = 0_u64;
    loop {
        allowance.set(rest.saturating_add(RECORDS).min(u64::MAX - 1));
        let entry = entries.next();
        allowance.set(u64::MAX);
        let Some(entry) = entry else { break };
        let mut entry = entry.map_err(Stop::Io)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let is_image = (kind.is_file() || kind.is_gnu_sparse()) && !is_description(&name);
        if is_image && walk.contents.images.len() < MOST_NAMES {
            walk.contents.images.push(name.chars().take(200).collect());
        }
        let is_wanted = match wanted {
            Some(wanted) => (kind.is_file() || kind.is_gnu_sparse()) && plain_name(&name) == wanted,
            None => is_image,
        };
        if taken || !is_wanted {
            // A sparse file is as long in the archive as its header says, others may have it in their
            // records.
            let kept = if kind.is_gnu_sparse() { entry.header().entry_size() } else { Ok(entry.size()) };
            rest = kept.map_err(Stop::Io)?;
            continue;
        }
        let extensions = entry.pax_extensions().map_err(Stop::Io)?;
        let mut sparse = extensions.into_iter().flatten().flatten();
        if sparse.any(|extension| extension.key_bytes().starts_with(b"GNU.sparse.")) {
            // A name can be as long as a record.
            let shown: String = name.chars().take(200).collect();
            let why = format!("{shown:?} is a sparse file in a form that cannot be unpacked");
            let error = Error::new(Kind::Source, why).hint("pack it again with tar --format=gnu -S");
            return Err(Stop::Refused(error));
        }
        (walk.contents.size, walk.contents.member) = (Some(entry.size()), Some(name));
        let inner = walk.contents.layers.len();
        let done = walk.each(Box::new(&mut entry), depth + 1, take);
        if walk.contents.layers.len() > inner {
            // The size of what is packed in the archive says nothing of the image.
            walk.contents.size = None;
        }
        done?;
        // A decoder may leave something behind its end.
        io::copy(&mut entry, &mut io::sink()).map_err(Stop::Io)?;
        (rest, taken) = (0, true);
    }
    // The padding at the end, and with it the checksum of what the archive is packed in.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Stop::Io)?;
    if taken {
        return Ok(());
    }
    let error = match &walk.wanted.member {
        Some(_) => no_such_member(&walk.contents.images),
        None => Error::new(Kind::Source, "the archive holds no image"),
    };
    Err(Stop::Refused(error))
}

/// The error for a file that an archive does not have. `images`: those that it has.
pub(in crate::disk) fn no_such_member(images: &[String]) -> Error {
    let error = Error::new(Kind::Source, "the archive holds no file of the name that --member gives");
    error.hint(format!("its images: {}", listed(images)))
}

/// Names from an archive, fit to be shown.
pub(in crate::disk) fn listed(names: &[String]) -> String {
    let shown = |name: &String| format!("`{}`", crate::escape::line(name));
    let mut all: Vec<String> = names.iter().take(MOST_NAMES).map(shown).collect();
    if names.len() >= MOST_NAMES {
        all.push("…".to_owned());
    }
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// A name as it is compared: `tar cf x.tar ./disk` and `tar cf x.tar disk` have the same file in them.
pub(in crate::disk) fn plain_name(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

/// Files that come with an image in an archive and are none.
pub(in crate::disk) fn is_description(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    name.starts_with('.')
        || name.starts_with("readme")
        || name.ends_with("sums")
        || matches!(
            extension,
            "ovf"
                | "mf"
                | "cert"
                | "xml"
                | "json"
                | "yaml"
                | "yml"
                | "txt"
                | "md"
                | "md5"
                | "sha1"
                | "sha256"
                | "sha512"
                | "asc"
                | "sig"
                | "nvram"
                | "conf"
                | "cfg"
                | "log"
        )
}

/// The header of an archive has a checksum over itself, which settles it where an image has the same five
/// letters.
pub(super) fn is_tar(head: &[u8]) -> bool {
    if head.len() < HEAD || &head[257..262] != b"ustar" {
        return false;
    }
    let header = tar::Header::from_byte_slice(&head[..HEAD]);
    let sum: u32 = head[..HEAD]
        .iter()
        .enumerate()
        .map(|(i, byte)| if (148..156).contains(&i) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    header.cksum().is_ok_and(|told| told == sum)
}
