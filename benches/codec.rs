//! The codecs side by side on chunks of real data: `cargo bench --bench codec -- [FILTER]`.
//!
//! `DISKFERRY_BENCH_IMAGE` names the image (the repository's small one without it); eight chunks of 4 MiB that hold data
//! are taken from it. Criterion prints the throughput; the ratios are printed once at the start.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diskferry::digest::Algorithm;
use diskferry::disk::zero::is_zero;
use diskferry::engine::encode::codec::{Codec, Libdeflate, ZlibRs};
use std::hint::black_box;

const CHUNK: usize = 4 << 20;

fn chunks() -> Vec<Vec<u8>> {
    let path = std::env::var("DISKFERRY_BENCH_IMAGE")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.ext4").to_owned());
    let image = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let data: Vec<Vec<u8>> = image.chunks(CHUNK).filter(|c| !is_zero(c)).map(<[u8]>::to_vec).collect();
    let step = (data.len() / 8).max(1);
    data.into_iter().step_by(step).take(8).collect()
}

fn codecs() -> Vec<Box<dyn Codec>> {
    let mut all: Vec<Box<dyn Codec>> =
        [1, 6].map(|level| Box::new(ZlibRs::new(level)) as Box<dyn Codec>).into();
    for level in [1, 3, 6] {
        all.push(Box::new(Libdeflate::new(level).expect("a level from 1 to 12")));
    }
    all
}

fn compare(c: &mut Criterion) {
    let chunks = chunks();
    let total: usize = chunks.iter().map(Vec::len).sum();
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(total as u64)).sample_size(10);
    for mut codec in codecs() {
        let mut out = Vec::new();
        let wire: usize = chunks
            .iter()
            .map(|chunk| {
                out.clear();
                codec.gzip(chunk, &mut out).expect("it compresses");
                out.len()
            })
            .sum();
        println!("{}: {:.2} to 1", codec.name(), total as f64 / wire as f64);
        group.bench_function(BenchmarkId::new("gzip", codec.name()), |b| {
            b.iter(|| {
                for chunk in &chunks {
                    out.clear();
                    codec.gzip(black_box(chunk), &mut out).expect("it compresses");
                }
            });
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
