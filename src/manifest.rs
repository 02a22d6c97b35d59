//! The chunk digests of an image, as JSON for other tools.

use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::engine::ledger::Ledger;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// The version of the format.
pub const VERSION: u32 = 1;

/// A manifest: the contents of an image, chunk by chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format, [`VERSION`].
    pub version: u32,
    /// The size of the image in bytes.
    pub image_size: u64,
    /// The size of a chunk in bytes; the last chunk may be shorter.
    pub chunk_size: u64,
    /// The algorithm of all digests except that of the whole image: `blake3` or `sha256`.
    pub algorithm: String,
    /// The digest over the bytes of all chunk digests, in order.
    pub digest: String,
    /// The SHA-256 of the whole image, if it was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// One entry for each chunk, in order.
    pub chunks: Vec<Entry>,
}

/// A chunk in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The digest of the chunk in hexadecimal.
    pub digest: String,
    /// Whether the chunk is all zeros.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero: bool,
}

impl Manifest {
    /// Creates the manifest of a finished transfer.
    pub fn new(geometry: Geometry, algorithm: Algorithm, ledger: &Ledger, sha256: Option<String>) -> Self {
        let chunks =
            ledger.digests().map(|(digest, zero)| Entry { digest: digest.to_string(), zero }).collect();
        Self {
            version: VERSION,
            image_size: geometry.image_size(),
            chunk_size: geometry.chunk_size(),
            algorithm: algorithm.name().to_owned(),
            digest: ledger.digest().to_string(),
            sha256,
            chunks,
        }
    }

    /// Writes the manifest atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let what = || format!("cannot write the manifest {}", path.display());
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(dir)
            .map_err(|e| Error::io(what(), e))?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|e| Error::io(what(), e.into()))?;
        file.write_all(b"\n").map_err(|e| Error::io(what(), e))?;
        file.as_file().sync_all().map_err(|e| Error::io(what(), e))?;
        file.persist(path).map_err(|e| Error::io(what(), e.error))?;
        Ok(())
    }
}
