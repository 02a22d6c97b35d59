//! Drawing of pictures as text: in colours, with two pixels per character, or by darkness, with one character
//! per pixel.

use crate::error::{Error, Kind, Result};
use std::fmt::Write;

/// The maximum number of pixels to decode, which is far more than a terminal can show.
const MOST: u64 = 64 << 20;

/// Characters from light to dark.
const RAMP: [char; 6] = [' ', '.', ':', '+', '#', '@'];

pub struct Picture {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel, row by row.
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Decodes a PNG.
    pub fn decode(png: &[u8]) -> Result<Self> {
        let bad = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Protocol, format!("the image is not a PNG: {why}"))
        };
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(|e| bad(&e))?;
        let (width, height) = (reader.info().width, reader.info().height);
        if u64::from(width) * u64::from(height) > MOST || width == 0 || height == 0 {
            return Err(bad(&format!("it has {width} by {height} pixels")));
        }
        let size = reader.output_buffer_size().ok_or_else(|| bad(&"it is too large"))?;
        let mut bytes = vec![0; size];
        let frame = reader.next_frame(&mut bytes).map_err(|e| bad(&e))?;
        let samples = frame.color_type.samples();
        let pixels = bytes[..frame.buffer_size()]
            .chunks_exact(samples)
            .map(|pixel| match pixel {
                [red, green, blue, ..] => [*red, *green, *blue],
                [grey, ..] => [*grey; 3],
                [] => [0; 3],
            })
            .collect();
        Ok(Self { width: width as usize, height: height as usize, pixels })
    }

    /// Returns the width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Draws the picture in lines of at most `columns` characters.
    pub fn lines(&self, columns: usize, colours: bool) -> Vec<String> {
        let columns = columns.min(self.width);
        // A character is about twice as high as it is wide.
        let rows = (self.height * columns / self.width / 2).clamp(1, self.height.div_ceil(2));
        (0..rows)
            .map(
                |row| {
                    if colours { self.coloured(columns, rows, row) } else { self.plain(columns, rows, row) }
                },
            )
            .collect()
    }

    fn coloured(&self, columns: usize, rows: usize, row: usize) -> String {
        let mut line = String::new();
        for column in 0..columns {
            let [top, bottom] =
                [2 * row, 2 * row + 1].map(|half| self.average(column, columns, half, 2 * rows));
            // Writing to a String cannot fail.
            let _ = write!(
                line,
                "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀",
                top[0], top[1], top[2], bottom[0], bottom[1], bottom[2]
            );
        }
        line + "\x1b[0m"
    }

    fn plain(&self, columns: usize, rows: usize, row: usize) -> String {
        let dark = |column| {
            let [red, green, blue] = self.average(column, columns, row, rows).map(usize::from);
            RAMP[(765 - red - green - blue) * (RAMP.len() - 1) / 765]
        };
        (0..columns).map(dark).collect::<String>().trim_end().to_owned()
    }

    /// Returns the average colour of one cell of a grid.
    fn average(&self, column: usize, columns: usize, row: usize, rows: usize) -> [u8; 3] {
        let span = |at: usize, of: usize, len: usize| {
            let from = at * len / of;
            from..((at + 1) * len / of).max(from + 1).min(len.max(from + 1))
        };
        let (mut sum, mut count) = ([0_usize; 3], 0);
        for y in span(row, rows, self.height) {
            for x in span(column, columns, self.width) {
                let Some(pixel) = self.pixels.get(y * self.width + x) else { continue };
                sum.iter_mut().zip(pixel).for_each(|(sum, part)| *sum += usize::from(*part));
                count += 1;
            }
        }
        sum.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a PNG that is black on the left and white on the right.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        let line: Vec<u8> = (0..width).flat_map(|x| [if x < width / 2 { 0 } else { 255 }; 3]).collect();
        writer.write_image_data(&line.repeat(height as usize)).unwrap();
        drop(writer);
        out
    }

    #[test]
    fn a_picture_is_drawn_as_wide_as_there_is_room() {
        let picture = Picture::decode(&png(40, 20)).unwrap();
        assert_eq!(picture.size(), (40, 20));
        let lines = picture.lines(20, false);
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line == "@@@@@@@@@@"), "{lines:?}");
        assert_eq!(picture.lines(1000, false)[0].len(), 20, "no wider than it is");
        let coloured = picture.lines(20, true);
        assert_eq!(coloured[0].matches('▀').count(), 20);
        assert!(
            coloured[0].starts_with("\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m▀") && coloured[0].ends_with("\x1b[0m")
        );
        assert_eq!(Picture::decode(&png(1, 1)).unwrap().lines(20, false).len(), 1);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let whole = png(40, 20);
        for bad in [&b""[..], b"not a PNG", &whole[..whole.len() / 2]] {
            assert!(Picture::decode(bad).is_err());
        }
    }
}
