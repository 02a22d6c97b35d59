//! `download`: a drive into a file or onto standard output.

use super::{Earlier, Far, Settings, announce, check_usable, count_resumed, summary, write_manifest};
use crate::chunk::Geometry;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{DriveRecord, Header, Journal};
use crate::sink::{PartFile, in_the_way};
use crate::source::MappedSource;
use crate::transfer::Context;
use crate::transfer::download::{Downloaded, to_file, to_stream};
use crate::transfer::ledger::Ledger;
use crate::transfer::verify::{Verify, with_digests, with_file};
use crate::transport::drives::{Drive, DriveInfo};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A download.
#[derive(Clone, Debug)]
pub struct Download {
    /// The drive.
    pub drive: String,
    /// Where it goes; `-` is standard output, a directory takes a file named after the drive, and so does `None`.
    pub to: Option<PathBuf>,
    /// Whether a file that stands there is replaced.
    pub force: bool,
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
    /// Runs the download; `None` if only the plan was wanted.
    pub async fn run(self, far: &Far, settings: &Settings, context: &Context) -> Result<Option<Downloads>> {
        let start = Instant::now();
        settings.check()?;
        if let Some(file) = self.to.as_deref().filter(|p| !is_stream(p) && !p.is_dir()) {
            // Before the server is asked: the file's name is known already.
            self.check_free(file)?;
        }
        let info = far.drives.info(&self.drive).await?;
        check_usable(&info, context)?;
        if info.size == 0 {
            return Err(Error::new(Kind::Source, format!("drive {} is empty", info.drive)));
        }
        let disk = far.drives.disk(&self.drive);
        let geometry = Geometry::new(info.size, settings.chunk_size);
        if self.to.as_deref().is_some_and(is_stream) {
            return self.to_stdout(&disk, geometry, far, settings, context, start).await;
        }
        let file = self.target(&info)?;
        self.check_free(&file)?;
        let header = self.header(&file, &info, far, settings);
        let mut earlier = Earlier::find(settings, &header, context)?;
        let part = match &earlier.replay {
            Some(_) => PartFile::resume(&file, info.size)?,
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
        let stray = PartFile::path_of(&file);
        if part.is_none() && earlier.replay.is_none() && stray.exists() && !(self.force || settings.restart) {
            return Err(Error::new(Kind::Exists, format!("{} is in the way", stray.display()))
                .hint("it is of no transfer that is known here; --restart overwrites it"));
        }
        let mut ledger = earlier.ledger(geometry, settings.digest);
        let resumed = count_resumed(&ledger, context);
        announce(self.plan(&file.display().to_string(), far, settings, context, &ledger), context);
        if settings.dry_run {
            return Ok(None);
        }

        let mut journal = earlier.journal(header)?;
        let part = match part {
            Some(part) => part,
            None => PartFile::create(&file, info.size)?,
        };
        if journal.drive().is_none() {
            journal.set_drive(DriveRecord {
                drive: info.drive.clone(),
                created: false,
                skip_zeros: false,
            })?;
        }
        let done = to_file(&disk, &part, settings.sha256, &journal, &mut ledger, context).await?;
        let verified = verify(&disk, &part, &mut ledger, settings, &journal, context).await?;
        part.finish(self.force)?;
        write_manifest(settings, &ledger, done.sha256.clone())?;
        journal.remove()?;
        let summary = self.summary(&done, resumed, verified, &ledger, context, start);
        Ok(Some(Downloads { file: Some(file), summary }))
    }

    async fn to_stdout(
        &self,
        disk: &Drive,
        geometry: Geometry,
        far: &Far,
        settings: &Settings,
        context: &Context,
        start: Instant,
    ) -> Result<Option<Downloads>> {
        let mut ledger = Ledger::new(geometry, settings.digest);
        announce(self.plan("standard output", far, settings, context, &ledger), context);
        if settings.dry_run {
            return Ok(None);
        }
        let out = Box::new(std::io::stdout());
        let done = to_stream(disk, out, settings.sha256, &mut ledger, context).await?;
        let chosen = settings.verify.choose(geometry.chunks(), &self.drive);
        let verified = if chosen.is_empty() {
            0
        } else {
            // What went down the pipe cannot be read again; that the drive says the same twice is what can be known.
            let compared = with_digests(disk, &ledger, &chosen, context).await?;
            let chunks = compared.chunks;
            if let Some(error) = compared.into_error(geometry, "a second reading") {
                return Err(error);
            }
            chunks
        };
        write_manifest(settings, &ledger, done.sha256.clone())?;
        let summary = self.summary(&done, 0, verified, &ledger, context, start);
        Ok(Some(Downloads { file: None, summary }))
    }

    fn summary(
        &self,
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
            ..summary(&self.drive, ledger, done.sha256.as_deref(), context, start)
        }
    }

    /// The file that the image goes to, absolute.
    fn target(&self, info: &DriveInfo) -> Result<PathBuf> {
        let given = self.to.clone().unwrap_or_else(|| PathBuf::from("."));
        let file = if given.is_dir() { given.join(file_name(info)) } else { given };
        std::path::absolute(&file).map_err(|e| Error::io(format!("finding {}", file.display()), e))
    }

    fn check_free(&self, file: &Path) -> Result<()> {
        let Ok(meta) = std::fs::metadata(file) else { return Ok(()) };
        if !meta.is_file() {
            return Err(Error::new(Kind::Exists, format!("{} is not a file", file.display())).hint(
                "to write to a device, use standard output: diskferry download REMOTE:DRIVE - > DEVICE",
            ));
        }
        if self.force { Ok(()) } else { Err(in_the_way(file)) }
    }

    fn header(&self, file: &Path, info: &DriveInfo, far: &Far, settings: &Settings) -> Header {
        Header {
            action: "download".into(),
            transfer: uuid::Uuid::new_v4().to_string(),
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: Some(self.drive.clone()),
            image: None,
            file: Some(file.to_owned()),
            size: info.size,
            chunk_size: settings.chunk_size,
            digest: settings.digest.name().into(),
            new_drive: None,
            command: settings.command.clone(),
        }
    }

    fn plan(&self, to: &str, far: &Far, settings: &Settings, context: &Context, ledger: &Ledger) -> Plan {
        Plan {
            action: "download",
            from: format!("{}:{}", far.remote, self.drive),
            to: to.to_owned(),
            drive: Some(self.drive.clone()),
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
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file name for a drive: its own name, if that can be one, else its UUID.
fn file_name(info: &DriveInfo) -> String {
    let name = info.name.trim();
    let usable = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && !name.contains(|c: char| c == '/' || c.is_control());
    if usable { name.to_owned() } else { format!("{}.raw", info.drive) }
}

/// Reads the drive a second time and compares it with what is in the file. A chunk that differs is taken back.
async fn verify(
    disk: &Drive,
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
    use crate::wire::elastic::Properties;

    #[test]
    fn a_drive_names_its_file_unless_its_name_cannot() {
        let info = |name: &str| DriveInfo {
            drive: "u-1".into(),
            name: name.into(),
            size: 1,
            properties: Properties::new(),
        };
        assert_eq!(file_name(&info("root.img")), "root.img");
        for bad in ["", "..", ".hidden", "a/b", "a\nb"] {
            assert_eq!(file_name(&info(bad)), "u-1.raw", "{bad:?}");
        }
    }
}
