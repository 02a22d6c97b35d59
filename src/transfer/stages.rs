//! What comes before the network in an upload: something that feeds chunks, and the workers that encode them.

use super::Context;
use super::ledger::Ledger;
use super::relay::Relay;
use super::threads::died;
use crate::chunk::{Chunk, EncodedChunk};
use crate::encode::codec::Compression;
use crate::encode::ordered::ImageDigest;
use crate::encode::{self, Encoding};
use crate::error::{Error, Result};
use crate::source::Source;
use crossbeam_channel::Sender;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What goes on before the network, and where its work comes out: errors and deaths of threads too, so that nobody has to
/// wait for a thread. The threads end when nobody takes what they have.
pub(super) struct Stages {
    /// Requests to another remote, to be run beside the writes; nothing where a thread feeds the chunks.
    pub(super) relay: Option<Relay>,
    pub(super) encoded: mpsc::Receiver<Result<EncodedChunk>>,
}

impl Stages {
    /// Starts the threads. A chunk that is settled already is not compressed, and not even read where it need not be:
    /// `whole` needs every chunk, and what an earlier run has sent of a stream or a device is compared.
    pub(super) fn start(
        source: Source,
        whole: Option<&Arc<ImageDigest>>,
        compression: Compression,
        ledger: &Ledger,
        context: &Context,
    ) -> Result<Self> {
        let geometry = ledger.geometry();
        let settled = Arc::new(ledger.settled_bits());
        let all = whole.is_some() || source.reread();
        let (chunks, to_encode) = crossbeam_channel::bounded(context.workers);
        let (done, encoded) = mpsc::channel(context.workers);
        let unsettled = Arc::clone(&settled);
        let encoding = Encoding {
            compression,
            digest: ledger.algorithm(),
            sent: Arc::new(move |index| !unsettled.get(index)),
            whole: whole.map(Arc::clone),
        };
        encode::spawn(context.workers, &encoding, &to_encode, &done, &context.meters)?;
        let relay = match source {
            Source::File(source) => {
                thread(chunks, move |out| source.feed(geometry, &|index| all || !settled.get(index), out))?;
                None
            }
            Source::Stream(source) => {
                thread(chunks, move |out| source.feed(geometry, out))?;
                None
            }
            Source::Remote(source) => Some(Relay::new(source, geometry, settled, all, chunks)),
        };
        Ok(Self { relay, encoded })
    }
}

fn thread(
    chunks: Sender<Result<Chunk>>,
    feed: impl FnOnce(&Sender<Result<Chunk>>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let feeding = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| feed(&chunks)));
        if let Err(error) = outcome.unwrap_or_else(|_| Err(died("reading"))) {
            // Nobody listens any more only if the transfer is over.
            let _ = chunks.send(Err(error));
        }
    };
    let thread = std::thread::Builder::new().name("read".into()).spawn(feeding);
    thread.map(drop).map_err(|e| Error::io("starting a thread", e))
}
