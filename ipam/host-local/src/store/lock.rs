//! The lock that we share with the Go plugin: flock(2) on `<dir>/lock`, with a deadline.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use linkspan_plugin::flock;
use nix::sys::stat::{major, minor};

use super::error::Error;

/// The limit of reads of the list of all locks until it shows this one.
const LOOKS: usize = 20;

/// Locks `file`, which was opened at `path`. The lock ends with the file, or with the process.
pub(super) fn acquire(file: File, path: &Path, patience: Duration) -> Result<File, Error> {
    if let Some(lock) = flock::lock(file, patience).map_err(Error::on("lock", path))? {
        return Ok(lock);
    }
    let inode = fs::metadata(path).map_err(Error::on("examine", path))?;
    Err(Error::Busy {
        lock: path.to_owned(),
        waited: patience,
        holder: holder(inode.dev(), inode.ino()),
    })
}

/// The holder of an inode's lock, in words.
fn holder(dev: u64, ino: u64) -> String {
    // The kernel returns a long list in parts, and skips a lock when another one ends between two parts.
    let mut looks = (0..LOOKS).filter_map(|_| {
        let locks = fs::read_to_string("/proc/locks").ok()?;
        holder_in(&locks, dev, ino)
    });
    match looks.next() {
        Some(pid) => match command(pid) {
            Ok(command) => format!("process {pid} ({command})"),
            Err(_gone) => format!("process {pid}, which has ended meanwhile"),
        },
        None => "a process that /proc/locks does not show".to_owned(),
    }
}

/// The process that holds a flock on the inode. A filesystem of several devices (btrfs, overlayfs) has one number in
/// stat(2) and another in /proc/locks. There the inode decides, if only one lock has it.
fn holder_in(locks: &str, dev: u64, ino: u64) -> Option<u32> {
    let device = format!("{:02x}:{:02x}", major(dev), minor(dev));
    let held: Vec<(&str, u32)> = locks
        .lines()
        .filter_map(|line| {
            // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF"; a waiter has "->" in second place.
            let mut words = line.split_whitespace().skip(1);
            let kind = words.next()?;
            let pid = words.nth(2)?.parse().ok()?;
            let (device, inode) = words.next()?.rsplit_once(':')?;
            (kind == "FLOCK" && inode.parse() == Ok(ino)).then_some((device, pid))
        })
        .collect();
    let exact = held.iter().find(|(at, _)| *at == device);
    let only = (held.len() == 1).then(|| held.first()).flatten();
    exact.or(only).map(|(_, pid)| *pid)
}

/// The command line of a process, or its name where it shows none.
fn command(pid: u32) -> io::Result<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    if line.trim().is_empty() {
        return Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?
            .trim()
            .to_owned());
    }
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_told_from_those_who_wait_and_from_other_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:131 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 22 fe:00:131 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 33 fe:00:131 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 44 00:2a:131 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 55 fe:00:132 0 EOF\n";
        let dev = nix::sys::stat::makedev(0xfe, 0);
        assert_eq!(holder_in(locks, dev, 131), Some(22));
        assert_eq!(holder_in(locks, dev, 132), Some(55));
        assert_eq!(holder_in(locks, 7, 132), Some(55));
        assert_eq!(holder_in(locks, 7, 131), None);
        assert_eq!(holder_in(locks, dev, 1), None);
    }
}
