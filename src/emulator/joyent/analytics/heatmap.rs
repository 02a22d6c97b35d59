//! Heatmaps: time is horizontal, the numeric field vertical, and more points are darker (Joyent CloudAPI 6.5,
//! "`GetInstrumentationHeatmap`" and "Heatmaps").

use super::{Instrumentation, Span};
use crate::emulator::auth::base64;
use crate::emulator::joyent::Site;
use crate::emulator::joyent::call::Call;
use crate::emulator::joyent::failure::{Code, Failure};
use crate::emulator::joyent::input::Input;
use crate::emulator::joyent::reply::{Answer, Reply};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The largest width or height, in pixels.
const WIDEST: u64 = 2000;
/// The most buckets.
const BUCKETS: u64 = 1000;
/// The hue of values that are not highlighted, in degrees.
const PLAIN: f64 = 21.0;

/// `GET …/value/heatmap/image`
pub(in crate::emulator::joyent) fn image(site: &Site, call: &Call) -> Answer {
    let map = Heatmap::read(&super::touch(site, call)?, &call.input)?;
    let mut answer = map.describe();
    map.span.describe(&mut answer);
    answer["ymin"] = json!(map.ymin);
    answer["ymax"] = json!(map.ymax);
    answer["present"] = json!(map.present());
    answer["transformations"] = json!({});
    answer["image"] = json!(base64(&map.png()?));
    Reply::json(&answer)
}

/// `GET …/value/heatmap/details`: the bucket at a pixel, counted from the left and from the top.
pub(in crate::emulator::joyent) fn details(site: &Site, call: &Call) -> Answer {
    let map = Heatmap::read(&super::touch(site, call)?, &call.input)?;
    let pixel = |name: &str, end: u64| match call.input.number(name)? {
        None => Err(Failure::parameter(name)),
        Some(at) if at < end => Ok(at),
        Some(at) => Err(Failure::argument(format!("{name} is outside the image: {at}"))),
    };
    let (second, bucket) = map.at(pixel("x", map.width)?, pixel("y", map.height)?);
    let none = Cell::default();
    let here = map.cells.get(&(second, bucket)).unwrap_or(&none);
    let mut answer = map.describe();
    answer["bucket_time"] = json!(map.span.start + second);
    answer["bucket_ymin"] = json!(map.floor(bucket));
    answer["bucket_ymax"] = json!(map.floor(bucket + 1).saturating_sub(1).max(map.floor(bucket)));
    answer["present"] = json!(here.names);
    answer["total"] = json!(here.total);
    Reply::json(&answer)
}

/// One bucket of one second.
#[derive(Debug, Default)]
struct Cell {
    total: u64,
    names: BTreeMap<&'static str, u64>,
}

/// A heatmap as requested, with its data.
struct Heatmap {
    span: Span,
    width: u64,
    height: u64,
    nbuckets: u64,
    /// The value at the bottom.
    ymin: u64,
    /// The first value above the top.
    ymax: u64,
    /// Values of the discrete field that are drawn in their own hues.
    hues: BTreeMap<String, f64>,
    /// Keyed by the second and the bucket, both counted from 0.
    cells: BTreeMap<(u64, u64), Cell>,
}

impl Heatmap {
    fn read(one: &Instrumentation, input: &Input) -> Result<Self, Failure> {
        let (discrete, numeric) = one.fields();
        let numeric =
            numeric.ok_or_else(|| Failure::argument("only a numeric decomposition has a heatmap"))?;
        let bounded = |name: &str, default: u64, most: u64| match input.number(name)?.unwrap_or(default) {
            number if (1..=most).contains(&number) => Ok(number),
            _ => Err(Failure::argument(format!("{name} is 1 to {most}"))),
        };
        let (isolate, exclude) = (input.flag("isolate")?, input.flag("exclude")?);
        let (all, selected) = (input.flag("decompose_all")?, input.words("selected"));
        let span = Span::read(input, 60)?;
        let mut found = Vec::new();
        for (n, second) in (0_u64..).zip(span.seconds()) {
            for (operation, weight) in one.operations(second)? {
                let name = discrete.and_then(|field| operation.get(field));
                let Some(amount) = operation.number(numeric) else { continue };
                let chosen = name.is_some_and(|name| selected.iter().any(|other| other == name));
                if !(isolate && !chosen || exclude && chosen) {
                    found.push((n, name, amount, weight));
                }
            }
        }
        let highest = found.iter().map(|(_, _, amount, _)| *amount).max().unwrap_or(0);
        let ymin = input.number("ymin")?.unwrap_or(0);
        let ymax = input.number("ymax")?.unwrap_or_else(|| above(highest.max(ymin)));
        if ymax <= ymin {
            return Err(Failure::argument("ymax is not above ymin"));
        }
        let names: BTreeSet<&str> = found.iter().filter_map(|(_, name, ..)| *name).filter(|_| all).collect();
        let mut map = Heatmap {
            span,
            width: bounded("width", 600, WIDEST)?,
            height: bounded("height", 300, WIDEST)?,
            nbuckets: bounded("nbuckets", 100, BUCKETS)?,
            ymin,
            ymax,
            hues: hues(names.into_iter().map(str::to_owned).chain(selected), input)?,
            cells: BTreeMap::new(),
        };
        for (second, name, amount, weight) in found {
            let Some(bucket) = map.bucket(amount) else { continue };
            let cell = map.cells.entry((second, bucket)).or_default();
            cell.total += weight;
            if let Some(name) = name {
                *cell.names.entry(name).or_default() += weight;
            }
        }
        Ok(map)
    }

    /// Returns the fields that both answers share.
    fn describe(&self) -> Value {
        let mut answer = json!({"nbuckets": self.nbuckets, "width": self.width, "height": self.height});
        answer["start_time"] = json!(self.span.start);
        answer["duration"] = json!(self.span.length);
        answer
    }

    /// Returns the values of the discrete field that occur.
    fn present(&self) -> BTreeSet<&'static str> {
        self.cells.values().flat_map(|cell| cell.names.keys().copied()).collect()
    }

    /// Returns the bucket of a value, if it is inside the heatmap.
    fn bucket(&self, amount: u64) -> Option<u64> {
        let above = amount.checked_sub(self.ymin).filter(|_| amount < self.ymax)?;
        Some(share(above, self.nbuckets, self.ymax - self.ymin))
    }

    /// Returns the lowest value of a bucket.
    fn floor(&self, bucket: u64) -> u64 {
        let (height, buckets) = (u128::from(self.ymax - self.ymin), u128::from(self.nbuckets));
        // Rounded up, so that buckets neither overlap nor leave gaps.
        let above = (u128::from(bucket) * height).div_ceil(buckets);
        self.ymin.saturating_add(u64::try_from(above).unwrap_or(u64::MAX))
    }

    /// Returns the second and the bucket at a pixel.
    fn at(&self, x: u64, y: u64) -> (u64, u64) {
        let from_below = self.height - 1 - y;
        (share(x, self.span.length, self.width), share(from_below, self.nbuckets, self.height))
    }

    fn png(&self) -> Result<Vec<u8>, Failure> {
        let most = self.cells.values().map(|cell| cell.total).max().unwrap_or(1);
        let mut pixels = Vec::new();
        for y in 0..self.height {
            for x in 0..self.width {
                let cell = self.cells.get(&self.at(x, y));
                pixels.extend(cell.map_or([255; 3], |cell| self.color(cell, most)));
            }
        }
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Code::INTERNAL, format!("the image cannot be drawn: {error}"))
        };
        let side = |pixels| u32::try_from(pixels).map_err(|error| failed(&error));
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side(self.width)?, side(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
        writer.write_image_data(&pixels).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        Ok(out)
    }

    /// Returns the colour of a cell: stronger with more points, in the hue of its most frequent value if that
    /// has one.
    fn color(&self, cell: &Cell, most: u64) -> [u8; 3] {
        let first = cell.names.iter().max_by_key(|(_, count)| **count).map(|(name, _)| *name);
        let hue = first.and_then(|name| self.hues.get(name)).copied().unwrap_or(PLAIN);
        let saturation = 0.2 + 0.8 * (cell.total as f64 / most.max(1) as f64);
        rgb(hue, saturation)
    }
}

/// Returns the hues of highlighted values: the ones that were sent, in turn, or hues that are far apart.
fn hues(names: impl Iterator<Item = String>, input: &Input) -> Result<BTreeMap<String, f64>, Failure> {
    let mut hues = Vec::new();
    for word in input.words("hues") {
        let hue = word.parse().ok().filter(|hue| (0.0..=360.0).contains(hue));
        hues.push(hue.ok_or_else(|| Failure::argument(format!("a hue is 0 to 360: {word:?}")))?);
    }
    if hues.is_empty() {
        hues = (1..=6).map(|n| (PLAIN + 60.0 * f64::from(n)) % 360.0).collect();
    }
    Ok(names.zip(hues.into_iter().cycle()).collect())
}

/// Converts a part out of `whole` to a part out of `parts`.
fn share(part: u64, parts: u64, whole: u64) -> u64 {
    let share = u128::from(part) * u128::from(parts) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Returns the next round number above a value: one digit, then zeros.
fn above(value: u64) -> u64 {
    let mut step = 1_u64;
    while value / step >= 10 {
        step *= 10;
    }
    (value / step + 1).saturating_mul(step)
}

/// Converts a hue and a saturation to a colour of full brightness.
fn rgb(hue: f64, saturation: f64) -> [u8; 3] {
    let channel = |n: f64| {
        let k = (n + hue / 60.0) % 6.0;
        let value = 1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        // Between 0 and 255 by construction.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of 255")]
        let byte = (value * 255.0).round() as u8;
        byte
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_wheel() {
        assert_eq!(rgb(0.0, 1.0), [255, 0, 0]);
        assert_eq!(rgb(120.0, 1.0), [0, 255, 0]);
        assert_eq!(rgb(240.0, 1.0), [0, 0, 255]);
        assert_eq!(rgb(60.0, 1.0), [255, 255, 0]);
        assert_eq!(rgb(77.0, 0.0), [255; 3]);
    }

    #[test]
    fn the_top_is_round() {
        for (value, top) in [(0, 1), (9, 10), (10, 20), (399_999, 400_000), (400_000, 500_000)] {
            assert_eq!(above(value), top);
        }
        assert!(above(u64::MAX) >= u64::MAX / 10);
    }

    #[test]
    fn buckets_neither_overlap_nor_leave_gaps() {
        let map = Heatmap {
            span: Span { start: 0, length: 1 },
            width: 10,
            height: 7,
            nbuckets: 7,
            ymin: 100,
            ymax: 200,
            hues: BTreeMap::new(),
            cells: BTreeMap::new(),
        };
        for amount in 100..200 {
            let bucket = map.bucket(amount).unwrap();
            assert!((map.floor(bucket)..map.floor(bucket + 1)).contains(&amount), "{amount}");
        }
        assert_eq!((map.bucket(99), map.bucket(200)), (None, None));
        assert_eq!((map.at(0, 6), map.at(9, 0)), ((0, 0), (0, 6)));
    }
}
