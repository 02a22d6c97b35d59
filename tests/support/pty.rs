//! A pseudo terminal.

use std::fs::File;
use std::os::fd::FromRawFd;

/// Opens a pseudo terminal, and returns both ends: ours and the program's.
#[expect(unsafe_code, reason = "the standard library opens no pseudo terminal")]
pub fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: the two integers outlive the call, and the three pointers that may be null are null.
    let opened = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(opened, 0);
    // SAFETY: both descriptors were just opened and have no other owner.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}
