//! Formats figures for people.

use std::time::Duration;

/// Formats a number of bytes.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Formats a duration: `350 ms`, `2.4 s`, `2m 10s`, `3h 5m`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_millis() >= 500);
    match seconds {
        _ if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Returns bytes per second.
pub fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
}

/// Formats a count with a space before every three digits.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            // A thin non-breaking space.
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a count of things, such as `1 chunk` or `2 chunks`.
pub fn counted(n: u64, thing: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {thing}{s}", count(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(4 << 20), "4.0 MiB");
        assert_eq!(bytes((1 << 30) - 1), "1.0 GiB");
    }

    #[test]
    fn times_and_counts_for_people() {
        let ms = |ms| time(Duration::from_millis(ms));
        assert_eq!([ms(0), ms(999), ms(1500), ms(59_940)], ["0 ms", "999 ms", "1.5 s", "1m 0s"]);
        assert_eq!([ms(130_000), ms(3_600_000), ms(11_100_000)], ["2m 10s", "1h 0m", "3h 5m"]);
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
        assert_eq!([count(7), count(999), count(1_234_567)], ["7", "999", "1\u{202f}234\u{202f}567"]);
        assert_eq!([counted(1, "chunk"), counted(0, "chunk")], ["1 chunk", "0 chunks"]);
    }
}
