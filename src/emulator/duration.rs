//! Durations in fault specifications and at the control address: `20ms`, `1.5s`, `720h`.

use std::time::Duration;

/// The units with their length in seconds. Where one unit ends like another, the longer name comes first.
const UNITS: [(&str, f64); 6] =
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Parses a number with its unit.
///
/// # Errors
/// Says what was expected.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = UNITS.into_iter();
    units
        .filter_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .find_map(|(number, seconds)| number.parse::<f64>().ok().map(|number| number * seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number with its unit (us, ms, s, m, h or d), as 20ms or 1.5s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("500us", Duration::from_micros(500)),
            ("20ms", Duration::from_millis(20)),
            ("1.5s", Duration::from_millis(1500)),
            ("3m", Duration::from_mins(3)),
            ("720h", Duration::from_hours(720)),
            ("2d", Duration::from_hours(48)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for wrong in ["", "20", "s", "-1s", "1 week", "infs", "nanh", "1e300d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
