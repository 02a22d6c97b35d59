//! The emulator's clock, and how CloudSigma writes points in time: `2010-02-24 11:04:18`, without a zone (here UTC).
//!
//! Each emulator has a [`Clock`] that can be put forward and can run faster than the machine's. Its threads carry it, so
//! that [`now`] is the same everywhere in one emulator and differs between two in one process. Signatures and `Date`
//! headers are not checked by it: a client signs with the time of its own machine.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

/// Microseconds since the epoch, by the clock of the emulator whose thread this is; elsewhere by the machine's.
pub(super) fn now() -> u64 {
    CURRENT.with_borrow(|clock| clock.as_ref().map_or_else(machine_now, |clock| clock.now()))
}

fn machine_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The fastest that a clock may run: a month passes in a quarter of a minute.
pub const FASTEST: f64 = 200_000.0;

/// The time of one emulator.
#[derive(Debug)]
pub(super) struct Clock(Mutex<Reading>);

/// What a clock showed at one moment, and how it goes on from there.
#[derive(Clone, Copy, Debug)]
struct Reading {
    shown: u64,
    machine: u64,
    /// Its seconds in one second of the machine.
    scale: f64,
}

impl Reading {
    fn at(self, machine: u64) -> u64 {
        let passed = Duration::from_micros(machine.saturating_sub(self.machine));
        // Longer than a `Duration` can be is the end of time too.
        let scaled = Duration::try_from_secs_f64(passed.as_secs_f64() * self.scale).unwrap_or(Duration::MAX);
        self.shown.saturating_add(u64::try_from(scaled.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Clock {
    /// A clock that shows the machine's time now and runs `scale` times as fast.
    pub(super) fn new(scale: f64) -> Clock {
        let now = machine_now();
        Clock(Mutex::new(Reading { shown: now, machine: now, scale }))
    }

    pub(super) fn now(&self) -> u64 {
        self.lock().at(machine_now())
    }

    /// Puts it forward. It never goes back.
    pub(super) fn advance(&self, by: Duration) {
        let mut reading = self.lock();
        reading.shown = reading.shown.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX));
    }

    /// Has it run `scale` times as fast as the machine's from now on.
    pub(super) fn set_scale(&self, scale: f64) {
        let mut reading = self.lock();
        let machine = machine_now();
        *reading = Reading { shown: reading.at(machine), machine, scale };
    }

    pub(super) fn scale(&self) -> f64 {
        self.lock().scale
    }

    /// Makes it the clock of the thread that calls.
    pub(super) fn carry(self: &Arc<Self>) {
        CURRENT.with_borrow_mut(|current| *current = Some(Arc::clone(self)));
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    fn a_clock_runs_at_its_scale_and_never_back() {
        let from = Reading { shown: 5 * SECOND, machine: 1000 * SECOND, scale: 60.0 };
        assert_eq!(from.at(1002 * SECOND), 125 * SECOND);
        assert_eq!(from.at(900 * SECOND), 5 * SECOND);
        assert_eq!(Reading { scale: 1e300, ..from }.at(1001 * SECOND), u64::MAX);
    }

    #[test]
    fn a_clock_holds_for_the_threads_that_carry_it() {
        let clock = Arc::new(Clock::new(1.0));
        clock.advance(Duration::from_hours(100));
        let ahead = std::thread::spawn(move || {
            clock.carry();
            now()
        });
        assert!(ahead.join().unwrap() > now() + 99 * 3600 * SECOND);
        let slow = Clock::new(1000.0);
        slow.set_scale(0.0);
        assert_eq!((slow.now(), slow.scale()), (slow.now(), 0.0));
    }

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
