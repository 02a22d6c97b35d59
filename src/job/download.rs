//! `download`: a drive, or an appliance whose server has ranges, into a file or onto standard output.

use super::{Earlier, Far, Settings, announce, check_usable, count_resumed, summary, write_manifest};
use crate::chunk::Geometry;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{DriveRecord, Header, Journal};
use crate::sink::{PartFile, in_the_way};
use crate::source::{Identity, MappedSource};
use crate::transfer::Context;
use crate::transfer::download::{Downloaded, to_file, to_stream};
use crate::transfer::ledger::Ledger;
use crate::transfer::verify::{Verify, with_digests, with_file};
use crate::transport::Readable;
use crate::transport::drives::Drive;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A download.
#[derive(Clone, Debug)]
pub struct Download {
    /// Where it goes; `-` is standard output, a directory takes a file named after what is fetched, and so does `None`.
    pub to: Option<PathBuf>,
    /// Whether a file that stands there is replaced.
    pub force: bool,
}

/// What is fetched.
#[derive(Clone, Debug)]
pub struct Object<D> {
    /// Its bytes.
    pub disk: D,
    /// How many of them.
    pub size: u64,
    /// The drive's UUID, or `appliance/KEY`.
    pub id: String,
    /// The name of a file for it.
    pub file_name: String,
    /// What tells one version from another, where the server says it.
    pub identity: Option<Identity>,
    /// The remote's name.
    pub remote: String,
    /// Its address and user, or `local`.
    pub account: String,
}

impl Object<Drive> {
    /// A drive, asked for and found usable.
    pub async fn drive(drive: &str, far: &Far, context: &Context) -> Result<Self> {
        let info = far.drives.info(drive).await?;
        check_usable(&info, context)?;
        if info.size == 0 {
            return Err(Error::new(Kind::Source, format!("drive {} is empty", info.drive)));
        }
        Ok(Self {
            disk: far.drives.disk(drive),
            size: info.size,
            id: drive.to_owned(),
            file_name: file_name(&info.name, &format!("{}.raw", info.drive)),
            identity: None,
            remote: far.remote.clone(),
            account: far.account.clone(),
        })
    }
}

/// The end of a download.
#[derive(Debug)]
pub struct Downloads {
    /// Where the image is now; `None` for standard output.
    pub file: Option<PathBuf>,
    /// What was done.
    pub summary: Summary,
}

impl Download {
    /// Refuses, before the server is asked, what is known to be in the way.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        settings.check()?;
        match self.to.as_deref().filter(|p| !is_stream(p) && !p.is_dir()) {
            Some(file) => self.check_free(file),
            None => Ok(()),
        }
    }

    /// Runs the download, several ranges at a time; `None` if only the plan was wanted.
    pub async fn run<D: Readable>(
        self,
        object: &Object<D>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Downloads>> {
        let start = Instant::now();
        self.check(settings)?;
        let geometry = Geometry::checked(object.size, settings.chunk_size)?;
        if self.to.as_deref().is_some_and(is_stream) {
            return self.to_stdout(object, geometry, settings, context, start).await;
        }
        let file = self.target(&object.file_name)?;
        self.check_free(&file)?;
        let header = header(&file, object, settings);
        let mut earlier = Earlier::find(settings, &header, context)?;
        let part = match &earlier.replay {
            Some(_) => PartFile::resume(&file, object.size)?,
            None => None,
        };
        if earlier.replay.is_some() && part.is_none() {
            let text = format!(
                "{} of the earlier run is gone or has another size: starting over",
                PartFile::path_of(&file).display()
            );
            (context.observer)(&Event::Warning(text));
            (earlier.replay, earlier.journal) = (None, None);
        }
        if part.is_none() && earlier.replay.is_none() {
            self.check_stray(&file, settings)?;
        }
        let mut ledger = earlier.ledger(geometry, settings.digest);
        let resumed = count_resumed(&ledger, context);
        announce(plan(&file.display().to_string(), object, settings, context, &ledger), context);
        if settings.dry_run {
            return Ok(None);
        }

        let mut journal = earlier.journal(header)?;
        let part = match part {
            Some(part) => part,
            None => PartFile::create(&file, object.size)?,
        };
        if journal.drive().is_none() {
            journal.set_drive(DriveRecord { drive: object.id.clone(), created: false, skip_zeros: false })?;
        }
        let done = to_file(&object.disk, &part, settings.sha256, &journal, &mut ledger, context).await?;
        let verified = verify(&object.disk, &part, &mut ledger, settings, &journal, context).await?;
        part.finish(self.force)?;
        write_manifest(settings, &ledger, done.sha256.clone())?;
        journal.remove()?;
        let summary = summary_of(object, &done, resumed, verified, &ledger, context, start);
        Ok(Some(Downloads { file: Some(file), summary }))
    }

    async fn to_stdout<D: Readable>(
        &self,
        object: &Object<D>,
        geometry: Geometry,
        settings: &Settings,
        context: &Context,
        start: Instant,
    ) -> Result<Option<Downloads>> {
        let mut ledger = Ledger::new(geometry, settings.digest);
        announce(plan("standard output", object, settings, context, &ledger), context);
        if settings.dry_run {
            return Ok(None);
        }
        let out = Box::new(std::io::stdout());
        let done = to_stream(&object.disk, out, settings.sha256, &mut ledger, context).await?;
        let chosen = settings.verify.choose(geometry.chunks(), &object.id);
        let verified = if chosen.is_empty() {
            0
        } else {
            // What went down the pipe cannot be read again; that the drive says the same twice is what can be known.
            let compared = with_digests(&object.disk, &ledger, &chosen, context).await?;
            let chunks = compared.chunks;
            if let Some(error) = compared.into_error(geometry, "a second reading") {
                return Err(error);
            }
            chunks
        };
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = summary_of(object, &done, 0, verified, &ledger, context, start);
        Ok(Some(Downloads { file: None, summary }))
    }

    /// The file that the image goes to, absolute.
    pub(super) fn target(&self, name: &str) -> Result<PathBuf> {
        let given = self.to.clone().unwrap_or_else(|| PathBuf::from("."));
        let file = if given.is_dir() { given.join(name) } else { given };
        std::path::absolute(&file).map_err(|e| Error::io(format!("finding {}", file.display()), e))
    }

    /// Refuses to overwrite a `.part` of which no transfer is known.
    pub(super) fn check_stray(&self, file: &Path, settings: &Settings) -> Result<()> {
        let stray = PartFile::path_of(file);
        if !stray.exists() || self.force || settings.restart {
            return Ok(());
        }
        Err(Error::new(Kind::Exists, format!("{} is in the way", stray.display()))
            .hint("it is of no transfer that is known here; --restart overwrites it"))
    }

    pub(super) fn check_free(&self, file: &Path) -> Result<()> {
        let Ok(meta) = std::fs::metadata(file) else { return Ok(()) };
        if !meta.is_file() {
            return Err(Error::new(Kind::Exists, format!("{} is not a file", file.display())).hint(
                "to write to a device, use standard output: diskferry download REMOTE:DRIVE - > DEVICE",
            ));
        }
        if self.force { Ok(()) } else { Err(in_the_way(file)) }
    }
}

/// What a download's journal says of it.
pub(super) fn header<D>(file: &Path, object: &Object<D>, settings: &Settings) -> Header {
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
        new_drive: None,
        command: settings.command.clone(),
    }
}

/// The plan of a download.
pub(super) fn plan<D>(
    to: &str,
    object: &Object<D>,
    settings: &Settings,
    context: &Context,
    ledger: &Ledger,
) -> Plan {
    Plan {
        action: "download",
        from: format!("{}:{}", object.remote, object.id),
        to: to.to_owned(),
        drive: Some(object.id.clone()),
        size: ledger.geometry().image_size(),
        chunk_size: settings.chunk_size,
        chunks_total: ledger.geometry().chunks(),
        chunks_resumed: ledger.settled(),
        concurrency: context.concurrency,
        // These APIs compress no reads.
        compress: "none".into(),
        zeros: "skip".into(),
        verify: settings.verify.name().into(),
        dry_run: settings.dry_run,
    }
}

fn summary_of<D>(
    object: &Object<D>,
    done: &Downloaded,
    resumed: u64,
    verified: u64,
    ledger: &Ledger,
    context: &Context,
    start: Instant,
) -> Summary {
    Summary {
        chunks_sent: done.sent,
        chunks_zero: done.zero,
        chunks_resumed: resumed,
        chunks_verified: verified,
        ..summary(&object.id, ledger, done.sha256.as_deref(), context, start)
    }
}

pub(super) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file name for what has a name: that, if a file can be called so, else `instead`.
pub(super) fn file_name(name: &str, instead: &str) -> String {
    let name = name.trim();
    let usable = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && !name.contains(|c: char| c == '/' || c.is_control());
    if usable { name.to_owned() } else { instead.to_owned() }
}

/// Reads everything a second time and compares it with what is in the file. A chunk that differs is taken back.
async fn verify<D: Readable>(
    disk: &D,
    part: &PartFile,
    ledger: &mut Ledger,
    settings: &Settings,
    journal: &Journal,
    context: &Context,
) -> Result<u64> {
    if settings.verify == Verify::None {
        return Ok(0);
    }
    let geometry = ledger.geometry();
    let chosen = settings.verify.choose(geometry.chunks(), &journal.header().transfer);
    let file = MappedSource::open(part.part())?;
    let compared = with_file(disk, &file, ledger, &chosen, context).await?;
    for index in &compared.differ {
        journal.revoke(*index)?;
    }
    let chunks = compared.chunks;
    match compared.into_error(geometry, &part.part().display().to_string()) {
        None => Ok(chunks),
        Some(error) => Err(error.hint("run the same command again to fetch these chunks anew")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_files_name_unless_it_cannot_be() {
        assert_eq!(file_name(" root.img ", "u-1.raw"), "root.img");
        for bad in ["", "..", ".hidden", "a/b", "a\nb"] {
            assert_eq!(file_name(bad, "u-1.raw"), "u-1.raw", "{bad:?}");
        }
    }
}
