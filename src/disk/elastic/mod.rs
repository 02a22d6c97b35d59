//! A drive of the ElasticHosts family (Open Hosting, Crosspeer, CloudSigma 1.0).

pub mod drives;
mod store;

use super::store::Facts;
use super::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, Identity, LocalRead, LocalWrite, ReadAt, Receipt,
    Wire, WriteAt, data_everywhere,
};
use crate::error::{Error, Kind};
use drives::Drives;
use std::ops::Range;
use std::sync::Arc;

/// A drive.
#[derive(Clone)]
pub struct ElasticDisk {
    drives: Drives,
    uuid: String,
    info: Arc<DiskInfo>,
}

impl ElasticDisk {
    fn new(drives: Drives, drive: &Facts, identity: Option<Identity>) -> Self {
        let can = drives.capabilities();
        let info = DiskInfo {
            read_limit: can.read_limit.unwrap_or(u64::MAX),
            wire: if can.gzip { Wire::Gzip } else { Wire::Plain },
            evidence: drive.evidence.clone(),
            identity,
            ..DiskInfo::new(format!("drive {}", drive.disk), drive.size)
        };
        Self { drives, uuid: drive.disk.clone(), info: Arc::new(info) }
    }
}

impl ReadAt for ElasticDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, mut into: Buffer) -> Attempt<Buffer> {
        let client = self.drives.client().clone();
        let path = format!("/drives/{}/read/{offset}/{len}", self.uuid);
        let inside = self.info.check_range(offset, len);
        Box::pin(async move {
            inside?;
            client.read(&path, len, &mut into).await?;
            Ok(into)
        })
    }

    /// These APIs do not report holes.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        data_everywhere(window)
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        let this = self.clone();
        Box::pin(async move {
            let now = this.drives.info_once(&this.uuid).await?;
            let how = if now.size != this.info.size {
                format!("its size was {} and is {}", this.info.size, now.size)
            } else if now.evidence() != this.info.evidence {
                "it was written to".to_owned()
            } else {
                return Ok(None);
            };
            let what = format!("drive {} changed during the transfer: {how}", this.uuid);
            Ok(Some(Error::new(Kind::Source, what).hint(
                "stop whatever writes to it, or copy the drive first, then start over with `--restart`",
            )))
        })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl WriteAt for ElasticDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let client = self.drives.client().clone();
        let path = format!("/drives/{}/write/{offset}", self.uuid);
        Box::pin(async move {
            let gzip = matches!(body, Body::Gzip(_));
            client.write(&path, body.bytes().clone(), gzip).await?;
            Ok(Receipt::acknowledged())
        })
    }

    /// There is no call for it; zeros are written, compressed with gzip.
    fn zero_at(&self, _range: Range<u64>) -> Attempt<Option<Receipt>> {
        Box::pin(async { Ok(None) })
    }

    fn evidence(&self) -> Attempt<Evidence> {
        let this = self.clone();
        Box::pin(async move { Ok(this.drives.info_once(&this.uuid).await?.evidence()) })
    }

    /// A write is acknowledged once it is as safe as these servers make it.
    fn flush(&self) -> Attempt<()> {
        Box::pin(async { Ok(()) })
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
