//! Sizes, durations, processors and memory as people type them, with errors that say what would have been right.

use std::time::Duration;

use crate::units::bytes;
use crate::{Error, Result};

/// Parses a size: bytes, or a number with a binary unit as in `4M`, `4MiB`, `10 GB` or `1.5G`. Every unit is a power of
/// 1024. A fraction is rounded down to whole bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong = || {
        Error::usage(format!("`{text}` is not a size"))
            .hint("write bytes, or a number with k, M, G or T (powers of 1024), as in `4M` or `1.5G`")
    };
    let (number, unit) = split_unit(text.trim()).ok_or_else(wrong)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    if shift == 0 && number.fraction != 0 {
        return Err(
            Error::usage(format!("`{text}` is not a whole number of bytes")).hint("add a unit, as in `1.5G`")
        );
    }
    number.scaled(1 << shift).and_then(|size| u64::try_from(size).ok()).ok_or_else(|| {
        Error::usage(format!("`{text}` is too large: sizes end at {}", bytes(u64::MAX)))
            .hint("write a number with k, M, G or T, as in `10G`")
    })
}

/// The longest duration: ten years. Deadlines are sums and multiples of durations and must not overflow.
const LONGEST: Duration = Duration::from_hours(10 * 8766);

/// Parses a duration: numbers with `ms`, `s`, `m`, `h`, `d` or `w`, as in `30s`, `1.5h` or `1h30m`. A number without a
/// unit is seconds.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::usage(format!("`{text}` is not a duration"))
            .hint("write a number with ms, s, m, h, d or w, as in `30s` or `1h30m`")
    };
    let mut total: u128 = 0;
    let mut rest = text.trim();
    let mut last = u128::MAX;
    while !rest.is_empty() || last == u128::MAX {
        let unit_end = end_of_part(rest);
        let (part, after) = rest.split_at(unit_end);
        let (number, unit) = split_unit(part.trim_end()).ok_or_else(wrong)?;
        let millis = match unit {
            "ms" => 1,
            "s" | "sec" => 1000,
            "" if last == u128::MAX && after.is_empty() => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(wrong()),
        };
        // From the largest unit to the smallest, each of them once.
        if millis >= last {
            return Err(wrong());
        }
        last = millis;
        total = number.scaled(millis).and_then(|part| total.checked_add(part)).unwrap_or(u128::MAX);
        rest = after.trim_start();
    }
    match u64::try_from(total) {
        Ok(total) if u128::from(total) <= LONGEST.as_millis() => Ok(Duration::from_millis(total)),
        _ => Err(Error::usage(format!("`{text}` is too long: expected at most ten years"))
            .hint("the longest duration is `87660h`")),
    }
}

/// Parses a server's processor in core MHz: `2000`, `2000MHz` or `2GHz`.
pub fn parse_mhz(text: &str) -> Result<u32> {
    /// Below this nobody means MHz, but a number of processors.
    const FEWEST: u32 = 100;
    let wrong = || {
        Error::usage(format!("`{text}` is not a processor speed"))
            .hint("write core MHz, as in `--cpu 2000`, or `--cpu 2GHz`")
    };
    let (number, unit) = split_unit(text.trim()).ok_or_else(wrong)?;
    let each = match unit.to_ascii_lowercase().as_str() {
        "" | "mhz" | "m" => 1,
        "ghz" | "g" => 1000,
        _ => return Err(wrong()),
    };
    let mhz = number.scaled(each).and_then(|mhz| u32::try_from(mhz).ok()).ok_or_else(wrong)?;
    if mhz < FEWEST {
        let cores = if mhz > 1 { mhz } else { 2 };
        return Err(Error::usage(format!("the unit is core MHz, and {mhz} MHz is too little"))
            .hint(format!("write `--cpu 2000` for 2 GHz; `--set smp={cores}` makes that {cores} cores")));
    }
    Ok(mhz)
}

/// Parses a server's memory in MB: `1024`, or a size with a unit as in `2G`.
pub fn parse_megabytes(text: &str) -> Result<u32> {
    /// Below this nobody means MB, but GB.
    const FEWEST: u32 = 64;
    let text = text.trim();
    let wrong = || {
        Error::usage(format!("`{text}` is not an amount of memory"))
            .hint("write MB, as in `--mem 1024`, or a size, as in `--mem 2G`")
    };
    let megabytes = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        let size = parse_size(text).map_err(|_| wrong())?;
        u32::try_from(size >> 20).ok()
    };
    match megabytes.ok_or_else(wrong)? {
        few if few < FEWEST => Err(Error::usage(format!("the unit is MB, and {few} MB is too little"))
            .hint(format!("write `--mem {}G`, or `--mem 1024` for 1 GiB", few.max(1)))),
        megabytes => Ok(megabytes),
    }
}

/// A decimal number without a sign.
#[derive(Clone, Copy)]
struct Decimal {
    whole: u64,
    /// The digits behind the point, as a number of `1 / scale`.
    fraction: u64,
    scale: u64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        /// The most digits behind the point that are read; ten to this power fits into 64 bits.
        const DIGITS: usize = 18;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
            return None;
        }
        let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        // A number that does not fit is larger than everything that is allowed.
        let whole = whole.parse().unwrap_or(u64::MAX);
        Some(Self { whole, fraction: fraction.parse().ok()?, scale })
    }

    /// The number times `each`, rounded down; `None` if it does not fit.
    fn scaled(self, each: u128) -> Option<u128> {
        let fraction = u128::from(self.fraction).checked_mul(each)? / u128::from(self.scale);
        u128::from(self.whole).checked_mul(each)?.checked_add(fraction)
    }
}

/// Splits `1.5 GiB` into its number and its unit.
fn split_unit(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((Decimal::parse(&text[..end])?, text[end..].trim_start()))
}

/// Where the first `NUMBER UNIT` of a text ends.
fn end_of_part(text: &str) -> usize {
    let starts_number = |c: char| c.is_ascii_digit() || c == '.';
    let unit = text.find(|c: char| !starts_number(c) && !c.is_whitespace()).unwrap_or(text.len());
    text[unit..].find(starts_number).map_or(text.len(), |length| unit + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(parsed: Result<T>, says: &str) {
        let error = parsed.unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        let hint = error.hint_text().expect("a hint");
        assert!(format!("{error}; {hint}").contains(says), "{says}: {error}; {hint}");
    }

    #[test]
    fn durations_have_units() -> Result<()> {
        for (text, ms) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7", 7000),
            ("0", 0),
            ("1.5s", 1500),
            ("1 s", 1000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("14d", 14 * 86_400_000),
            ("2w", 14 * 86_400_000),
            ("2min", 120_000),
        ] {
            assert_eq!(parse_duration(text)?, Duration::from_millis(ms), "{text}");
        }
        for bad in
            ["", " ", "s", "-1s", "30S", "30secs", "1é", "1h30", "30m1h", "1h1h", "1..5s", ".s", "1 2s"]
        {
            refused(parse_duration(bad), "as in `30s`");
        }
        for long in ["18446744073709551615h", "99999999999999999999s", "18446744073709551615ms", "87661h"] {
            refused(parse_duration(long), "`87660h`");
        }
        assert_eq!(parse_duration("87660h")?, LONGEST);
        Ok(())
    }

    #[test]
    fn sizes_are_read_as_people_type_them() -> Result<()> {
        for (text, size) in [
            ("0", 0),
            ("10M", 10 << 20),
            ("10m", 10 << 20),
            ("4MiB", 4 << 20),
            ("10GB", 10 << 30),
            ("10 GB", 10 << 30),
            ("1.5G", 3 << 29),
            ("0.1k", 102),
            ("2TiB", 2 << 40),
            ("512B", 512),
        ] {
            assert_eq!(parse_size(text)?, size, "{text}");
        }
        for bad in ["", "M", "4X", "-4M", "4 4M", "1.5.5G", ".5G", "1.G", "4M4", "0x10", "4Mi", "１M"] {
            refused(parse_size(bad), "`1.5G`");
        }
        refused(parse_size("1.5"), "add a unit");
        refused(parse_size("99999999999999999999G"), "too large");
        refused(parse_size("16777216T"), "too large");
        Ok(())
    }

    #[test]
    fn the_unit_of_a_processor_and_of_memory_is_named() -> Result<()> {
        assert_eq!([parse_mhz("2000")?, parse_mhz("2GHz")?, parse_mhz("2.5 ghz")?], [2000, 2000, 2500]);
        assert_eq!(
            [parse_megabytes("1024")?, parse_megabytes("2G")?, parse_megabytes("512MB")?],
            [1024, 2048, 512]
        );
        refused(parse_mhz("2"), "`--set smp=2`");
        refused(parse_mhz("two"), "`--cpu 2GHz`");
        refused(parse_megabytes("2"), "`--mem 2G`");
        refused(parse_megabytes("lots"), "`--mem 1024`");
        refused(parse_megabytes("99999999999"), "not an amount");
        Ok(())
    }
}
