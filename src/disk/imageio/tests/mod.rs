//! Against the real server, and against one that is hostile.

mod fake;
mod hostile;
mod real;
#[path = "../../../../tests/support/imageio.rs"]
mod support;

use super::ImageioDisk;
use crate::error::Result;
use crate::event;
use crate::stop::Stop;
use crate::transport::client::Options;
use crate::transport::retry::Retry;
use std::sync::Arc;

/// A ticket that looks like one.
const TICKET: &str = "74ca180f-77e5-44be-9196-e3226104e406";

/// Nothing is repeated: what fails has to be seen.
fn retry() -> Retry {
    Retry { retries: 0, observer: event::no_observer(), meters: Arc::default(), stop: Stop::never() }
}

async fn open_with(url: &str, ticket: &str, options: Options) -> Result<ImageioDisk> {
    let base = url.parse().unwrap();
    ImageioDisk::open(base, &ticket.to_owned().into(), options, Arc::default(), &retry()).await
}

async fn open(url: &str, ticket: &str) -> Result<ImageioDisk> {
    open_with(url, ticket, Options::default()).await
}
