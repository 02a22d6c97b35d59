//! Compares the codecs on chunks of real data: `cargo bench --bench codec -- [FILTER]`.
//!
//! `DISKFERRY_BENCH_IMAGE` names the image (the files of `/usr/bin` by default), and `DISKFERRY_BENCH_CHUNKS`
//! sets how many chunks of 4 MiB with data are taken from it, spread over it. First a table is printed:
//! ratio, and megabytes per second of CPU time on one thread, which other work on the machine disturbs less
//! than wall-clock time. The codecs take turns, and the median of the rounds is used. Then Criterion measures
//! the throughput of eight chunks.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diskferry::digest::Algorithm;
use diskferry::disk::zero::is_zero;
use diskferry::engine::encode::codec::{Codec, Compression, Libdeflate, Rung, Sirocco, ZlibRs};
use std::hint::black_box;
use std::time::Duration;

const CHUNK: usize = 4 << 20;

/// The number of chunks in the table by default, and for Criterion.
const TABLE_CHUNKS: usize = 32;
const CRITERION_CHUNKS: usize = 8;

/// The number of rounds in the table, odd so that there is a median.
const ROUNDS: usize = 5;

fn image(least: usize) -> Vec<u8> {
    if let Ok(path) = std::env::var("DISKFERRY_BENCH_IMAGE") {
        return std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    let entries = std::fs::read_dir("/usr/bin").expect("/usr/bin");
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut image = Vec::new();
    for path in paths {
        image.extend(std::fs::read(path).unwrap_or_default());
        if image.len() >= least {
            break;
        }
    }
    image
}

fn chunks(count: usize) -> Vec<Vec<u8>> {
    let image = image(count * CHUNK);
    let data: Vec<&[u8]> = image.chunks(CHUNK).filter(|chunk| !is_zero(chunk)).collect();
    let step = (data.len() / count).max(1);
    data.into_iter().step_by(step).take(count).map(<[u8]>::to_vec).collect()
}

/// The rungs of `auto`, then the candidates they were chosen from.
fn codecs() -> Vec<Box<dyn Codec>> {
    let mut all: Vec<Box<dyn Codec>> = Vec::new();
    for steps in 0..Rung::COUNT {
        let rung = Rung::default();
        (0..steps).for_each(|_| assert!(rung.stronger()));
        all.extend(Compression::Auto.codec(&rung).expect("a codec"));
    }
    for level in 1..=3 {
        all.push(Box::new(Sirocco::new(level).expect("a level from 1 to 9")));
    }
    for level in [1, 2, 3, 4, 6, 9] {
        all.push(Box::new(Libdeflate::new(level).expect("a level from 1 to 12")));
    }
    all.extend([1, 6].map(|level| Box::new(ZlibRs::new(level)) as Box<dyn Codec>));
    let mut seen = Vec::new();
    all.retain(|codec| !seen.contains(&codec.name()) && (seen.push(codec.name()), true).1);
    all
}

/// Returns the CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the thread's CPU time");
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

/// Compresses every chunk and returns the bytes on the wire.
fn compress(codec: &mut dyn Codec, chunks: &[Vec<u8>], out: &mut Vec<u8>) -> usize {
    let mut wire = 0;
    for chunk in chunks {
        wire += codec.gzip(black_box(chunk), out).expect("it compresses").len();
    }
    wire
}

fn table() {
    let count = std::env::var("DISKFERRY_BENCH_CHUNKS").ok().and_then(|n| n.parse().ok());
    let chunks = chunks(count.unwrap_or(TABLE_CHUNKS));
    let total: usize = chunks.iter().map(Vec::len).sum();
    let mut rows: Vec<_> = codecs().into_iter().map(|codec| (codec, 0, Vec::new())).collect();
    let mut out = Vec::new();
    for _ in 0..ROUNDS {
        for (codec, wire, times) in &mut rows {
            let start = cpu();
            *wire = compress(codec.as_mut(), &chunks, &mut out);
            times.push(cpu().saturating_sub(start));
        }
    }
    println!("{} chunks, {total} bytes, median of {ROUNDS} rounds", chunks.len());
    println!("{:<14} {:>6} {:>6}", "codec", "MB/s", "ratio");
    for (codec, wire, mut times) in rows {
        times.sort();
        let rate = total as f64 / 1e6 / times[ROUNDS / 2].as_secs_f64();
        println!("{:<14} {rate:>6.0} {:>6.3}", codec.name(), total as f64 / wire as f64);
    }
}

fn compare(c: &mut Criterion) {
    table();
    let chunks = chunks(CRITERION_CHUNKS);
    let total: usize = chunks.iter().map(Vec::len).sum();
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(total as u64)).sample_size(10);
    for mut codec in codecs() {
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("gzip", codec.name()), |b| {
            b.iter(|| compress(codec.as_mut(), &chunks, &mut out));
        });
    }
    for algorithm in [Algorithm::Blake3, Algorithm::Sha256] {
        group.bench_function(BenchmarkId::new("digest", algorithm), |b| {
            b.iter(|| {
                for chunk in &chunks {
                    black_box(algorithm.digest(black_box(chunk)));
                }
            });
        });
    }
    let zeros = vec![0; total];
    group.bench_function("zero scan", |b| b.iter(|| black_box(is_zero(black_box(&zeros)))));
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);
