//! A look at every lease of a dry pool: one process at a time, for all that wait.
//!
//! Many processes want an address of a full pool, and each look costs as much as hundreds of ADDs. So they queue at a
//! file of their own, for which no DEL waits. The file counts the looks that have begun, and has the outcome of the
//! last one that ended. A process that has waited takes that outcome where the look began after the process found the
//! pool dry: its own look could find no more.
//!
//! ```text
//! 00000000000000000007          looks that have begun, in twenty digits
//! 7 4026531841                  which one this is the outcome of, and its mount namespace
//! 250 3 10.1.2.2-10.1.2.254     live, unknown, and whose addresses
//! ```
//!
//! All of this is an optimisation. Where the file cannot be used, each process looks by itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use linkspan_owner::home::mount_namespace;
use linkspan_plugin::flock;
use nix::fcntl::OFlag;

use super::error::Error;
use super::judged::{Census, Judged};
use super::{LOOKS, open_beside, open_directory};
use crate::span::Span;

/// The count's digits; a newline follows.
const DIGITS: usize = 20;
const OUTCOME: u64 = DIGITS as u64 + 1;
/// The bytes of an outcome that are read at most.
const MOST: usize = 64 * 1024;

/// The turn to look, with the outcome of an earlier look.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    dir: &'a Path,
    /// The locked file; `None` where it cannot be used.
    file: Option<File>,
    /// The number of looks that had begun before this process waited.
    earlier: u64,
}

impl<'a> Look<'a> {
    /// Waits until no other process looks, at most as long as `patience`.
    pub(crate) fn wait(dir: &'a Path, patience: Duration) -> Self {
        let queue = || -> io::Result<(u64, Option<File>)> {
            let handle = open_directory(dir)?;
            let file = open_beside(dir, &handle, LOOKS, OFlag::O_RDWR | OFlag::O_CREAT)?;
            let earlier = begun(&file)?.unwrap_or(u64::MAX);
            Ok((earlier, flock::lock(file, patience)?))
        };
        let (earlier, file) = queue().unwrap_or_default();
        Self { dir, file, earlier }
    }

    /// The outcome of another process's look, where that began after the call of [`Look::wait`] and in our mount
    /// namespace.
    pub(crate) fn told(&self) -> Option<Judged> {
        let mut note = vec![0; MOST];
        let read = self.file.as_ref()?.read_at(&mut note, OUTCOME).ok()?;
        note.truncate(read);
        let note = String::from_utf8_lossy(&note);
        let mut lines = note.lines();
        let (number, mounts) = lines.next()?.split_once(' ')?;
        let is_new = number.parse::<u64>().ok()? > self.earlier;
        let is_ours = mount_namespace() == mounts.parse().ok();
        (is_new && is_ours).then(|| Judged::Told(lines.filter_map(pool).collect()))
    }

    /// Reads every lease. Notes for the waiting processes each of `pools` that has neither a free address nor a dead
    /// holder.
    pub(crate) fn look(&self, pools: &[Vec<Span>]) -> Result<Judged, Error> {
        // Without a note the next process looks again.
        let file = self.file.as_ref();
        let begun = file.and_then(|file| Some((file, begin(file).ok()?)));
        let judged = Judged::new(self.dir)?;
        if let Some((file, number)) = begun {
            drop(end(file, number, &judged, pools));
        }
        Ok(judged)
    }
}

/// The number of looks that have begun; `None` where the file is malformed.
fn begun(file: &File) -> io::Result<Option<u64>> {
    let mut digits = [0; DIGITS];
    Ok(match file.read_at(&mut digits, 0)? {
        0 => Some(0),
        _ => String::from_utf8_lossy(&digits).parse().ok(),
    })
}

/// Notes that one more look has begun without an outcome yet. Returns its number.
fn begin(file: &File) -> io::Result<u64> {
    let number = begun(file)?.unwrap_or(0).saturating_add(1);
    file.write_all_at(format!("{number:0DIGITS$}\n").as_bytes(), 0)?;
    file.set_len(OUTCOME)?;
    Ok(number)
}

/// Notes the outcome of a look for each pool without a free address and without a dead holder.
fn end(file: &File, number: u64, judged: &Judged, pools: &[Vec<Span>]) -> io::Result<()> {
    let mounts = mount_namespace().unwrap_or(0);
    let mut note = format!("{number} {mounts}\n");
    for pool in pools {
        let Census {
            live,
            unknown,
            dead,
        } = judged.census(pool);
        if dead == 0 && judged.gap(pool).is_none() {
            let line = format!("{live} {unknown} {}\n", text(pool));
            note.push_str(&line);
        }
    }
    file.write_all_at(note.as_bytes(), OUTCOME)
}

/// A line of an outcome: a pool's addresses and the count of their holders.
fn pool(line: &str) -> Option<(String, Census)> {
    let mut words = line.splitn(3, ' ');
    let mut count = || words.next()?.parse().ok();
    let census = Census {
        live: count()?,
        unknown: count()?,
        dead: 0,
    };
    Some((words.next()?.to_owned(), census))
}

/// A pool's addresses as text.
pub(super) fn text(pool: &[Span]) -> String {
    let spans: Vec<_> = pool.iter().map(ToString::to_string).collect();
    spans.join(",")
}
