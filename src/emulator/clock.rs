//! The emulator's clock.

use std::time::SystemTime;

/// Returns the time in microseconds since the epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One second in the unit of [`now`].
pub(super) const SECOND: u64 = 1_000_000;
