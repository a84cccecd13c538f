//! How many calls there were, and how long they took, by verb and code: a file that every process maps and adds to.
//!
//! The file is a table of 64-bit numbers. A number is only ever added to by one instruction, so no process waits for
//! another, and one that is killed leaves a whole table.
#![expect(
    unsafe_code,
    reason = "the kernel adds to no number of a file: only memory that is shared can be added to at once"
)]

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use linkspan_protocol::command::Command;
use nix::fcntl::posix_fallocate;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::getpid;

use super::files;

const FILE: &str = "counters";
/// The layout: another one is another number, and such a file is left alone.
const MAGIC: u64 = u64::from_le_bytes(*b"linksp01");

/// The verbs that are counted.
const VERBS: [Command; 6] = [
    Command::Add,
    Command::Del,
    Command::Check,
    Command::Gc,
    Command::Status,
    Command::Restore,
];
/// The codes that are counted by themselves. Any other one is counted as [`OTHER`].
const CODES: [u32; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 999];
const OTHER: &str = "other";
/// The upper ends of the histogram's buckets, in microseconds. The last bucket has none.
pub const BOUNDS: [u64; 12] = [
    500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 512_000, 2_000_000,
    10_000_000,
];

/// The numbers of a verb with a code: the buckets, and the sum of the microseconds.
const ROW: usize = BOUNDS.len() + 2;
const ROWS: usize = VERBS.len() * (CODES.len() + 1);
/// The first number is the layout's.
const NUMBERS: usize = 1 + ROWS * ROW;
const BYTES: usize = NUMBERS * size_of::<u64>();

/// The calls of a verb that ended with a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Such as `ADD`.
    pub verb: &'static str,
    /// Such as `0`, or `other`.
    pub code: String,
    /// How many took at most as long as each of [`BOUNDS`], but longer than the one before, and how many took longer.
    pub buckets: Vec<u64>,
    /// How long all took together.
    pub took: Duration,
}

impl Counted {
    /// How many calls these are.
    pub fn calls(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Counts a call.
pub(super) fn count(dir: &Path, verb: Command, code: u32, took: Duration) -> io::Result<()> {
    let Some(verb) = VERBS.iter().position(|known| *known == verb) else {
        return Ok(());
    };
    let code = CODES.iter().position(|known| *known == code);
    let row = verb * (CODES.len() + 1) + code.unwrap_or(CODES.len());
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bucket = BOUNDS.iter().position(|bound| took <= *bound);
    let first = 1 + row * ROW;
    let added = [
        (first + bucket.unwrap_or(BOUNDS.len()), 1),
        (first + ROW - 1, took),
    ];
    let file = files::in_directory(dir, || open(dir))?;
    if file.metadata()?.len() != BYTES as u64 {
        return Err(ErrorKind::InvalidData.into());
    }
    let numbers = map(&file)?;
    let is_ours = |layout: &AtomicU64| layout.load(Ordering::Relaxed) == MAGIC;
    if !numbers.first().is_some_and(is_ours) {
        return Err(ErrorKind::InvalidData.into());
    }
    for (at, more) in added {
        if let Some(number) = numbers.get(at) {
            number.fetch_add(more, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The counters in `dir`; none if the file is missing.
pub fn read(dir: &Path) -> io::Result<Vec<Counted>> {
    let bytes = match fs::read(dir.join(FILE)) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let Some((&MAGIC, numbers)) = numbers.split_first() else {
        return Err(ErrorKind::InvalidData.into());
    };
    if numbers.len() + 1 != NUMBERS || !rest.is_empty() {
        return Err(ErrorKind::InvalidData.into());
    }
    let names = VERBS.iter().flat_map(|verb| {
        let codes = CODES.iter().map(u32::to_string);
        let codes = codes.chain([OTHER.to_owned()]);
        codes.map(|code| (verb.name(), code))
    });
    let rows = names.zip(numbers.chunks_exact(ROW));
    let counted = rows.filter_map(|((verb, code), row)| {
        let (took, buckets) = row.split_last()?;
        Some(Counted {
            verb,
            code,
            buckets: buckets.to_vec(),
            took: Duration::from_micros(*took),
        })
    });
    Ok(counted.filter(|counted| counted.calls() > 0).collect())
}

fn open(dir: &Path) -> io::Result<File> {
    let path = dir.join(FILE);
    match files::options().read(true).write(true).open(&path) {
        Err(err) if err.kind() == ErrorKind::NotFound => create(dir)?,
        opened => return opened,
    }
    files::options().read(true).write(true).open(&path)
}

/// Makes the file whole before it gets its name. All of its pages are there from then on: a page that is missing in a full
/// file system would end the process that adds to it.
fn create(dir: &Path) -> io::Result<()> {
    let draft = dir.join(format!("{FILE}.{}", getpid()));
    let file = files::options().write(true).create_new(true).open(&draft)?;
    let made = fill(&file).and_then(|()| fs::hard_link(&draft, dir.join(FILE)));
    fs::remove_file(&draft)?;
    match made {
        Err(err) if err.kind() != ErrorKind::AlreadyExists => Err(err),
        _ => Ok(()),
    }
}

fn fill(file: &File) -> io::Result<()> {
    posix_fallocate(file, 0, i64::try_from(BYTES).map_err(io::Error::other)?)?;
    file.write_all_at(&MAGIC.to_ne_bytes(), 0)
}

/// The numbers of the file, for the rest of the process' life.
fn map(file: &File) -> io::Result<&'static [AtomicU64]> {
    let length = NonZeroUsize::new(BYTES).ok_or(ErrorKind::InvalidData)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses where the mapping is, and nothing else of this process is there.
    let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) }?;
    // SAFETY: the mapping begins at a page, has this length, and is never undone. Any bytes are a number, and other
    // processes change numbers by atomic instructions alone.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>().as_ptr(), NUMBERS) })
}
