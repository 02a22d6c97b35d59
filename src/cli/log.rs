//! Lines of the log, under the rules of everything else that goes to standard error.

use super::output::Output;
use std::io::Write;

/// Takes lines of the log.
pub struct Log(pub(super) Output);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.stderr(text.trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
