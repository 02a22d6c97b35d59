//! Who on this machine may be writing to a block device: a mounted file system, swap, or a device on top of it.
//!
//! The sources are `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`), `/proc/swaps` (`swapon(8)`) and, for partitions and for
//! devices of LVM, dm-crypt or MD, the device's directory in sysfs with its `holders`
//! (Documentation/ABI/stable/sysfs-block). A program that has the device open, such as a virtual machine, is in none of
//! them.

use rustix::fs::{major, minor};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The most devices on top of each other that are followed.
const DEPTH: usize = 8;

/// Where the kernel tells of devices; another directory in tests.
struct System<'a> {
    proc: &'a Path,
    sys: &'a Path,
}

/// A device number, as the kernel prints it: `8:1`.
type Number = String;

/// Returns who uses the device of that number, in words; `None` if nobody is known to.
pub(super) fn users_of(device: u64) -> Option<String> {
    let number = format!("{}:{}", major(device), minor(device));
    System { proc: Path::new("/proc"), sys: Path::new("/sys") }.users_of(&number)
}

impl System<'_> {
    fn users_of(&self, number: &str) -> Option<String> {
        let mut above = BTreeMap::new();
        self.add(number, "", DEPTH, &mut above);
        let mounted = self.mounts().into_iter().find(|(number, _)| above.contains_key(number));
        if let Some((number, place)) = mounted {
            return Some(format!("a file system mounted for writing at {place}{}", through(&above[&number])));
        }
        if let Some(number) = self.swaps().into_iter().find(|number| above.contains_key(number)) {
            return Some(format!("this machine as swap{}", through(&above[&number])));
        }
        above.into_values().find(|name| !name.is_empty())
    }

    /// Adds a device, its partitions and the devices on top of them, each with its name; a partition goes by the name of
    /// what it is part of.
    fn add(&self, number: &str, name: &str, depth: usize, found: &mut BTreeMap<Number, String>) {
        if depth == 0 || found.insert(number.to_owned(), name.to_owned()).is_some() {
            return;
        }
        let directory = self.sys.join("dev/block").join(number);
        for part in entries(&directory).into_iter().filter(|part| part.join("partition").exists()) {
            if let Some(number) = line(&part.join("dev")) {
                self.add(&number, name, depth - 1, found);
            }
        }
        for holder in entries(&directory.join("holders")) {
            let file_name = holder.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = line(&holder.join("dm/name")).or(file_name).unwrap_or_default();
            if let Some(number) = line(&holder.join("dev")) {
                self.add(&number, &format!("device {name}"), depth - 1, found);
            }
        }
    }

    /// What is mounted for writing: the device, and where.
    fn mounts(&self) -> Vec<(Number, String)> {
        let text = std::fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        text.lines().filter_map(mount).collect()
    }

    /// The devices that are swapped to.
    fn swaps(&self) -> Vec<Number> {
        let text = std::fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        let paths = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        paths.filter_map(|path| device_at(&unescaped(path))).collect()
    }
}

/// A line of mountinfo, if it is of a file system on a block device that is mounted for writing.
fn mount(line: &str) -> Option<(Number, String)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let (number, place, options) = (mount.nth(2)?, mount.nth(1)?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (source, super_options) = (file_system.nth(1)?, file_system.next()?);
    let is_written = |options: &str| options.split(',').any(|option| option == "rw");
    if !is_written(options) || !is_written(super_options) {
        return None;
    }
    // A file system that may span several devices, such as Btrfs, has a number of its own.
    let number = if number.starts_with("0:") { device_at(&unescaped(source))? } else { number.to_owned() };
    Some((number, unescaped(place).display().to_string()))
}

/// The number of the block device at a path.
fn device_at(path: &Path) -> Option<Number> {
    let meta = std::fs::metadata(path).ok().filter(|meta| meta.file_type().is_block_device())?;
    Some(format!("{}:{}", major(meta.rdev()), minor(meta.rdev())))
}

/// A path of which the kernel has written spaces, tabs, newlines and backslashes as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            path.push(char::from(code));
            path.push_str(&part[3..]);
        } else {
            path.push('\\');
            path.push_str(part);
        }
    }
    PathBuf::from(path)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn line(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

/// How a use is told that is of a device on top of the one that was asked for.
fn through(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" on {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
31 30 8:2 / /media/a\\040b ro,relatime - ext4 /dev/sda2 rw
32 30 8:3 / /opt rw,relatime - ext4 /dev/sda3 ro
33 30 253:0 / /srv/my\\040data rw - xfs /dev/mapper/vg-data rw
";

    /// A disk 8:0 with partitions 8:1 to 8:4; on 8:4 is the logical volume 253:0. 8:16 has one that is not mounted.
    fn system(mounts: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let block = |directory: &str, number: &str| {
            std::fs::create_dir_all(path(directory).join("holders")).unwrap();
            std::fs::write(path(directory).join("dev"), format!("{number}\n")).unwrap();
            std::fs::create_dir_all(path("sys/dev/block")).unwrap();
            symlink(path(directory), path("sys/dev/block").join(number)).unwrap();
        };
        block("sys/block/sda", "8:0");
        for n in 1..=4 {
            let part = format!("sys/block/sda/sda{n}");
            block(&part, &format!("8:{n}"));
            std::fs::write(path(&part).join("partition"), "1\n").unwrap();
        }
        block("sys/block/sdb", "8:16");
        for (volume, number, name, under) in
            [("dm-0", "253:0", "vg-data", "sda/sda4"), ("dm-1", "253:1", "vg-spare", "sdb")]
        {
            block(&format!("sys/block/{volume}"), number);
            std::fs::create_dir(path(&format!("sys/block/{volume}/dm"))).unwrap();
            std::fs::write(path(&format!("sys/block/{volume}/dm/name")), format!("{name}\n")).unwrap();
            let holder = path(&format!("sys/block/{under}/holders/{volume}"));
            symlink(path(&format!("sys/block/{volume}")), holder).unwrap();
        }
        std::fs::create_dir_all(path("proc/self")).unwrap();
        std::fs::write(path("proc/self/mountinfo"), mounts).unwrap();
        root
    }

    fn users(mounts: &str, number: &str) -> Option<String> {
        let root = system(mounts);
        System { proc: &root.path().join("proc"), sys: &root.path().join("sys") }.users_of(number)
    }

    #[test]
    fn a_device_is_used_by_what_is_mounted_for_writing_on_it_or_above_it() {
        let says = |number: &str| users(MOUNTS, number).unwrap_or_default();
        assert_eq!(says("8:1"), "a file system mounted for writing at /");
        assert_eq!(says("8:0"), "a file system mounted for writing at /", "a partition of the disk");
        assert_eq!(says("8:4"), "a file system mounted for writing at /srv/my data on device vg-data");
        assert_eq!(says("253:0"), "a file system mounted for writing at /srv/my data");
        assert_eq!(says("8:16"), "device vg-spare", "a device on top of it");
        // Mounted to be read, by either of the two options that say so.
        assert_eq!([says("8:2"), says("8:3"), says("253:1"), says("9:9")], ["", "", "", ""]);
    }

    #[test]
    fn devices_that_hold_each_other_are_followed_once() {
        let root = system("");
        let holders = root.path().join("sys/block/dm-1/holders/sdb");
        symlink(root.path().join("sys/block/sdb"), holders).unwrap();
        let system = System { proc: &root.path().join("proc"), sys: &root.path().join("sys") };
        assert_eq!(system.users_of("8:16").as_deref(), Some("device vg-spare"));
    }

    #[test]
    fn the_kernel_writes_blanks_as_octal_digits() {
        assert_eq!(unescaped(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescaped(r"/a\9"), Path::new(r"/a\9"));
        assert_eq!(device_at(Path::new("/proc/self/mountinfo")), None);
    }
}
