//! `restore`: a backup as the image of an upload or of a download.

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

/// A backup that is to be read.
pub struct Backup {
    /// The store.
    store: String,
    /// What it is called there.
    id: String,
    /// The name of what is made of it.
    name: String,
    disk: IndexDisk,
    properties: Properties,
}

impl Backup {
    /// One of a store's.
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

    /// An index that is a file anywhere.
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

    /// As the image of an upload.
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

    /// As what a download fetches.
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

/// The keys of a drive that a new one can be made with; what a server fills in itself (status, counters, the name and size, which
/// are given beside them) is not among them, and neither are the drives that it was to be apart from, which may be gone.
fn is_kept(key: &str) -> bool {
    const KEPT: [&str; 3] = ["tags", "encryption:cipher", "claim:type"];
    KEPT.contains(&key) || (key.starts_with("user:") && key != TRANSFER_KEY)
}

/// The keys of a new drive: those of the one that was backed up, where it was one of the same provider, and those that are `given`,
/// which come first.
pub fn keys(backup: &Backup, provider: &str, given: &[(String, String)]) -> Vec<(String, String)> {
    let mut keys = given.to_vec();
    if backup.properties.provider == provider {
        for (key, value) in &backup.properties.keys {
            // What a store says is data: a value of several lines would be several keys of a request.
            let is_one_line = !key.contains(char::is_whitespace) && !value.contains(char::is_control);
            let is_new = !keys.iter().any(|(k, _)| k == key);
            if is_kept(key) && is_one_line && is_new && !value.is_empty() {
                keys.push((key.clone(), value.clone()));
            }
        }
    }
    keys
}
