//! Migrates a drive or an appliance of one remote to a drive of another, without a local disk in between.
//!
//! A migration is an [`upload`](super::upload) whose image is on another remote. A source that can be read at
//! any offset (a drive, or a raw appliance whose server supports ranges) can be resumed at both ends. A
//! source that must be unpacked, or read from its start, is a stream: it is read again and compared up to the
//! point where the earlier run ended.

use super::appliance::Found;
use super::upload::{Image, ImageBytes, Upload};
use super::{Access, Done, RemoteStore, Settings, usable, vhd};
use crate::disk::appliance::ApplianceDisk;
use crate::disk::appliance::pull::{beside, pull};
use crate::disk::format::TargetFormat;
use crate::disk::stream::unpack::{Contents, Packing, unpack};
use crate::disk::stream::{Stream, xz_index};
use crate::disk::{Identity, ReadAt};
use crate::engine::Context;
use crate::engine::resume::read_place;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Summary};
use crate::journal::{self, Directory, Header};
use std::sync::Arc;

/// Opens a disk as the image of an upload to another remote.
pub async fn disk(drive: &str, from: &RemoteStore, context: &Context) -> Result<Image> {
    let facts = usable(drive, Access::Read, from, context).await?;
    if facts.size == 0 {
        return Err(Error::new(Kind::Source, format!("{} is empty", from.called(drive))));
    }
    let identity = Identity::Remote {
        account: from.account.clone(),
        object: drive.to_owned(),
        size: facts.size,
        validator: None,
    };
    let disk = from.store.read(&facts, Some(identity)).await?;
    let disk = vhd::without_footer(disk, from, "", context).await?;
    let name = if facts.name.trim().is_empty() { drive.to_owned() } else { facts.name };
    Ok(Image {
        bytes: ImageBytes::Disk(disk),
        name,
        from: format!("{}:{drive}", from.remote),
        action: "migrate",
        format: String::new(),
        target: TargetFormat::Raw,
    })
}

/// Migrates an appliance, written as `written_as`. `size` is the size of the raw image, if the user knows it;
/// otherwise it is determined.
pub async fn appliance(
    found: &Found,
    size: Option<u64>,
    written_as: TargetFormat,
    upload: Upload,
    far: &RemoteStore,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Done<Summary>>> {
    let contents = found.look().await?;
    let from = format!("{}:{}", found.remote, found.id);
    let image = |bytes, name| {
        let (format, target) = (reading(&contents), TargetFormat::Raw);
        Image { bytes, name, from: from.clone(), action: "migrate", format, target }.written_as(written_as)
    };
    let disk = ApplianceDisk::new(found.appliance.clone(), &found.access);
    if let (Some(disk), true) = (disk, contents.layers.is_empty()) {
        let identity = found.identity(disk.info().size);
        let bytes = ImageBytes::Disk(Arc::new(disk.known_as(identity)));
        return upload.run(image(bytes, found.image_name(&contents))?, far, settings, context).await;
    }
    let size = match (size, known(found, &upload, far, settings)?, contents.size) {
        (Some(given), _, told) => {
            if let Some(told) = told.filter(|told| *told != given) {
                return Err(Error::usage(format!(
                    "`--size` is {given} bytes and the image in {from} has {told}"
                )));
            }
            given
        }
        (None, Some(known), _) => known,
        (None, None, Some(told)) => told,
        (None, None, None) => find_size(found, &contents, context).await?,
    };
    if !contents.layers.is_empty() {
        let text =
            format!("{from} holds {} ({size} bytes raw): unpacking it on the way", contents.describe());
        (context.observer)(&Event::Note(text));
    }
    let pull = pull(&found.appliance, &found.access, false);
    let reader = if contents.layers.is_empty() { pull.reader } else { unpack(pull.reader)? };
    let stream = Stream::piped(reader, &found.appliance.name(), size, found.identity(size))?;
    let image = image(ImageBytes::Stream(Box::new(stream)), found.image_name(&contents))?;
    let (done, _) = beside(upload.run(image, far, settings, context), pull.feeding).await;
    done
}

/// Returns the format of an appliance as shown in plans.
fn reading(contents: &Contents) -> String {
    if contents.layers.is_empty() { "raw".to_owned() } else { format!("raw in {}", contents.describe()) }
}

/// Returns the raw size that an earlier run of the same migration found.
fn known(found: &Found, upload: &Upload, far: &RemoteStore, settings: &Settings) -> Result<Option<u64>> {
    if settings.restart {
        return Ok(None);
    }
    let header = Header {
        action: "migrate".into(),
        remote: far.remote.clone(),
        drive: upload.drive.clone(),
        image: Some(found.identity(0)),
        ..Header::default()
    };
    let path = settings.journals.path(&Directory::id(&header))?;
    let replay = if path.exists() { Some(journal::peek(&path)?) } else { None };
    // The size of what is written may be larger than that of the image.
    let was = replay.and_then(|replay| replay.header.image);
    Ok(was.and_then(|was| match was {
        Identity::Remote { size, .. } if found.identity(size).difference(&was).is_none() => Some(size),
        _ => None,
    }))
}

/// Finds the raw size: from the format if it states the size, otherwise by unpacking everything once.
async fn find_size(found: &Found, contents: &Contents, context: &Context) -> Result<u64> {
    if contents.layers.is_empty() {
        return found.access.size().ok_or_else(|| {
            Error::usage(format!("the server does not tell the size of {}", found.appliance.name()))
                .hint("give the size with `--size`")
        });
    }
    if let ([Packing::Xz], Some(disk)) =
        (&contents.layers[..], ApplianceDisk::new(found.appliance.clone(), &found.access))
    {
        let read = async |offset: u64, len: u64| read_place(&disk, offset, len, context).await;
        if let Some(raw) = xz_index::raw_size(disk.info().size, read).await? {
            return Ok(raw);
        }
    }
    let text = format!(
        "reading {} once to find the size of its image; `--size` avoids that",
        found.appliance.name()
    );
    (context.observer)(&Event::Warning(text));
    count(found, context).await
}

/// Unpacks everything once and returns the number of bytes.
async fn count(found: &Found, context: &Context) -> Result<u64> {
    let pull = pull(&found.appliance, &found.access, false);
    let mut reader = unpack(pull.reader)?;
    let counting = tokio::task::spawn_blocking(move || {
        let failure = reader.failure();
        std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| failure.behind(e, "unpacking failed"))
    });
    let counting =
        async { counting.await.map_err(|e| Error::new(Kind::Io, "the counting thread has died").source(e))? };
    beside(context.stop.unless_asked(counting), pull.feeding).await.0
}
