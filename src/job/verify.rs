//! Compares an image with a drive, chunk by chunk.

use super::upload::Image;
use super::{Access, RemoteStore, Settings, announce, check_device, summary, usable, vhd, write_manifest};
use crate::chunk::Geometry;
use crate::disk::format::TargetFormat;
use crate::engine::Context;
use crate::engine::compare::{Amount, whole, with_original};
use crate::engine::ledger::Ledger;
use crate::engine::resume::Coverage;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use std::time::Instant;

/// A comparison of an image with a drive.
pub struct Verify {
    /// The image. It must be readable at any offset.
    pub image: Image,
    /// The drive to compare it with.
    pub drive: String,
    /// The format in which the image should be on the drive.
    pub target: TargetFormat,
}

/// The hint for comparing a VHD with its footer.
const AS_VHD: &str = "`--target-format vhd` also compares the footer";

/// The result of a comparison.
#[derive(Debug)]
pub struct Verified {
    /// The summary of the comparison.
    pub summary: Summary,
    /// The byte offsets of the chunks that differ, in order.
    pub differ: Vec<u64>,
    /// The error that reports the difference, if there is one.
    pub error: Option<Error>,
}

impl Verify {
    /// Runs the comparison. Returns `None` for a dry run, which only announces the plan.
    pub async fn run(
        self,
        far: &RemoteStore,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Verified>> {
        let start = Instant::now();
        settings.check()?;
        let from = &self.image.from;
        let here = self.image.bytes.disk().cloned().ok_or_else(|| {
            Error::usage(format!("{from} is {}, which cannot be compared as it is", self.image.format))
                .hint("unpack it first")
        })?;
        check_device(Some(&here), context)?;
        let info = usable(&self.drive, Access::Read, far, context).await?;
        let what = far.called(&info.disk);
        let disk = far.store.read(&info, None).await?;
        let (here, disk) = match self.target {
            TargetFormat::Vhd => (vhd::like(here, &disk, context).await?, disk),
            // A VHD that was uploaded unchanged is compared unchanged.
            _ if info.size == here.info().size => (here, disk),
            _ => (here, vhd::without_footer(disk, far, AS_VHD, context).await?),
        };
        let (size, there) = (here.info().size, disk.info().size);
        if there < size {
            return Err(Error::new(
                Kind::Differ,
                format!("{what} has {there} bytes and {from} has {size}, so they differ"),
            ));
        }
        if there > size {
            let text =
                format!("{what} is larger than the file: not comparing its last {} bytes", there - size);
            (context.observer)(&Event::Warning(text));
        }
        let geometry = Geometry::checked(size, settings.chunk_size)?;
        let mut ledger = Ledger::new(geometry, settings.digest);
        let amount = if settings.verify == Amount::None { Amount::Full } else { settings.verify };
        announce(
            Plan {
                action: "verify",
                from: from.clone(),
                format: self.image.format.clone(),
                to: format!("{}:{}", far.remote, info.disk),
                target_format: self.target.label(),
                drive: Some(info.disk.clone()),
                size: geometry.image_size(),
                chunk_size: settings.chunk_size,
                chunks_total: geometry.chunks(),
                chunks_resumed: 0,
                concurrency: context.most_in_flight(),
                compress: "none".into(),
                zeros: "write".into(),
                verify: amount.name().into(),
                resume: Coverage::None.name().into(),
                resume_why: String::new(),
                delta: String::new(),
                delta_why: String::new(),
                dry_run: settings.dry_run,
            },
            context,
        );
        if settings.dry_run {
            return Ok(None);
        }
        let chosen = amount.choose(geometry.chunks(), &uuid::Uuid::new_v4().to_string());
        let sha256 = async {
            if settings.sha256 { whole(&here, geometry, context).await.map(Some) } else { Ok(None) }
        };
        let comparing = with_original(&disk, &here, &mut ledger, &chosen, context);
        let (compared, sha256) = tokio::try_join!(comparing, sha256)?;
        if amount == Amount::Full {
            write_manifest(settings, &ledger, sha256.clone())?;
        }
        let mut summary = Summary {
            chunks_sent: compared.chunks,
            chunks_verified: compared.chunks - compared.differ.len() as u64,
            ..summary(&info.disk, &ledger, sha256.as_deref(), context, start)
        };
        if amount != Amount::Full && sha256.is_none() {
            // The digest of a sample would mean nothing.
            (summary.digest, summary.digest_kind) = (String::new(), String::new());
        }
        let differ = compared.differ.iter().map(|index| geometry.offset(*index)).collect();
        Ok(Some(Verified { summary, differ, error: compared.into_error(geometry, &disk.info().name) }))
    }
}
