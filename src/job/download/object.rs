//! The object that a download fetches, its journal header and its plan.

use super::FileForm;
use crate::disk::format::TargetFormat;
use crate::disk::store::Facts;
use crate::disk::{Evidence, Identity, ReadAt};
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Proof;
use crate::error::{Error, Kind, Result};
use crate::escape::steers;
use crate::event::Plan;
use crate::job::{Access, RemoteStore, Settings, usable, vhd};
use crate::journal::{Destination, Header};
use std::path::Path;
use std::sync::Arc;

/// A drive, an appliance or a backup to download.
#[derive(Clone)]
pub struct Object<D> {
    /// The disk to read.
    pub disk: D,
    /// The size in bytes.
    pub size: u64,
    /// The drive's UUID, `appliance/KEY`, or a backup's `NAME@TIME` or index path.
    pub id: String,
    /// The name for a file with this object.
    pub file_name: String,
    /// The identity of this version, if the server can distinguish versions.
    pub identity: Option<Identity>,
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user, or `local`.
    pub account: String,
    /// The form in which to write it.
    pub form: FileForm,
    /// The drive, if the object is one.
    pub drive: Option<DriveSeen>,
}

/// A drive, as found before anything was read.
#[derive(Clone, Debug)]
pub struct DriveSeen {
    /// The properties of the drive.
    pub facts: Facts,
    /// Whether each run that writes to the drive marks it.
    pub marks: bool,
    /// The drive as a destination of other transfers.
    pub destination: Destination,
}

impl Object<Arc<dyn ReadAt>> {
    /// Opens a disk of a remote, to be written as `form`. Refuses a disk that cannot be used now.
    pub async fn disk(drive: &str, form: FileForm, far: &RemoteStore, context: &Context) -> Result<Self> {
        let facts = usable(drive, Access::Read, far, context).await?;
        if facts.size == 0 {
            return Err(Error::new(Kind::Source, format!("{} is empty", far.called(&facts.disk))));
        }
        let disk = far.store.read(&facts, None).await?;
        let store = far.store.info();
        let destination = Destination::disk(&far.account, &facts.disk, store.noun);
        let (account, object) = (far.account.clone(), drive.to_owned());
        let known = Identity::Remote { account, object, size: facts.size, validator: None };
        let disk = match form.format {
            TargetFormat::Vhd => vhd::as_vhd(disk, &known, far, context).await?,
            _ => vhd::without_footer(disk, far, "`--format vhd` keeps it as it is", context).await?,
        };
        Ok(Self {
            size: disk.info().size,
            disk,
            // The fallback is never the id that the server reports, because it may become a path.
            file_name: form
                .file_name(file_name(&facts.name, &file_name(&format!("{drive}.raw"), "disk.raw"))),
            form,
            id: drive.to_owned(),
            identity: None,
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: Some(DriveSeen { facts, marks: store.marks, destination }),
        })
    }

    /// Returns whether a change between two runs shows without reading: the server has a validator, or counts
    /// writes.
    pub(super) fn tells_changes(&self) -> bool {
        self.identity.is_some() || self.disk.info().evidence != Evidence::default()
    }

    /// Returns the generation of the drive as a destination of runs on this machine.
    pub(super) fn generation(&self, settings: &Settings) -> Option<String> {
        settings.destinations.generation(&self.drive.as_ref()?.destination)
    }

    pub(super) fn evidence(&self) -> Evidence {
        self.disk.info().evidence.clone()
    }
}

/// Returns the journal header of a download.
pub(in crate::job) fn header<D>(file: &Path, object: &Object<D>, settings: &Settings) -> Header {
    Header {
        action: "download".into(),
        transfer: uuid::Uuid::new_v4().to_string(),
        remote: object.remote.clone(),
        account: object.account.clone(),
        drive: Some(object.id.clone()),
        image: object.identity.clone(),
        file: Some(file.to_owned()),
        size: object.size,
        chunk_size: settings.chunk_size,
        digest: settings.digest.name().into(),
        format: object.form.format.label(),
        new_drive: None,
        command: settings.command.clone(),
        directory: settings.directory.clone(),
        compare_all: false,
    }
}

/// Returns the plan of a download.
pub(in crate::job) fn plan<D>(
    to: &str,
    object: &Object<D>,
    settings: &Settings,
    context: &Context,
    ledger: &Ledger,
    proof: &Proof,
) -> Plan {
    Plan {
        action: "download",
        from: format!("{}:{}", object.remote, object.id),
        format: String::new(),
        to: to.to_owned(),
        target_format: object.form.format.label(),
        drive: Some(object.id.clone()),
        size: ledger.geometry().image_size(),
        chunk_size: settings.chunk_size,
        chunks_total: ledger.geometry().chunks(),
        chunks_resumed: ledger.settled(),
        concurrency: context.most_in_flight(),
        // These APIs compress no reads, so this is about the file.
        compress: object.form.compress(),
        zeros: "skip".into(),
        verify: settings.verify.name().into(),
        resume: proof.extent.name().into(),
        resume_why: if ledger.settled() > 0 { proof.why.clone() } else { String::new() },
        delta: String::new(),
        delta_why: String::new(),
        dry_run: settings.dry_run,
    }
}

/// Returns `name` if it is safe as a file name, otherwise `instead`, which never comes from a server.
///
/// A safe name has at most 200 bytes, does not start like a hidden file or an option, and has no character
/// that separates directories or changes how the name is displayed.
pub(in crate::job) fn file_name(name: &str, instead: &str) -> String {
    let name = name.trim();
    let usable = !name.is_empty()
        && !name.starts_with(['.', '-', '~'])
        && name.len() <= 200
        && !name.contains(|c: char| matches!(c, '/' | '\\') || steers(c));
    if usable { name.to_owned() } else { instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_files_name_unless_it_cannot_be() {
        assert_eq!(file_name(" root.img ", "u-1.raw"), "root.img");
        for bad in [
            "",
            "..",
            ".hidden",
            "-rf",
            "~",
            "a/b",
            "a\\b",
            "a\nb",
            "a\u{202e}b",
            "a\u{2028}b",
            &"é".repeat(101),
        ] {
            assert_eq!(file_name(bad, "u-1.raw"), "u-1.raw", "{bad:?}");
        }
    }
}
