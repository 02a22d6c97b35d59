//! `verify`: a file and a drive, chunk by chunk.

use super::{Far, Settings, announce, check_usable, summary, write_manifest};
use crate::chunk::Geometry;
use crate::disk::ReadAt;
use crate::disk::file::FileDisk;
use crate::engine::Context;
use crate::engine::compare::{Verify as Amount, whole, with_original};
use crate::engine::ledger::Ledger;
use crate::engine::resume::Coverage;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// A comparison.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The file or block device.
    pub file: PathBuf,
    /// The drive.
    pub drive: String,
}

/// What a comparison has found.
#[derive(Debug)]
pub struct Verified {
    /// What was done.
    pub summary: Summary,
    /// The byte offsets of the chunks that differ, in order.
    pub differ: Vec<u64>,
    /// The error that says so, if any do.
    pub error: Option<Error>,
}

impl Verify {
    /// Runs the comparison; `None` if only the plan was wanted.
    pub async fn run(self, far: &Far, settings: &Settings, context: &Context) -> Result<Option<Verified>> {
        let start = Instant::now();
        settings.check()?;
        let file = FileDisk::open(&self.file)?;
        let info = far.drives.info(&self.drive).await?;
        check_usable(&info, context)?;
        if info.size < file.size() {
            return Err(Error::new(
                Kind::Differ,
                format!(
                    "drive {} has {} bytes and {} has {}: they cannot be equal",
                    self.drive,
                    info.size,
                    self.file.display(),
                    file.size()
                ),
            ));
        }
        if info.size > file.size() {
            let text = format!(
                "drive {} is larger than the file: its last {} bytes are not compared",
                self.drive,
                info.size - file.size()
            );
            (context.observer)(&Event::Warning(text));
        }
        let disk: Arc<dyn ReadAt> = Arc::new(far.drives.disk(&info));
        let geometry = Geometry::checked(file.size(), settings.chunk_size)?;
        let mut ledger = Ledger::new(geometry, settings.digest);
        let amount = if settings.verify == Amount::None { Amount::Full } else { settings.verify };
        announce(
            Plan {
                action: "verify",
                from: self.file.display().to_string(),
                format: String::new(),
                to: format!("{}:{}", far.remote, self.drive),
                drive: Some(self.drive.clone()),
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
                dry_run: settings.dry_run,
            },
            context,
        );
        if settings.dry_run {
            return Ok(None);
        }
        let here: Arc<dyn ReadAt> = Arc::new(file);
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
            ..summary(&self.drive, &ledger, sha256.as_deref(), context, start)
        };
        if amount != Amount::Full && sha256.is_none() {
            // Of a sample there is no digest that would mean anything.
            (summary.digest, summary.digest_kind) = (String::new(), String::new());
        }
        let differ = compared.differ.iter().map(|index| geometry.offset(*index)).collect();
        Ok(Some(Verified { summary, differ, error: compared.into_error(geometry, &disk.info().name) }))
    }
}
