//! Values of options: sizes and durations, with errors that say what would have been right.

use std::time::Duration;

use crate::{Error, Result, wire};

/// A size or rate: bytes with an optional binary `k`, `M`, `G` or `T`, as in `4M`.
pub fn parse_size(text: &str) -> Result<u64> {
    wire::elastic::parse_size(text).ok_or_else(|| {
        Error::usage(format!(
            "{text:?} is not a size: bytes with an optional k, M, G or T are meant, as in 4M"
        ))
        .hint("k, M, G and T are powers of 1024; write 1536M for 1.5G, and 4M for 4MiB")
    })
}

/// The longest duration: ten years. Deadlines are sums and multiples of durations, and these have to be
/// numbers, too.
const LONGEST: Duration = Duration::from_hours(10 * 8766);

/// A duration: a whole number with `ms`, `s`, `m` or `h`, as in `30s`; without a unit, seconds.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::usage(format!("{text:?} is not a duration: a number with ms, s, m or h is meant, as in 30s"))
            .hint("write 1500ms for 1.5s")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    };
    match duration {
        Some(duration) if duration > LONGEST => {
            Err(Error::usage(format!("{text:?} is too long: expected at most ten years"))
                .hint("the longest duration is `87660h`"))
        }
        duration => duration.ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() -> Result<()> {
        for (text, ms) in
            [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("7", 7000), ("0", 0)]
        {
            assert_eq!(parse_duration(text)?, Duration::from_millis(ms), "{text}");
        }
        for bad in ["", "s", "-1s", "1.5s", "1 s", "1d", "30S", "30sec", "99999999999999999999s", "1é"] {
            assert_eq!(parse_duration(bad).unwrap_err().kind().exit_code(), 2, "{bad}");
        }
        for long in ["18446744073709551615h", "18446744073709551615s", "18446744073709551615ms", "87661h"] {
            assert_eq!(parse_duration(long).unwrap_err().kind().exit_code(), 2, "{long}");
        }
        assert_eq!(parse_duration("87660h")?, LONGEST);
        Ok(())
    }

    #[test]
    fn sizes_are_those_of_the_apis() -> Result<()> {
        assert_eq!(parse_size("10M")?, 10 << 20);
        let e = parse_size("4MiB").unwrap_err();
        assert_eq!(e.kind().exit_code(), 2);
        assert!(e.to_string().contains("4MiB"), "{e}");
        Ok(())
    }
}
