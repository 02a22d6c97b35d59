//! Reads and writes of a drive's bytes (Open Hosting API, "Read Binary Data from a Drive" and "Write Binary
//! Data to a Drive"; the same in Crosspeer's and CloudSigma's manuals).

use super::{Shared, blocking};
use crate::emulator::Dialect;
use crate::emulator::answer::{Answer, Refusal, RefusalKind, Reply};
use crate::emulator::call::{Call, Encoding};
use crate::emulator::drives::{Contents, Payload};
use crate::emulator::faults::{FaultKind, WrongBytes};
use crate::emulator::stream::{Reading, streamed};
use axum::body::Body;
use http_body_util::BodyExt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// "SIZE may not exceed 4MB for a single request" (Crosspeer API and CloudSigma API 1.0): 4 MiB, the chunk of
/// the vendors' tools.
const READ_LIMIT: u64 = 4 << 20;

/// `GET drives/DRIVE/read[/OFFSET[/SIZE]]`
pub(crate) async fn read(shared: Arc<Shared>, call: Call) -> Answer {
    let (offset, size) = (call.size(1)?.unwrap_or(0), call.size(2)?);
    let wrong = call.wrong.clone();
    let (first, rest, misplaced) = blocking(move || {
        let drive = shared.drives.find(call.argument(0))?;
        let contents = drive.open()?;
        let Some(left) = contents.size().checked_sub(offset) else {
            return Err(Refusal::usage(format!(
                "Offset {offset} is beyond the drive's {} bytes",
                contents.size()
            )));
        };
        // Open Hosting prints no limit, and an optional SIZE: without it the reply is the rest of the drive.
        let limited = shared.provider != Dialect::OpenHosting;
        if limited && size.unwrap_or(left) > READ_LIMIT {
            return Err(Refusal::usage(format!("At most {READ_LIMIT} bytes can be read at once")));
        }
        let len = size.unwrap_or(left).min(left);
        if shared.dealer.refuses(offset, len) {
            return Err(Refusal::new(
                RefusalKind::Refused,
                "Reading failed; this is a fault made on purpose",
            ));
        }
        drive.count_read(len);
        let elsewhere = wrong.and_then(|wrong| wrong.elsewhere(offset, len, contents.size()));
        let offset = elsewhere.unwrap_or(offset);
        let (first, rest) =
            Reading::new(move |at, len| contents.read(at, len), offset, offset + len).next()?;
        Ok((first, rest, elsewhere.is_some()))
    })
    .await?;
    let data = Reply::Data(streamed(first, rest));
    Ok(if misplaced { Reply::Wrong(Box::new(data)) } else { data })
}

/// `POST drives/DRIVE/write[/OFFSET]`
pub(crate) async fn write(shared: Arc<Shared>, call: Call) -> Answer {
    let (encoding, offset) = (call.encoding()?, call.size(1)?.unwrap_or(0));
    let uuid = call.argument(0).to_owned();
    let announced = call.content_length();
    if announced > SPOOLS {
        // A large body that cannot fit is refused before it is read.
        let (shared, uuid) = (Arc::clone(&shared), uuid.clone());
        blocking(move || {
            let size = shared.drives.get(&uuid)?.record().size;
            let fits = room(size, offset)? >= announced;
            if fits || encoding == Encoding::Gzip { Ok(()) } else { Err(too_small(size)) }
        })
        .await?;
    }
    let payload = collect(call.body, shared.drives.spool().to_owned()).await?;
    let (wrong, active) = (call.wrong, shared.activity.begin());
    blocking(move || {
        let _active = active;
        let drive = shared.drives.get(&uuid)?;
        shared.unclaimed(&uuid)?;
        let contents = drive.open()?;
        let room = room(contents.size(), offset)?;
        let payload = match encoding {
            Encoding::Plain => payload,
            Encoding::Gzip => payload.gunzip(room)?,
        };
        let len = payload.len();
        if len > room {
            return Err(too_small(contents.size()));
        }
        if shared.dealer.refuses(offset, len) {
            return Err(Refusal::new(
                RefusalKind::Refused,
                "Writing failed; this is a fault made on purpose",
            ));
        }
        let _writing = drive.writing()?;
        let _noisy = contents.has_noise().then(|| drive.noisy());
        let got_wrong = write_wrongly(&contents, offset, payload, wrong.as_ref())?;
        // As far as the API can tell, the bytes lost behind it were written.
        drive.count_write(len);
        Ok(if got_wrong { Reply::Wrong(Box::new(Reply::Done)) } else { Reply::Done })
    })
    .await
}

/// Writes a payload, wrongly if a fault says so. Returns whether the fault had an effect.
fn write_wrongly(
    contents: &Contents,
    offset: u64,
    payload: Payload,
    wrong: Option<&WrongBytes>,
) -> io::Result<bool> {
    let len = payload.len();
    let Some(wrong) = wrong.filter(|_| len > 0) else {
        return contents.write(offset, payload).map(|()| false);
    };
    match wrong.kind {
        FaultKind::Drop => Ok(true),
        FaultKind::Bend => {
            let (at, bit) = wrong.bit(len);
            contents.write(offset, payload)?;
            contents.flip(offset + at, bit)?;
            Ok(true)
        }
        _ => {
            let elsewhere = wrong.elsewhere(offset, len, contents.size());
            contents.write(elsewhere.unwrap_or(offset), payload)?;
            Ok(elsewhere.is_some())
        }
    }
}

/// From this size on, a body is checked against the drive before it is read.
const SPOOLS: u64 = 16 << 20;

/// Returns the space after an offset.
fn room(size: u64, offset: u64) -> Result<u64, Refusal> {
    size.checked_sub(offset).ok_or_else(|| too_small(size))
}

fn too_small(size: u64) -> Refusal {
    Refusal::full(format!("The write goes beyond the drive's {size} bytes"))
}

/// Reads a whole body.
async fn collect(mut body: Body, spool: PathBuf) -> Result<Payload, Refusal> {
    let mut payload = Payload::new(spool);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::usage(format!("The body ended early: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if payload.spools(piece.len()) {
            payload = blocking(move || payload.push(piece).map(|()| payload).map_err(Refusal::from)).await?;
        } else {
            payload.push(piece)?;
        }
    }
    Ok(payload)
}
