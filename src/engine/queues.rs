//! Tells whether data given to the kernel is still on its way.
//!
//! A body that fits into the socket's buffer is sent at once as far as a program can see, and waiting for the
//! reply then looks like a slow server although the line is slow. The kernel reports how many bytes of each
//! connection are not acknowledged yet (`tx_queue` in `/proc/self/net/tcp`; see the manual page
//! `proc_pid_net(5)`).

use std::collections::HashSet;
use std::path::Path;

/// Returns the number of TCP bytes that this process has sent and that were not acknowledged. Returns `None`
/// if the system does not report it.
pub(super) fn unacknowledged() -> Option<u64> {
    let own = sockets(Path::new("/proc/self/fd"))?;
    let four = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    // A system without IPv6 has no such file.
    let six = std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default();
    Some(queued(&four, &own) + queued(&six, &own))
}

/// Returns the inodes of the sockets among the open files.
fn sockets(open: &Path) -> Option<HashSet<u64>> {
    let inode = |name: &str| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let files = std::fs::read_dir(open).ok()?;
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    Some(links.filter_map(|link| inode(link.to_str()?)).collect())
}

/// Returns the sum of the send queues of the connected sockets among `own`.
fn queued(table: &str, own: &HashSet<u64>) -> u64 {
    const ESTABLISHED: &str = "01";
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode: u64 = fields.get(9)?.parse().ok()?;
        let (sent, _) = fields.get(4)?.split_once(':')?;
        let counts = fields.get(3) == Some(&ESTABLISHED) && own.contains(&inode);
        counts.then(|| u64::from_str_radix(sent, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_table_is_read_for_the_sockets_that_are_asked_for() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 0100007F:C350 01 00000010:00000000 00:00000000 00000000     0        0 77 1 0\n   \
             1: 0100007F:1F90 00000000:0000 0A 00000020:00000000 00:00000000 00000000     0        0 78 1 0\n   \
             2: 0100007F:1F90 0100007F:C351 01 00000100:00000000 00:00000000 00000000     0        0 79 1 0\n";
        assert_eq!(queued(table, &HashSet::from([77, 78])), 16);
        assert_eq!(queued(table, &HashSet::from([77, 79])), 272);
        assert_eq!(queued("nonsense\nmore of it", &HashSet::from([77])), 0);
    }

    /// Bytes that nobody reads pile up, and are gone once they are read.
    #[test]
    fn what_nobody_reads_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(n) = here.write(&[7; 8192]) {
            sent += n;
        }
        assert!(unacknowledged().unwrap() > 0, "{sent} bytes were sent");
        there.read_exact(&mut vec![0; sent]).unwrap();
    }
}
