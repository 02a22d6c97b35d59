//! Downloads appliances to a file or to standard output, packed or unpacked on the way.
//!
//! If the server supports ranges and the appliance stays packed, this is a [`download`](super::download) like
//! that of a drive: several ranges in flight, resumed after any interruption. Any other appliance is fetched
//! as one stream. A dropped connection is opened again, but a run that ends early leaves nothing to resume.

use super::download::{
    Download, Downloads, FileForm, Object, begin, file_name, forget, header, is_stream, known_part, plan,
};
use super::resumable::{Resumable, start_over};
use super::{Done, Settings, announce, once_free, summary, vhd, write_manifest};
use crate::disk::appliance::pull::{beside, pull};
use crate::disk::appliance::{Access, Appliance, ApplianceDisk};
use crate::disk::file::{PartDisk, PartFile};
use crate::disk::format::TargetFormat;
use crate::disk::stdout::StreamWriter;
use crate::disk::stream::Stream;
use crate::disk::stream::unpack::{Contents, look, unpack};
use crate::disk::{Evidence, Identity, ReadAt, WriteAt};
use crate::engine::compare::Amount;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Proof;
use crate::engine::{Context, DigestOptions, StreamCopied, copy_stream};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage, Summary};
use crate::journal::Destination;
use std::sync::Arc;
use std::time::Instant;

/// The number of bytes that are read to detect the contents of an appliance. Archives may have small files
/// before the image.
pub(super) const HEAD: u64 = 1 << 20;

/// An appliance, as the provider and the server describe it.
pub struct Found {
    /// The appliance on its provider.
    pub appliance: Appliance,
    /// How the server lets it be read.
    pub access: Access,
    /// The name of the appliance.
    pub name: String,
    /// The id, `appliance/KEY`.
    pub id: String,
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user.
    pub account: String,
}

impl Found {
    /// Queries the provider and the server that keeps the appliance, and compares their answers.
    pub async fn ask(appliance: Appliance, key: &str, remote: &str, account: &str) -> Result<Self> {
        let info = appliance.info().await?;
        let access = appliance.probe().await?;
        check_size(&appliance.name(), info.size, access.size())?;
        let access = match access {
            // The provider's size is better than none; the stream is compared with it.
            Access::Whole { size: None, why } => Access::Whole { size: info.size, why },
            access => access,
        };
        Ok(Self {
            appliance,
            access,
            name: info.name,
            id: format!("appliance/{key}"),
            remote: remote.to_owned(),
            account: account.to_owned(),
        })
    }

    /// Returns the identity of this version of the appliance.
    pub(super) fn identity(&self, size: u64) -> Identity {
        Identity::Remote {
            account: self.account.clone(),
            object: self.id.clone(),
            size,
            validator: self.access.validator().map(str::to_owned),
        }
    }

    /// Detects the contents from the first bytes.
    pub(super) async fn look(&self) -> Result<Contents> {
        let head = self.appliance.head(&self.access, HEAD).await?;
        // Unpacking untrusted data may take long.
        let looking = tokio::task::spawn_blocking(move || look(&head));
        let looking = async {
            looking.await.map_err(|e| Error::new(Kind::Io, "the looking thread has died").source(e))?
        };
        let looked = self.appliance.retry().stop.unless_asked(looking).await;
        looked.map_err(|e| e.context(self.appliance.name()))
    }

    /// Returns the appliance as the object of a download.
    fn object<D>(&self, disk: D, size: u64, file_name: String) -> Object<D> {
        Object {
            disk,
            size,
            id: self.id.clone(),
            file_name,
            identity: Some(self.identity(size)),
            remote: self.remote.clone(),
            account: self.account.clone(),
            form: FileForm::default(),
            drive: None,
        }
    }

    /// Returns the image in the form in which it is to be written.
    ///
    /// # Errors
    /// Fails unless the appliance is an unpacked image whose server supports ranges.
    async fn formed(
        &self,
        disk: Option<ApplianceDisk>,
        unpacking: bool,
        form: FileForm,
    ) -> Result<Object<Arc<dyn ReadAt>>> {
        let refused = |why: &str| {
            let text = format!("{} cannot be written as {}: {why}", self.appliance.name(), form.format);
            Error::usage(text)
                .hint("download the raw image, then convert that, as with `qemu-img convert -O qcow2`")
        };
        let disk = disk.filter(|_| !unpacking).ok_or_else(|| refused("it comes as one stream"))?;
        if !self.look().await?.layers.is_empty() {
            return Err(refused("it is packed"));
        }
        let identity = self.identity(disk.info().size);
        let disk: Arc<dyn ReadAt> = match form.format {
            TargetFormat::Vhd => vhd::with_footer(Arc::new(disk), Some(&identity))?,
            TargetFormat::Raw | TargetFormat::Qcow2 => Arc::new(disk),
        };
        let size = disk.info().size;
        let name = form.file_name(self.file_name());
        Ok(Object { form, identity: Some(identity), ..self.object(disk, size, name) })
    }

    /// Returns a file name for the appliance as it is kept.
    fn file_name(&self) -> String {
        file_name(&self.name, self.id.rsplit('/').next().unwrap_or_default())
    }

    /// Returns a file name for the image in it: the name of the archive's member, if the image is one.
    pub(super) fn image_name(&self, contents: &Contents) -> String {
        let member = contents.member.as_deref().and_then(|path| path.rsplit('/').next());
        unpacked_name(&file_name(member.unwrap_or_default(), &self.file_name()))
    }
}

/// Compares the size that the provider states with the size that was found. The manual does not say in which
/// unit the provider states it, so a size of another order of magnitude is not compared.
fn check_size(what: &str, told: Option<u64>, found: Option<u64>) -> Result<()> {
    let (Some(told), Some(found)) = (told, found) else { return Ok(()) };
    if told == found || told < found / 500 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Protocol,
        format!("{what} has {told} bytes by its description and {found} where it is kept"),
    )
    .hint("it may be changing right now, or the server is wrong: try again later"))
}

/// Returns the name without the extensions of compression and archive formats.
fn unpacked_name(name: &str) -> String {
    let stem = |name: &str| {
        [".gz", ".xz", ".zst", ".tgz", ".txz", ".tar", ".ova"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .filter(|stem| !stem.is_empty())
            .map(str::to_owned)
    };
    let mut name = name.to_owned();
    while let Some(shorter) = stem(&name) {
        name = shorter;
    }
    name
}

impl Download {
    /// Fetches an appliance, to be written as `form`. Returns `None` for a dry run.
    pub async fn appliance(
        self,
        found: &Found,
        unpacking: bool,
        form: FileForm,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Downloads>>> {
        if self.delta {
            return Err(Error::usage("`--delta` is for drives, and this is an appliance"));
        }
        let disk = ApplianceDisk::new(found.appliance.clone(), &found.access);
        if form != FileForm::default() {
            let object = found.formed(disk, unpacking, form).await?;
            return self.run(&object, settings, context).await;
        }
        match disk {
            Some(disk) if !unpacking => {
                let size = disk.info().size;
                let disk: Arc<dyn ReadAt> = Arc::new(disk);
                self.run(&found.object(disk, size, found.file_name()), settings, context).await
            }
            _ => self.stream(found, unpacking, settings, context).await,
        }
    }

    /// Fetches the appliance as one stream.
    async fn stream(
        self,
        found: &Found,
        unpacking: bool,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Downloads>>> {
        let start = Instant::now();
        let contents = if unpacking { found.look().await? } else { Contents::default() };
        // If the length is unknown, only the start can be planned.
        let size = found.access.size().unwrap_or(0);
        let name = if unpacking { found.image_name(&contents) } else { found.file_name() };
        let object = found.object((), size, name);
        let geometry = crate::chunk::Geometry::checked(size, settings.chunk_size)?;
        let empty = Ledger::new(geometry, settings.digest);
        let file = match self.to.as_deref() {
            Some(to) if is_stream(to) => None,
            _ => Some(self.target(&object.file_name)?),
        };
        let to = file.as_ref().map_or_else(|| "standard output".to_owned(), |f| f.display().to_string());
        let claim = match &file {
            Some(file) if !settings.dry_run => {
                Some(once_free(context, || settings.destinations.claim(&Destination::file(file))).await?)
            }
            _ => None,
        };
        let earlier = match &file {
            Some(file) => {
                self.check_free(file)?;
                let header = header(file, &object, settings);
                let find = async |settings: &Settings| {
                    if settings.restart && !settings.dry_run {
                        forget(file, &header, settings)?;
                    }
                    once_free(context, || Resumable::find(settings, &header, context)).await
                };
                Some(match find(settings).await {
                    Err(error) => find(&start_over(error, settings, context)?).await?,
                    Ok(found) => found,
                })
            }
            None => None,
        };
        announce(plan(&to, &object, settings, context, &empty, &Proof::nothing()), context);
        tell(found, unpacking, &contents, earlier.as_ref(), context);
        if settings.dry_run {
            return Ok(None);
        }
        let (mut journal, mut part, mut claim) = (None, None, claim);
        if let (Some(file), Some(earlier), Some(claim)) = (&file, earlier, &mut claim) {
            if let Some(known) = known_part(&earlier) {
                // Nothing in the file can be resumed.
                PartFile::discard(file, known)?;
            }
            let mut new = earlier.journal(header(file, &object, settings))?;
            part = Some(begin(file, &object, Evidence::default(), &mut new, settings)?);
            new.claim(claim.raise()?)?;
            journal = Some(new);
        }
        let ground: Arc<dyn WriteAt> = match &part {
            Some(to) => Arc::new(PartDisk::new(to.part().clone(), 0)),
            None => Arc::new(StreamWriter::start(Box::new(std::io::stdout()), 0)?),
        };
        let (landed, digest) = fetch(found, unpacking, ground, settings, context).await?;
        let verified = verify(found, digest.as_deref(), &landed, settings, context).await?;
        if let Some(to) = part {
            to.part().set_len(landed.ledger.geometry().image_size())?;
            to.finish(self.force, &context.stop).await?;
        }
        write_manifest(settings, &landed.ledger, landed.sha256.clone())?;
        let summary = Summary {
            chunks_sent: landed.data,
            chunks_zero: landed.zero,
            chunks_verified: verified,
            ..summary(&found.id, &landed.ledger, landed.sha256.as_deref(), context, start)
        };
        Ok(Some(Done::new(Downloads { file, summary }, journal, claim)))
    }
}

/// Pulls the stream and writes it to the destination. Also returns the digest of the bytes that the server
/// sent.
async fn fetch(
    found: &Found,
    unpacking: bool,
    ground: Arc<dyn WriteAt>,
    settings: &Settings,
    context: &Context,
) -> Result<(StreamCopied, Option<String>)> {
    let pull = pull(&found.appliance, &found.access, true);
    let reader = if unpacking { unpack(pull.reader)? } else { pull.reader };
    let stream = Stream::endless(reader, "the stream").start()?;
    let options =
        DigestOptions { chunk_size: settings.chunk_size, digest: settings.digest, sha256: settings.sha256 };
    let (landed, digest) = beside(copy_stream(stream, ground, options, context), pull.feeding).await;
    let landed = landed.map_err(|error| match error.kind() {
        kind if kind.is_retryable() => error
            .with_kind(Kind::Incomplete)
            .hint("run the same command again: it starts from the beginning, as this server has no ranges"),
        _ => error,
    })?;
    (context.observer)(&Event::Stage(Stage::Finish));
    Ok((landed, digest))
}

/// Warns about what is not possible with this appliance.
fn tell(found: &Found, unpacking: bool, contents: &Contents, earlier: Option<&Resumable>, context: &Context) {
    let warn = |text: String| (context.observer)(&Event::Warning(text));
    if let Access::Whole { why, .. } = &found.access {
        warn(format!("{why}: if this run is interrupted, the next one starts from the beginning"));
    } else if unpacking {
        (context.observer)(&Event::Note(
            "a download with `--unpack` cannot be resumed, one without can".to_owned(),
        ));
    }
    if unpacking && contents.layers.is_empty() {
        warn(format!("{} is not packed: fetching it as it is", found.appliance.name()));
    }
    if earlier.is_some_and(Resumable::is_resumed) {
        warn("the interrupted run cannot be resumed: starting from the beginning".to_owned());
    }
}

/// Pulls everything a second time and compares it with the first reading. Returns the number of chunks that
/// this verifies.
async fn verify(
    found: &Found,
    digest: Option<&str>,
    landed: &StreamCopied,
    settings: &Settings,
    context: &Context,
) -> Result<u64> {
    if settings.verify == Amount::None {
        return Ok(0);
    }
    (context.observer)(&Event::Stage(Stage::Verify));
    let pull = pull(&found.appliance, &found.access, false);
    let sink = tokio::task::spawn_blocking(move || {
        let mut reader = pull.reader;
        let failure = reader.failure();
        std::io::copy(&mut reader, &mut std::io::sink())
            .map_err(|e| failure.behind(e, "reading it again failed"))
    });
    let sink =
        async { sink.await.map_err(|e| Error::new(Kind::Io, "the reading thread has died").source(e))? };
    let (read, again) = beside(context.stop.unless_asked(sink), pull.feeding).await;
    read?;
    if digest.is_none() || again.as_deref() != digest {
        return Err(Error::new(
            Kind::Differ,
            format!("{}: a second reading differs from the first", found.appliance.name()),
        )
        .hint("it may be changing now: run the same command again later"));
    }
    Ok(landed.ledger.geometry().chunks())
}

#[cfg(test)]
mod tests {
    use super::{check_size, unpacked_name};

    #[test]
    fn a_size_that_is_told_in_bytes_has_to_be_right() {
        for (told, found) in [(Some(10), Some(10)), (None, Some(10)), (Some(10), None)] {
            assert!(check_size("it", told, found).is_ok(), "{told:?} {found:?}");
        }
        // Megabytes, then kilobytes.
        assert!(check_size("it", Some(29), Some(30_000_000)).is_ok());
        assert!(check_size("it", Some(29_296), Some(30_000_000)).is_ok());
        for told in [29_999_999, 30_000_001, 15_000_000] {
            let error = check_size("it", Some(told), Some(30_000_000)).unwrap_err();
            assert!(error.to_string().contains("where it is kept"), "{error}");
        }
    }

    #[test]
    fn an_image_is_named_without_its_packing() {
        for (packed, image) in [
            ("disk.img.gz", "disk.img"),
            ("disk.raw.tar.xz", "disk.raw"),
            ("disk.tar.gz", "disk"),
            ("disk.tgz", "disk"),
            ("disk.img", "disk.img"),
            (".gz", ".gz"),
        ] {
            assert_eq!(unpacked_name(packed), image);
        }
    }
}
