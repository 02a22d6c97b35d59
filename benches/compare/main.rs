//! The helpers of `benches/compare/run` in one binary: a server without cost, a long line, and measuring
//! tools. They are a bench target only so that they are built and linted with the rest; they are not shipped.

mod drip;
mod link;
mod measure;
mod parts;
mod probe;
mod sink;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Helpers of benches/compare/run
#[derive(Parser)]
enum Helper {
    /// Serve drives that discard what is written to them
    Sink(sink::Options),
    /// Join two network namespaces by a line with a rate, a delay and loss
    Link(link::Options),
    /// Measure the round trip and the rate to a sink
    Probe(probe::Options),
    /// Run a command and write down its time and memory
    Measure(measure::Options),
    /// Print what the parts of an upload to a sink cost: reading, digests, compression, requests, and their
    /// sum
    Parts(parts::Options),
    /// Copy standard input to standard output at a rate
    Drip(drip::Options),
    /// Print how many processors the standard library sees
    Processors,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` and `cargo bench` start every bench target.
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        println!("{}", Helper::command().render_help());
        return ExitCode::SUCCESS;
    }
    let result = match Helper::parse() {
        Helper::Sink(options) => sink::run(&options).map(|()| ExitCode::SUCCESS),
        Helper::Link(options) => link::run(&options).map(|()| ExitCode::SUCCESS),
        Helper::Probe(options) => probe::run(&options).map(|()| ExitCode::SUCCESS),
        Helper::Measure(options) => measure::run(&options),
        Helper::Parts(options) => parts::run(&options).map(|()| ExitCode::SUCCESS),
        Helper::Drip(options) => drip::run(&options).map(|()| ExitCode::SUCCESS),
        Helper::Processors => std::thread::available_parallelism().map(|processors| {
            println!("{processors}");
            ExitCode::SUCCESS
        }),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
