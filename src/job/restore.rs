//! Restores a backup, as the image of an upload or the object of a download.

use super::download::{FileForm, Object};
use super::upload::{Image, ImageBytes};
use crate::backup::{BackupStore, Properties, SnapshotId};
use crate::disk::ReadAt;
use crate::disk::chunks::IndexDisk;
use crate::disk::elastic::drives::TRANSFER_KEY;
use crate::disk::format::TargetFormat;
use crate::error::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// A backup to restore.
pub struct Backup {
    /// The name of the store.
    store: String,
    /// The id in the store, or the path of the index.
    id: String,
    /// The name for the restored drive or file.
    name: String,
    disk: IndexDisk,
    properties: Properties,
}

impl Backup {
    /// Opens a backup of a store.
    pub async fn of(store: &BackupStore, id: &SnapshotId) -> Result<Self> {
        let properties = store.properties(id).await?.unwrap_or_default();
        let name = match properties.name.trim() {
            "" => id.name.to_string(),
            name => name.to_owned(),
        };
        let disk = store.disk(id).await?;
        Ok(Self {
            store: store.name().to_owned(),
            id: format!("{}@{}", id.name, id.when),
            name,
            disk,
            properties,
        })
    }

    /// Opens an index that is a file at any path.
    pub async fn of_file(store: &BackupStore, path: &Path) -> Result<Self> {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            store: store.name().to_owned(),
            id: path.display().to_string(),
            name,
            disk: store.disk_of_file(path).await?,
            properties: Properties::default(),
        })
    }

    fn disk(&self) -> Result<Arc<dyn ReadAt>> {
        if self.disk.info().size == 0 {
            return Err(Error::new(Kind::Source, format!("{} is empty", self.id)));
        }
        Ok(Arc::new(self.disk.clone()))
    }

    /// Returns the backup as the image of an upload.
    pub fn image(&self) -> Result<Image> {
        Ok(Image {
            bytes: ImageBytes::Disk(self.disk()?),
            name: self.name.clone(),
            from: format!("{} in {}", self.id, self.store),
            action: "restore",
            format: String::new(),
            target: TargetFormat::Raw,
        })
    }

    /// Returns the backup as the object of a download.
    pub fn object(&self, form: FileForm) -> Result<Object<Arc<dyn ReadAt>>> {
        let disk = self.disk()?;
        Ok(Object {
            size: disk.info().size,
            identity: disk.info().identity.clone(),
            disk,
            id: self.id.clone(),
            file_name: form.file_name(super::download::file_name(&self.name, "disk.raw")),
            remote: self.store.clone(),
            account: self.store.clone(),
            form,
            drive: None,
        })
    }
}

/// Returns whether a new drive can be created with this property of the old one.
///
/// Excluded are the properties that the server sets itself (status, counters), the name and size, which are
/// given separately, and the drives from which the old one was kept apart, which may be gone.
fn is_kept(key: &str) -> bool {
    const KEPT: [&str; 3] = ["tags", "encryption:cipher", "claim:type"];
    KEPT.contains(&key) || (key.starts_with("user:") && key != TRANSFER_KEY)
}

/// Returns the properties of a new drive: those in `given`, and those of the old drive if it was of the same
/// provider. The given ones take precedence.
pub fn keys(backup: &Backup, provider: &str, given: &[(String, String)]) -> Vec<(String, String)> {
    let mut keys = given.to_vec();
    if backup.properties.provider == provider {
        for (key, value) in &backup.properties.keys {
            // A store's contents are untrusted: a value of several lines would be several properties in a
            // request.
            let is_one_line = !key.contains(char::is_whitespace) && !value.contains(char::is_control);
            let is_new = !keys.iter().any(|(k, _)| k == key);
            if is_kept(key) && is_one_line && is_new && !value.is_empty() {
                keys.push((key.clone(), value.clone()));
            }
        }
    }
    keys
}
