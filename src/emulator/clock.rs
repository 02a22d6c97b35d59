//! Points in time, and how CloudSigma writes them: `2010-02-24 11:04:18`, without a zone (here UTC).

use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// Microseconds since the epoch, now.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One second in the unit of [`now`].
pub(super) const SECOND: u64 = 1_000_000;

const DAY: u64 = 24 * 60 * 60;

/// A point in time by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Date {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
}

impl Date {
    /// From microseconds since the epoch.
    pub(super) fn of(micros: u64) -> Date {
        let seconds = micros / SECOND;
        // Days are counted from 1 March of year 0, so that a leap day ends a year; an era is 400 years.
        let days = seconds / DAY + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Date { year, month, day, second: seconds % DAY }
    }

    /// Reads `Y-m-d H:M`, with or without seconds and a fraction, which is dropped.
    pub(super) fn parse(text: &str) -> Option<Date> {
        let (date, time) = text.trim().split_once([' ', 'T'])?;
        let numbers = |text: &str, between: char| -> Option<Vec<u64>> {
            let number =
                |word: &str| word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten();
            text.split(between).map(number).collect()
        };
        let date = numbers(date, '-')?;
        let mut time = numbers(time.split('.').next()?, ':')?;
        if time.len() == 2 {
            time.push(0);
        }
        let (&[year, month, day], &[hour, minute, second]) = (&*date, &*time) else { return None };
        let valid = (1970..10_000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        valid.then_some(Date { year, month, day, second: (hour * 60 + minute) * 60 + second })
    }

    /// The same day some months later, or the last of that month.
    pub(super) fn plus_months(self, months: u64) -> Date {
        let month = self.year * 12 + self.month - 1 + months;
        let (year, month) = (month / 12, month % 12 + 1);
        Date { year, month, day: self.day.min(days_in(year, month)), ..self }
    }

    /// `Y-m-d H:M`.
    pub(super) fn to_the_minute(self) -> String {
        let Date { year, month, day, second } = self;
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
    }

    /// `Y-m-d H:M:S`.
    pub(super) fn to_the_second(self) -> String {
        format!("{}:{:02}", self.to_the_minute(), self.second % 60)
    }
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_267_009_458, "2010-02-24 11:04:18"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            let date = Date::of(seconds * SECOND);
            assert_eq!(date.to_the_second(), text);
            assert_eq!(Date::parse(text), Some(date));
        }
    }

    #[test]
    fn dates_are_read_with_and_without_seconds() {
        let date = Date::parse("2010-03-20 13:20").unwrap();
        assert_eq!(date.to_the_second(), "2010-03-20 13:20:00");
        assert_eq!(Date::parse("2010-02-23 17:18:32.401708").unwrap().to_the_second(), "2010-02-23 17:18:32");
        for bad in ["", "2010-03-20", "2010-02-29 00:00", "2010-13-01 00:00", "2010-01-01 24:00", "x-y-z 1:2"]
        {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let plus = |text: &str, months| Date::parse(text).unwrap().plus_months(months).to_the_minute();
        assert_eq!(plus("2010-01-31 10:00", 1), "2010-02-28 10:00");
        assert_eq!(plus("2011-12-15 10:00", 2), "2012-02-15 10:00");
    }
}
