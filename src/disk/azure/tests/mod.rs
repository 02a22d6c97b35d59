//! Tests against Azurite, and against scripted servers.

#[path = "../../../../tests/support/azurite.rs"]
pub(crate) mod azurite;
mod fake;
mod hostile;
mod real;

use super::{BlobContainer, BlobToMake, SasToken};
use crate::disk::{ReadAt, WriteAt};
use crate::engine::Context;
use crate::engine::copy::Copy;
use crate::engine::encode::codec::Compression;
use crate::engine::pipeline::Source;
use crate::event;
use crate::stop::Stop;
use crate::transport::client::Options;
use crate::transport::retry::Retry;
use std::sync::Arc;

fn container(url: &str, token: &str) -> BlobContainer {
    retrying(url, token, 0)
}

fn retrying(url: &str, token: &str, retries: u32) -> BlobContainer {
    let retry =
        Retry { retries, observer: event::no_observer(), meters: Arc::default(), stop: Stop::never() };
    let sas = SasToken::parse(token).unwrap();
    BlobContainer::new(url.parse().unwrap(), sas, false, &Options::default(), Arc::default(), retry).unwrap()
}

fn to_make(name: &str, size: u64) -> BlobToMake<'_> {
    BlobToMake { name, size, transfer: "t1" }
}

fn context() -> Context {
    Context::new(Arc::default(), event::no_observer(), Stop::never(), 2, Some(4))
}

/// A copy that skips zeros.
fn copy(from: Arc<dyn ReadAt>, to: Arc<dyn WriteAt>) -> Copy {
    Copy {
        from: Source::At(from),
        to,
        kept: None,
        held: None,
        there: None,
        compression: Compression::Auto,
        skip_holes: true,
        skip_zeros: true,
        sha256: false,
    }
}
