use super::*;
use proptest::prelude::*;
use std::io::Read;

/// A decoder. Returns the contents of the member, at most `limit` bytes, or why it is invalid.
type Decode = fn(member: &[u8], limit: usize) -> std::result::Result<Vec<u8>, String>;

/// Three independent decoders.
const DECODERS: [(&str, Decode); 3] =
    [("libdeflate", by_libdeflate), ("zlib-rs", by_zlib_rs), ("miniz_oxide", by_miniz_oxide)];

fn by_libdeflate(member: &[u8], limit: usize) -> std::result::Result<Vec<u8>, String> {
    let mut out = vec![0; limit];
    let len =
        libdeflater::Decompressor::new().gzip_decompress(member, &mut out).map_err(|e| e.to_string())?;
    out.truncate(len);
    Ok(out)
}

fn by_zlib_rs(member: &[u8], limit: usize) -> std::result::Result<Vec<u8>, String> {
    let (mut rest, mut out) = (member, Vec::new());
    let reader = flate2::bufread::GzDecoder::new(&mut rest);
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(|e| e.to_string())?;
    if out.len() > limit || !rest.is_empty() {
        return Err(format!("{} bytes came out, {} were left", out.len(), rest.len()));
    }
    Ok(out)
}

/// `miniz_oxide` reads raw deflate only, so the header and the trailer are read here.
fn by_miniz_oxide(member: &[u8], limit: usize) -> std::result::Result<Vec<u8>, String> {
    let short = || "no header or no trailer".to_owned();
    let (member, len) = member.split_last_chunk().ok_or_else(short)?;
    let (member, crc) = member.split_last_chunk().ok_or_else(short)?;
    let [0x1F, 0x8B, 8, 0, _, _, _, _, _, _, body @ ..] = member else { return Err(short()) };
    let out = miniz_oxide::inflate::decompress_to_vec_with_limit(body, limit).map_err(|e| e.to_string())?;
    if u32::from_le_bytes(*crc) != crc32(&out) || u32::from_le_bytes(*len) as usize != out.len() {
        return Err("the trailer does not match".into());
    }
    Ok(out)
}

/// CRC-32 as specified in RFC 1952.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| {
        let step = |c: u32| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 };
        let mut all = 0..=255_u8;
        [(); 256].map(|()| (0..8).fold(u32::from(all.next().unwrap()), |c, _| step(c)))
    });
    !bytes.iter().fold(!0, |c: u32, byte| TABLE[((c ^ u32::from(*byte)) & 0xFF) as usize] ^ (c >> 8))
}

/// The rungs of `auto`.
fn rungs() -> Vec<Box<dyn Codec>> {
    let at = |steps| {
        let rung = Rung::default();
        (0..steps).for_each(|_| assert!(rung.stronger()));
        Compression::Auto.codec(&rung).unwrap().unwrap()
    };
    (0..Rung::COUNT).map(at).collect()
}

/// Every rung, every named level, and the peers of the benchmark.
fn all() -> Vec<Box<dyn Codec>> {
    let mut all = rungs();
    for level in 1..=12 {
        all.push(Compression::Level(level).codec(&Rung::default()).unwrap().unwrap());
    }
    for level in 1..=3 {
        all.push(Box::new(Sirocco::new(level).unwrap()));
    }
    all.push(Box::new(ZlibRs::new(1)));
    all
}

fn gzip(codec: &mut dyn Codec, input: &[u8]) -> Vec<u8> {
    codec.gzip(input, &mut Vec::new()).unwrap().to_vec()
}

/// Compresses `input` and decodes it with every decoder.
fn round_trip(codec: &mut dyn Codec, input: &[u8], what: &str) {
    let member = gzip(codec, input);
    for (name, decode) in DECODERS {
        let back = decode(&member, input.len());
        assert!(back.as_deref() == Ok(input), "{}, {what}, {} bytes, {name}", codec.name(), input.len());
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[0]
        })
        .collect()
}

/// Words in random order.
fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["the ", "drive ", "of\n", "chunk ", "offset ", "a ", "extent, ", "0x1f8b "];
    let mut out: Vec<u8> =
        noise(len / 3 + 1).iter().flat_map(|i| WORDS[usize::from(i % 8)].bytes()).take(len).collect();
    out.resize(len, b'.');
    out
}

/// Runs of one byte value, from one byte to 64 KiB long.
fn runs(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in noise(4096).chunks(2).cycle() {
        out.resize((out.len() + (1 << (pair[0] % 17))).min(len), pair[1]);
        if out.len() == len {
            return out;
        }
    }
    out
}

/// The first `len` bytes of this test's own executable.
fn executable(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    file.take(len as u64).read_to_end(&mut out).unwrap();
    out
}

type Make = fn(usize) -> Vec<u8>;
const KINDS: [(&str, Make); 5] = [
    ("zeros", |len| vec![0; len]),
    ("text", text),
    ("noise", noise),
    ("runs", runs),
    ("executable", executable),
];

#[test]
fn every_short_input_comes_back() {
    for mut codec in all() {
        for len in 0..=300 {
            for (what, make) in KINDS {
                round_trip(codec.as_mut(), &make(len), what);
            }
        }
    }
}

#[test]
fn every_kind_of_data_comes_back() {
    for (what, make) in KINDS {
        for len in [4096, (64 << 10) - 1, (1 << 20) + 3] {
            let input = make(len);
            for mut codec in all() {
                round_trip(codec.as_mut(), &input, what);
            }
        }
    }
}

#[test]
fn every_size_of_chunk_comes_back() {
    for (what, make) in KINDS {
        let whole = make(64 << 20);
        // One codec for all sizes: state left from one chunk must not affect the next.
        for mut codec in rungs() {
            for len in [32_767, 65_536 + 5000, (4 << 20) + 1, 4 << 20, 4097, 1 << 18, (16 << 20) - 511] {
                round_trip(codec.as_mut(), &whole[whole.len().saturating_sub(len)..], what);
            }
        }
        if what == "executable" || what == "text" {
            round_trip(rungs()[0].as_mut(), &whole, what);
        }
    }
}

/// A part of a structured input; bounds are clamped to what is available.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Run(u8, usize),
    Copy(usize, usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400).prop_map(Piece::Bytes),
        (any::<u8>(), 0..70_000_usize).prop_map(|(byte, len)| Piece::Run(byte, len)),
        // Around the longest match and the window size.
        (1..40_000_usize, prop_oneof![0..300_usize, 0..70_000_usize])
            .prop_map(|(b, len)| Piece::Copy(b, len)),
        (32_000..33_000_usize, 250..270_usize).prop_map(|(back, len)| Piece::Copy(back, len)),
    ]
}

fn build(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Run(byte, len) => out.resize(out.len() + len, *byte),
            Piece::Copy(back, len) => {
                let start = out.len().saturating_sub(*back);
                (0..if out.is_empty() { 0 } else { *len }).for_each(|i| out.push(out[start + i]));
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn structures_come_back(pieces in prop::collection::vec(piece(), 0..60)) {
        let input = build(&pieces);
        for mut codec in rungs() {
            round_trip(codec.as_mut(), &input, "structure");
        }
    }
}

/// The remote either stores what was compressed or refuses it.
#[test]
fn no_flipped_bit_makes_other_bytes() {
    for input in [text(3000), noise(500), executable(3000)] {
        for mut codec in rungs() {
            let member = gzip(codec.as_mut(), &input);
            for bit in 0..member.len() * 8 {
                let mut damaged = member.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                for (name, decode) in DECODERS {
                    let back = decode(&damaged, input.len() * 2);
                    assert!(
                        back.is_err() || back.as_deref() == Ok(&*input),
                        "{name}, {}, bit {bit}",
                        codec.name()
                    );
                    // The last eight bytes are the checksum and the length.
                    assert!(
                        back.is_err() || bit / 8 < member.len() - 8,
                        "{name}, {}, bit {bit}",
                        codec.name()
                    );
                }
            }
        }
    }
}

/// A reused buffer has some capacity, which must not affect the result.
#[test]
fn room_does_not_matter() {
    let input = [text(300), noise(100)].concat();
    for mut codec in all() {
        let expected = gzip(codec.as_mut(), &input);
        for room in 0..600 {
            // The member of another chunk may be in it.
            let mut used = vec![7; room];
            assert!(codec.gzip(&input, &mut used).unwrap() == expected, "{}, {room}", codec.name());
        }
    }
}

#[test]
fn an_encoder_that_never_ends_is_an_error() {
    for input in [0, 1000] {
        assert!(fill(&mut Vec::new(), input, |_| Ok((0, false))).is_err());
    }
}

#[test]
fn each_rung_is_stronger_than_the_one_before() {
    let input = executable(8 << 20);
    let sizes: Vec<usize> = rungs().iter_mut().map(|codec| gzip(codec.as_mut(), &input).len()).collect();
    assert!(sizes.len() == Rung::COUNT && sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
}

/// The handle moves every codec that follows it, between two chunks.
#[test]
fn codecs_follow_their_rung() {
    let input = executable(1 << 20);
    let alone: Vec<usize> = rungs().iter_mut().map(|codec| gzip(codec.as_mut(), &input).len()).collect();
    let rung = Rung::default();
    let mut workers = [Ladder::new(rung.clone()), Ladder::new(rung.clone())];
    let mut names = Vec::new();
    let mut at = |expected: usize| {
        assert_eq!(rung.now(), expected);
        for codec in &mut workers {
            assert_eq!(gzip(codec, &input).len(), alone[expected], "{}", codec.name());
        }
        names.push(rung.name());
    };
    at(0);
    for up in 1..Rung::COUNT {
        assert!(rung.stronger());
        at(up);
    }
    assert!(!rung.stronger());
    for down in (0..Rung::COUNT - 1).rev() {
        assert!(rung.faster());
        at(down);
    }
    assert!(!rung.faster());
    let fastest = if cfg!(feature = "isal") { "isal 1" } else { "sirocco 1" };
    assert_eq!(names, [fastest, "libdeflate 1", "libdeflate 4", "libdeflate 1", fastest]);
}

#[test]
fn a_named_level_is_libdeflate_at_that_level() {
    for level in 1..=12 {
        let codec = format!("{level}").parse::<Compression>().unwrap().codec(&Rung::default()).unwrap();
        assert_eq!(codec.unwrap().name(), format!("libdeflate {level}"));
    }
    let fastest = Compression::default().codec(&Rung::default()).unwrap().unwrap().name();
    assert_eq!(fastest, if cfg!(feature = "isal") { "isal 1" } else { "sirocco 1" });
    assert!(Compression::None.codec(&Rung::default()).unwrap().is_none());
}

#[test]
fn noise_is_told_from_text_by_a_sample() {
    for mut codec in rungs() {
        let mut scratch = Vec::new();
        assert!(!is_worth(codec.as_mut(), &noise(4 << 20), &mut scratch).unwrap());
        assert!(is_worth(codec.as_mut(), &text(4 << 20), &mut scratch).unwrap());
    }
    assert!(pays(1000, 900) && !pays(1000, 951));
}

#[test]
fn levels_outside_are_refused() {
    assert!(Libdeflate::new(0).is_err() && Libdeflate::new(13).is_err());
    assert!(Sirocco::new(0).is_err() && Sirocco::new(10).is_err());
    assert!("0".parse::<Compression>().is_err() && "13".parse::<Compression>().is_err());
    assert_eq!("12".parse::<Compression>().unwrap(), Compression::Level(12));
}
