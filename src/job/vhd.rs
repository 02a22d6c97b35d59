//! Adds footers of fixed VHDs to images and removes them.

use super::RemoteStore;
use crate::disk::vhd::{FOOTER, Footer, WithFooter, WithoutFooter, id_of};
use crate::disk::{Buffers, Identity, ReadAt};
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the id and the time for the footer of an image. They are the same in every run with the same
/// image.
pub(super) fn stamp(image: Option<&Identity>) -> Result<([u8; 16], SystemTime)> {
    let known = serde_json::to_string(&image)
        .map_err(|e| Error::new(Kind::Source, "the image has a name that cannot be told").source(e))?;
    Ok((id_of(&known), image.map_or(UNIX_EPOCH, modified)))
}

/// Returns when an image was last modified, or the Unix epoch if that is unknown.
fn modified(image: &Identity) -> SystemTime {
    match image {
        Identity::File { mtime_ns, .. } => {
            UNIX_EPOCH + Duration::from_nanos(u64::try_from(*mtime_ns).unwrap_or(0))
        }
        Identity::Image { files, .. } => files.iter().map(modified).max().unwrap_or(UNIX_EPOCH),
        Identity::Device { .. } | Identity::Remote { .. } | Identity::Stream { .. } => UNIX_EPOCH,
    }
}

/// Returns a disk with a footer, as a VHD.
pub(super) fn with_footer(disk: Arc<dyn ReadAt>, image: Option<&Identity>) -> Result<Arc<dyn ReadAt>> {
    let (id, made) = stamp(image)?;
    Ok(Arc::new(WithFooter::new(disk, id, made)?))
}

/// Returns the footer at the end of a disk, if the remote keeps VHDs and there is one.
async fn footer(disk: &Arc<dyn ReadAt>, far: &RemoteStore, context: &Context) -> Result<Option<Footer>> {
    let Some(end) = disk.info().size.checked_sub(FOOTER).filter(|_| far.store.info().vhd) else {
        return Ok(None);
    };
    footer_at(disk, end, context).await
}

/// Returns the footer of a fixed VHD at an offset of a disk.
async fn footer_at(disk: &Arc<dyn ReadAt>, offset: u64, context: &Context) -> Result<Option<Footer>> {
    let what = format!("reading the end of {}", disk.info().name);
    let read = async || disk.read_at(offset, FOOTER, Buffers::new(1).take(0)).await;
    let bytes = context.retry.run(&what, Some(offset), read).await?;
    Ok(bytes.as_array::<512>().and_then(Footer::parse).filter(Footer::is_fixed))
}

/// Returns a disk without the footer at its end, if the remote keeps VHDs. `hint` says how to get the disk
/// with its footer.
pub(super) async fn without_footer(
    disk: Arc<dyn ReadAt>,
    far: &RemoteStore,
    hint: &str,
    context: &Context,
) -> Result<Arc<dyn ReadAt>> {
    if footer(&disk, far, context).await?.is_none() {
        return Ok(disk);
    }
    let what = format!("reading the end of {}", disk.info().name);
    let found = context.retry.run(&what, None, async || WithoutFooter::detect(Arc::clone(&disk)).await).await;
    let Some(image) = found.map_err(|error| error.hint(hint))? else { return Ok(disk) };
    let text = format!(
        "{} is a fixed VHD: taking the image in it, of {} bytes, without its footer{}",
        disk.info().name,
        image.info().size,
        if hint.is_empty() { String::new() } else { format!(" ({hint})") }
    );
    (context.observer)(&Event::Note(text));
    Ok(Arc::new(image))
}

/// Returns a disk as a VHD: unchanged if it is one, otherwise with a footer.
pub(super) async fn as_vhd(
    disk: Arc<dyn ReadAt>,
    image: &Identity,
    far: &RemoteStore,
    context: &Context,
) -> Result<Arc<dyn ReadAt>> {
    match footer(&disk, far, context).await? {
        Some(_) => {
            let text = format!("{} is a fixed VHD already: taking it as it is", disk.info().name);
            (context.observer)(&Event::Note(text));
            Ok(disk)
        }
        None => with_footer(disk, Some(image)),
    }
}

/// Returns an image as the VHD that `there` should be.
///
/// If `there` has a footer for an image of this size, its id and time are used. So a copy of the image, or
/// one whose modification time changed, still makes the same VHD.
pub(super) async fn like(
    image: Arc<dyn ReadAt>,
    there: &Arc<dyn ReadAt>,
    context: &Context,
) -> Result<Arc<dyn ReadAt>> {
    let identity = image.info().identity.clone();
    let ours = with_footer(Arc::clone(&image), identity.as_ref())?;
    let end = ours.info().size - FOOTER;
    if there.info().size < ours.info().size {
        return Ok(ours);
    }
    match footer_at(there, end, context).await? {
        Some(footer) if footer.current_size == end => {
            Ok(Arc::new(WithFooter::new(image, footer.id, footer.made())?))
        }
        _ => Ok(ours),
    }
}
