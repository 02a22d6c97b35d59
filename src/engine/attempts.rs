//! The read and the write of one chunk, each retried.

use super::Context;
use super::governor::Governor;
use super::pipeline::Written;
use crate::chunk::Geometry;
use crate::disk::{Body, Buffer, Buffers, LocalRead, ReadAt, Receipt, WriteAt};
use crate::error::{Error, Kind, Result};
use crate::record::{Record, Request};
use crate::stop::stopped;
use bytes::Bytes;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Reads one chunk in as many reads as the disk requires.
pub(super) async fn read_chunk(
    disk: &dyn ReadAt,
    geometry: Geometry,
    index: u64,
    context: &Context,
    buffers: &Buffers,
) -> Result<Buffer> {
    let (offset, len) = (geometry.offset(index), geometry.len(index));
    let (limit, mut at) = (disk.info().read_limit.max(1), offset);
    let mut whole: Option<Buffer> = None;
    while at < offset + len {
        let step = limit.min(offset + len - at);
        let attempt = async || {
            let _slot = context.reads.slot().await;
            let room = if whole.is_none() { len } else { step };
            let into = buffers.take(usize::try_from(room).unwrap_or(usize::MAX));
            let timed = Timed::start(context);
            let read = disk.read_at(at, step, into).await;
            timed.end(index, Request::Read, read.is_ok());
            heed(&read, &context.reads);
            read
        };
        let read = context.retry.run("reading a chunk", Some(at), attempt).await;
        let piece = read.map_err(|e| e.context(&disk.info().name))?;
        match &mut whole {
            Some(whole) => whole.extend_from_slice(&piece),
            None => whole = Some(piece),
        }
        at += step;
    }
    Ok(whole.unwrap_or_else(|| buffers.take(0)))
}

/// Measures an attempt, if a report was asked for.
struct Timed<'a>(Option<(&'a Record, Instant)>);

impl<'a> Timed<'a> {
    fn start(context: &'a Context) -> Self {
        Self(context.record.as_deref().map(|record| (record, Instant::now())))
    }

    fn end(self, index: u64, request: Request, succeeded: bool) {
        if let Some((record, start)) = self.0 {
            record.attempt(index, request, start.elapsed(), succeeded);
        }
    }
}

/// Lowers the level of requests if the server asked for less.
fn heed<T>(attempted: &Result<T>, governor: &Governor) {
    let too_much = |kind| matches!(kind, Kind::Busy | Kind::SlowDown | Kind::Unavailable);
    if attempted.as_ref().is_err_and(|error| too_much(error.kind())) {
        governor.pushed_back();
    }
}

/// Writes one chunk. A write in flight is waited for until the stop's second phase.
pub(super) async fn write_chunk(
    to: &dyn WriteAt,
    watched: Option<&dyn ReadAt>,
    context: &Context,
    index: u64,
    range: Range<u64>,
    body: Option<Body>,
    zeros: Option<Body>,
) -> Result<Written> {
    let meters = &context.meters;
    let (image, wire) =
        (range.end - range.start, body.as_ref().or(zeros.as_ref()).map_or(0, |b| b.bytes().len() as u64));
    meters.in_flight_image.fetch_add(image, Relaxed);
    meters.in_flight_wire.fetch_add(wire, Relaxed);
    let check_unchanged = || watched.and_then(ReadAt::local).map_or(Ok(()), LocalRead::check_unchanged);
    let attempt = async || {
        let slot = context.writes.slot().await;
        if slot.is_some() && context.stop.is_asked() {
            return Err(stopped());
        }
        let timed = Timed::start(context);
        let written = attempt_write(to, range.clone(), body.as_ref(), zeros.as_ref()).await;
        timed.end(index, Request::Write, written.is_ok());
        heed(&written, &context.writes);
        if written.is_err() {
            // A changed image explains the failure, and need not be sent to its end.
            check_unchanged()?;
        }
        written
    };
    let written = context.retry.run_settled("writing a chunk", Some(range.start), attempt).await;
    meters.in_flight_image.fetch_sub(image, Relaxed);
    meters.in_flight_wire.fetch_sub(wire, Relaxed);
    written.map_err(|e| e.context(&to.info().name))
}

async fn attempt_write(
    to: &dyn WriteAt,
    range: Range<u64>,
    body: Option<&Body>,
    zeros: Option<&Body>,
) -> Result<Written> {
    if body.is_none()
        && let Some(receipt) = to.zero_at(range.clone()).await?
    {
        return Ok(Written { receipt, as_hole: true, wire: 0 });
    }
    let Some(body) = body.or(zeros) else {
        return Err(Error::new(Kind::Io, "a chunk has no body to write; this is a bug in diskferry"));
    };
    let wire = body.bytes().len() as u64;
    let receipt = match body {
        Body::Raw(bytes) => write_parts(to, range.start, bytes).await?,
        Body::Gzip(_) | Body::Chunk(..) => to.write_at(range.start, body.clone()).await?,
    };
    Ok(Written { receipt, as_hole: false, wire })
}

/// Writes uncompressed bytes in as many writes as the disk requires. The last receipt stands for all of them,
/// because it exists only if the earlier writes succeeded.
async fn write_parts(to: &dyn WriteAt, offset: u64, bytes: &Bytes) -> Result<Receipt> {
    let limit = usize::try_from(to.info().write_limit).unwrap_or(usize::MAX).max(1);
    let mut at = 0_usize;
    loop {
        let end = at.saturating_add(limit).min(bytes.len());
        let receipt = to.write_at(offset + at as u64, Body::Raw(bytes.slice(at..end))).await?;
        if end == bytes.len() {
            return Ok(receipt);
        }
        at = end;
    }
}
