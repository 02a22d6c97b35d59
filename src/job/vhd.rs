//! Footers of fixed VHDs, at the ends of a job: put behind an image, and taken off one.

use super::Far;
use crate::disk::vhd::{FOOTER, Footer, WithFooter, WithoutFooter, id_of};
use crate::disk::{Buffers, Identity, ReadAt};
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The id and the time in the footer of an image, which are the same in every run that finds the same image.
pub(super) fn stamp(image: Option<&Identity>) -> Result<([u8; 16], SystemTime)> {
    let known = serde_json::to_string(&image)
        .map_err(|e| Error::new(Kind::Source, "the image has a name that cannot be told").source(e))?;
    Ok((id_of(&known), image.map_or(UNIX_EPOCH, modified)))
}

/// When an image was last modified, as far as that is known.
fn modified(image: &Identity) -> SystemTime {
    match image {
        Identity::File { mtime_ns, .. } => {
            UNIX_EPOCH + Duration::from_nanos(u64::try_from(*mtime_ns).unwrap_or(0))
        }
        Identity::Image { files, .. } => files.iter().map(modified).max().unwrap_or(UNIX_EPOCH),
        Identity::Device { .. } | Identity::Remote { .. } | Identity::Stream { .. } => UNIX_EPOCH,
    }
}

/// A disk as the VHD that it becomes.
pub(super) fn with_footer(disk: Arc<dyn ReadAt>, image: Option<&Identity>) -> Result<Arc<dyn ReadAt>> {
    let (id, made) = stamp(image)?;
    Ok(Arc::new(WithFooter::new(disk, id, made)?))
}

/// The footer with which a disk of VHDs ends, if it does; `None` on any other remote.
async fn footer(disk: &Arc<dyn ReadAt>, far: &Far, context: &Context) -> Result<Option<Footer>> {
    let Some(end) = disk.info().size.checked_sub(FOOTER).filter(|_| far.store.info().vhd) else {
        return Ok(None);
    };
    footer_at(disk, end, context).await
}

/// The footer of a fixed VHD that is at that place of a disk.
async fn footer_at(disk: &Arc<dyn ReadAt>, offset: u64, context: &Context) -> Result<Option<Footer>> {
    let what = format!("reading the end of {}", disk.info().name);
    let read = async || disk.read_at(offset, FOOTER, Buffers::new(1).take(0)).await;
    let bytes = context.retry.run(&what, Some(offset), read).await?;
    Ok(bytes.as_array::<512>().and_then(Footer::parse).filter(Footer::is_fixed))
}

/// A disk without the footer that it ends with, if VHDs are what is kept there. `hint` says how else it can be had.
pub(super) async fn without_footer(
    disk: Arc<dyn ReadAt>,
    far: &Far,
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

/// A disk as the VHD that it is, or that it becomes.
pub(super) async fn as_vhd(
    disk: Arc<dyn ReadAt>,
    image: &Identity,
    far: &Far,
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

/// An image as the VHD that `there` should be. The id and the time in a footer are whatever they are there, if it is one of an
/// image of that size: a copy of the image, or one that was touched, makes no other VHD.
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
