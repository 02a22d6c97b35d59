//! Extracts an image from a tar archive that is read as a stream.

use super::unpack::{Stop, Take, Walk};
use super::unpack_guard::RECORDS;
use crate::disk::format::HEAD;
use crate::error::{Error, Kind};
use std::cell::Cell;
use std::io::{self, Read};

/// The most names that are kept for a list.
const MOST_NAMES: usize = 20;

/// Extracts the first image of an archive. What follows it is read too, so that damage at the end is
/// detected. `allowance` is that of the input, because the tar reader reads records of any length into
/// memory.
pub(super) fn first_image(
    walk: &mut Walk<'_, '_>,
    input: impl Read,
    allowance: &Cell<u64>,
    depth: usize,
    take: Take<'_>,
) -> Result<(), Stop> {
    let wanted = walk.wanted.member.as_deref().map(plain_name);
    if wanted.is_some() {
        // Other images may precede the selected one.
        walk.guard.reached();
    }
    let mut archive = tar::Archive::new(input);
    let mut taken = false;
    let mut entries = archive.entries().map_err(Stop::Io)?;
    // How many bytes the next step skips before it reaches a header.
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
            // The header has the stored length of a GNU sparse file; other sparse files may have it in their
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
            let why = format!("{shown:?} is a sparse file in an unsupported form");
            let error = Error::new(Kind::Source, why).hint("create the archive with `tar --format=gnu -S`");
            return Err(Stop::Refused(error));
        }
        (walk.contents.size, walk.contents.member) = (Some(entry.size()), Some(name));
        let inner = walk.contents.layers.len();
        let done = walk.each(Box::new(&mut entry), depth + 1, take);
        if walk.contents.layers.len() > inner {
            // The size of a compressed member says nothing about the image.
            walk.contents.size = None;
        }
        done?;
        // A decoder may leave data after its end.
        io::copy(&mut entry, &mut io::sink()).map_err(Stop::Io)?;
        (rest, taken) = (0, true);
    }
    // Read the padding at the end, and with it the checksum of an outer layer.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Stop::Io)?;
    if taken {
        return Ok(());
    }
    let error = match &walk.wanted.member {
        Some(_) => no_such_member(&walk.contents.images),
        None => Error::new(Kind::Source, "the archive contains no image"),
    };
    Err(Stop::Refused(error))
}

/// Returns the error for a member that an archive lacks. `images` are those it has.
pub(in crate::disk) fn no_such_member(images: &[String]) -> Error {
    let error = Error::new(Kind::Source, "the archive has no member of the name given by `--member`");
    error.hint(format!("its images: {}", listed(images)))
}

/// Returns names from an archive for display.
pub(in crate::disk) fn listed(names: &[String]) -> String {
    let shown = |name: &String| format!("`{}`", crate::escape::line(name));
    let mut all: Vec<String> = names.iter().take(MOST_NAMES).map(shown).collect();
    if names.len() >= MOST_NAMES {
        all.push("…".to_owned());
    }
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Normalizes a name for comparison: `tar cf x.tar ./disk` and `tar cf x.tar disk` contain the same file.
pub(in crate::disk) fn plain_name(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

/// Returns whether a file accompanies an image in an archive and is not one itself.
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

/// Checks for a tar header. Its checksum rules out an image that has the same five letters there.
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
