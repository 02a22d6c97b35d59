//! What comes before the network in an upload: something that feeds chunks, and the workers that encode them.

use super::Context;
use super::ledger::Ledger;
use super::relay::Relay;
use super::whole::{Hashing, Passed, Whole};
use crate::chunk::{Chunk, EncodedChunk};
use crate::encode::codec::Compression;
use crate::encode::{self, Encoding};
use crate::error::{Error, Kind, Result};
use crate::source::Source;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// What feeds the chunks.
pub(super) enum Feeder {
    /// A thread, over a file or a stream.
    Thread(JoinHandle<Result<()>>),
    /// Requests to another remote, to be run beside the writes.
    Relay(Relay),
}

/// What goes on before the network, and where its work comes out.
pub(super) struct Stages {
    pub(super) feeder: Feeder,
    pub(super) workers: Vec<JoinHandle<()>>,
    pub(super) encoded: mpsc::Receiver<Result<EncodedChunk>>,
}

impl Stages {
    /// Starts the threads. A chunk that is settled already is not compressed, and not even read where it need not be.
    pub(super) fn start(
        source: Source,
        whole: Option<&WholeOf>,
        compression: Compression,
        ledger: &Ledger,
        context: &Context,
    ) -> Result<Self> {
        let geometry = ledger.geometry();
        let settled = Arc::new(ledger.settled_bits());
        let (chunks, to_encode) = crossbeam_channel::bounded(context.workers);
        let (done, encoded) = mpsc::channel(context.workers);
        let unsettled = Arc::clone(&settled);
        let encoding = Encoding {
            compression,
            digest: ledger.algorithm(),
            sent: Arc::new(move |index| !unsettled.get(index)),
        };
        let workers = encode::spawn(context.workers, &encoding, &to_encode, &done, &context.meters)?;
        let feeder = match source {
            Source::Mapped(source) => {
                thread(chunks, move |out| source.feed(geometry, &|index| !settled.get(index), out))?
            }
            Source::Stream(source) => thread(chunks, move |out| source.feed(geometry, out))?,
            Source::Remote(source) => {
                let passed = match whole {
                    Some(WholeOf::Stream(passed)) => Some(passed.clone()),
                    _ => None,
                };
                Feeder::Relay(Relay::new(source, geometry, settled, passed, chunks))
            }
        };
        Ok(Self { feeder, workers, encoded })
    }
}

fn thread(
    chunks: Sender<Result<Chunk>>,
    feed: impl FnOnce(&Sender<Result<Chunk>>) -> Result<()> + Send + 'static,
) -> Result<Feeder> {
    let thread = std::thread::Builder::new().name("read".into()).spawn(move || {
        let outcome = feed(&chunks);
        if let Err(error) = &outcome {
            // The copy ends the pipeline in its turn; the original is told when everything has ended.
            let _ = chunks.send(Err(Error::new(error.kind(), error.to_string())));
        }
        outcome
    });
    thread.map(Feeder::Thread).map_err(|e| Error::io("starting a thread", e))
}

/// The digest of the whole image, from a thread of its own or from the bytes as they pass.
pub(super) enum WholeOf {
    Image(Whole),
    Stream(Passed),
}

impl WholeOf {
    pub(super) fn finish(self) -> Result<String> {
        match self {
            WholeOf::Image(whole) => whole.finish(),
            WholeOf::Stream(passed) => Ok(passed.hex()),
        }
    }
}

/// The source, with what computes its SHA-256 if that is wanted.
pub(super) fn digesting(source: Source, wanted: bool) -> Result<(Source, Option<WholeOf>)> {
    Ok(match source {
        Source::Mapped(mapped) if wanted => {
            let whole = Whole::of_source(mapped.clone())?;
            (Source::Mapped(mapped), Some(WholeOf::Image(whole)))
        }
        Source::Stream(stream) if wanted => {
            let mut passed = None;
            let stream = stream.through(|input| {
                let (hashing, sha) = Hashing::new(input);
                passed = Some(sha);
                Box::new(hashing)
            });
            (Source::Stream(stream), passed.map(WholeOf::Stream))
        }
        Source::Remote(remote) if wanted => {
            (Source::Remote(remote), Some(WholeOf::Stream(Passed::default())))
        }
        source => (source, None),
    })
}

pub(super) fn died(what: &str) -> Error {
    Error::new(Kind::Io, format!("the {what} thread has died; this is a bug in diskferry"))
}
