//! Points in time as the providers write them: `2010-02-24 11:04:18`, without a zone (here UTC).
//!
//! They are stored as microseconds since the epoch.

use super::clock::SECOND;
use chrono::{DateTime, Months, NaiveDateTime, Utc};

/// `Y-m-d H:M`.
pub(super) const MINUTE: &str = "%Y-%m-%d %H:%M";
/// `Y-m-d H:M:S`.
pub(super) const TO_THE_SECOND: &str = "%Y-%m-%d %H:%M:%S";
/// ISO 8601, as Joyent writes it.
pub(super) const ISO: &str = "%Y-%m-%dT%H:%M:%S+00:00";

fn utc(micros: u64) -> DateTime<Utc> {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Formats a point in time.
pub(super) fn print(micros: u64, form: &str) -> String {
    utc(micros).format(form).to_string()
}

/// Parses `Y-m-d H:M`, optionally with seconds and a fraction, which is dropped.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim().split('.').next()?.replace('T', " ");
    let read = |form: &str| NaiveDateTime::parse_from_str(&text, form).ok();
    let seconds = read(TO_THE_SECOND).or_else(|| read(MINUTE))?.and_utc().timestamp();
    u64::try_from(seconds).ok()?.checked_mul(SECOND)
}

/// Returns the same day some months later, or the last day of that month.
pub(super) fn plus_months(micros: u64, months: u32) -> u64 {
    let later = utc(micros).checked_add_months(Months::new(months)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    u64::try_from(later.timestamp_micros()).unwrap_or(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_and_without_seconds() {
        for (text, printed) in [
            ("2010-03-20 13:20", "2010-03-20 13:20:00"),
            ("2010-02-23 17:18:32.401708", "2010-02-23 17:18:32"),
            ("2010-02-24T11:04:18", "2010-02-24 11:04:18"),
        ] {
            assert_eq!(print(parse(text).unwrap(), TO_THE_SECOND), printed);
        }
        assert_eq!(print(1_309_383_598 * SECOND, ISO), "2011-06-29T21:39:58+00:00");
        for bad in ["", "2010-03-20", "2010-02-29 00:00", "2010-13-01 00:00", "2010-01-01 24:00", "x-y-z 1:2"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let plus = |text: &str, months| print(plus_months(parse(text).unwrap(), months), MINUTE);
        assert_eq!(plus("2010-01-31 10:00", 1), "2010-02-28 10:00");
        assert_eq!(plus("2011-12-15 10:00", 2), "2012-02-15 10:00");
    }
}
