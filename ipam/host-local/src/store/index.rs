//! The taken addresses as bits in one file beside the leases. It makes a full pool as cheap as an empty one.
//!
//! It is a cache. Its head has the state of the lease directory that it was made from, the [`Seal`]. An index that does
//! not match is rebuilt from the leases. Addresses are in blocks of 65,536, and a block that is absent is free.
//!
//! ```text
//! 0      head, then the numbers of the blocks, 16 bytes each
//! 68 KiB pages of 8 KiB, one for each block in the order of the numbers
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;

use super::head::{Head, Seal};
use linkspan_protocol::addr::{address, number};

use crate::span::Span;

/// The size of the first read, in bytes.
const START: usize = 4096;
const PAGES: u64 = 68 * 1024;
const PAGE: usize = 8 * 1024;
const MAX_BLOCKS: usize = 4096;
const BLOCK_BITS: u32 = PAGE.ilog2() + 3;

/// One block's addresses.
#[derive(Debug, Clone)]
struct Page {
    bits: Vec<u8>,
    changed: bool,
}

/// The bits. Only the pages that were used are in memory.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// `None` for an index in memory alone.
    file: Option<File>,
    seal: Option<Seal>,
    /// The number of leases that name a container alone. A search for an owner must read these, too.
    pub(crate) legacy: u32,
    blocks: Vec<u128>,
    pages: BTreeMap<usize, Page>,
}

impl Index {
    /// An index in memory alone.
    pub(crate) fn of(ips: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut index = Self::default();
        index.refill(ips);
        index
    }

    /// An empty one for `file`, whose content is ignored.
    pub(crate) fn new(file: File) -> Self {
        Self {
            file: Some(file),
            ..Self::default()
        }
    }

    /// The index in `file`, which may be empty.
    pub(crate) fn load(file: File) -> io::Result<Self> {
        let mut start = vec![0; START];
        let got = file.read_at(&mut start, 0)?;
        start.truncate(got);
        let Some(head) = Head::decode(&start) else {
            return Ok(Self::new(file));
        };
        let mut table = start.split_off(Head::LEN.min(got));
        // The first read has the whole table except in the widest pools.
        let known = table.len();
        table.resize(head.blocks.min(MAX_BLOCKS) * 16, 0);
        if let Some(rest) = table.get_mut(known..) {
            file.read_exact_at(rest, START as u64)?;
        }
        let (blocks, _) = table.as_chunks::<16>();
        Ok(Self {
            file: Some(file),
            seal: Some(head.seal),
            legacy: head.legacy,
            blocks: blocks.iter().copied().map(u128::from_le_bytes).collect(),
            pages: BTreeMap::new(),
        })
    }

    /// Empties it, and marks `ips` as taken.
    pub(crate) fn refill(&mut self, ips: impl IntoIterator<Item = IpAddr>) {
        self.blocks.clear();
        self.pages.clear();
        self.legacy = 0;
        for ip in ips {
            // Every page is new, so nothing is read and nothing can fail.
            drop(self.set(ip, true));
        }
    }

    /// Subtracts `count` leases without an interface's name that are gone.
    pub(crate) fn forget_legacy(&mut self, count: u32) {
        self.legacy = self.legacy.saturating_sub(count);
    }

    /// Whether it was made from a directory in this state.
    pub(crate) fn is_sealed(&self, seal: Option<&Seal>) -> bool {
        seal.is_some() && self.seal.as_ref() == seal
    }

    /// Marks `ip` as taken or free.
    pub(crate) fn set(&mut self, ip: IpAddr, taken: bool) -> io::Result<()> {
        let ip = number(ip);
        let slot = match self
            .blocks
            .iter()
            .position(|block| *block == ip >> BLOCK_BITS)
        {
            Some(slot) => slot,
            None if !taken => return Ok(()),
            None => {
                self.blocks.push(ip >> BLOCK_BITS);
                let bits = vec![0; PAGE];
                let slot = self.blocks.len() - 1;
                self.pages.insert(
                    slot,
                    Page {
                        bits,
                        changed: true,
                    },
                );
                slot
            }
        };
        let (byte, bit) = place(ip);
        let page = self.page(slot)?;
        page.changed = true;
        if let Some(byte) = page.bits.get_mut(byte) {
            *byte = if taken { *byte | bit } else { *byte & !bit };
        }
        Ok(())
    }

    /// The first address of `span` that is free.
    pub(crate) fn first_free(&mut self, span: Span) -> io::Result<Option<IpAddr>> {
        let mut from = span.first;
        loop {
            let block = from >> BLOCK_BITS;
            let end = (from | ((1 << BLOCK_BITS) - 1)).min(span.last);
            let Some(slot) = self.blocks.iter().position(|known| *known == block) else {
                return Ok(Some(address(from)));
            };
            if let Some(found) = self.page(slot)?.first_free(from, end) {
                return Ok(Some(address(found)));
            }
            if end == span.last {
                return Ok(None);
            }
            from = end + 1;
        }
    }

    fn page(&mut self, slot: usize) -> io::Result<&mut Page> {
        if !self.pages.contains_key(&slot) {
            let mut bits = vec![0; PAGE];
            if let Some(file) = &self.file {
                file.read_exact_at(&mut bits, offset(slot))?;
            }
            let changed = false;
            self.pages.insert(slot, Page { bits, changed });
        }
        let absent = || io::Error::other("a page went missing");
        self.pages.get_mut(&slot).ok_or_else(absent)
    }

    /// Removes the seal from the file, before the leases or the files beside them change.
    pub(crate) fn unseal(&mut self) -> io::Result<()> {
        self.seal = None;
        match &self.file {
            Some(file) => file.write_all_at(&[0; Head::LEN], 0),
            None => Ok(()),
        }
    }

    /// Writes the changes, without the seal. False where the index has outgrown the file; it must then stay unsealed.
    pub(crate) fn save(&mut self) -> io::Result<bool> {
        let Some(file) = self
            .file
            .as_ref()
            .filter(|_| self.blocks.len() <= MAX_BLOCKS)
        else {
            return Ok(false);
        };
        let table: Vec<u8> = self
            .blocks
            .iter()
            .flat_map(|block| block.to_le_bytes())
            .collect();
        file.write_all_at(&table, Head::LEN as u64)?;
        for (slot, page) in &mut self.pages {
            if page.changed {
                file.write_all_at(&page.bits, offset(*slot))?;
                page.changed = false;
            }
        }
        Ok(true)
    }

    /// Seals the saved index.
    pub(crate) fn seal(&mut self, seal: Seal) -> io::Result<()> {
        let head = Head {
            seal: seal.clone(),
            legacy: self.legacy,
            blocks: self.blocks.len(),
        };
        self.seal = Some(seal);
        match &self.file {
            Some(file) => file.write_all_at(&head.encode(), 0),
            None => Ok(()),
        }
    }
}

impl Page {
    fn first_free(&self, from: u128, end: u128) -> Option<u128> {
        let mut at = from;
        while at <= end {
            let (byte, bit) = place(at);
            match self.bits.get(byte)? {
                0xff => at = (at | 7) + 1,
                bits if bits & bit == 0 => return Some(at),
                _ => at += 1,
            }
        }
        None
    }
}

/// Byte and bit of an address in its page.
fn place(ip: u128) -> (usize, u8) {
    let byte = usize::from(u16::try_from(ip & 0xffff).unwrap_or(0) >> 3);
    (byte, 1 << (ip & 7))
}

fn offset(slot: usize) -> u64 {
    PAGES + (slot * PAGE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_owner::boot::BootId;
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    /// A file of one test, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let name = format!("linkspan-index-{}-{test}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn open(&self) -> File {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&self.0).unwrap()
        }

        fn seal(seconds: i64) -> Seal {
            Seal {
                boot: BootId([7; 16]),
                dir: [1, 2],
                modified: (seconds, 1),
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn span(first: &str, last: &str) -> Span {
        Span::new(ip(first), ip(last))
    }

    #[test]
    fn what_is_sealed_is_found_again_and_nothing_else() {
        let scratch = Scratch::new("seal");
        let taken = ["10.1.0.0", "10.1.0.1", "10.2.0.0", "fd00::1"].map(ip);
        let mut index = Index::new(scratch.open());
        index.refill(taken);
        index.legacy = 3;
        assert!(index.save().unwrap());
        assert!(
            !Index::load(scratch.open())
                .unwrap()
                .is_sealed(Some(&Scratch::seal(1)))
        );
        index.seal(Scratch::seal(1)).unwrap();

        let mut again = Index::load(scratch.open()).unwrap();
        assert!(again.is_sealed(Some(&Scratch::seal(1))));
        assert!(!again.is_sealed(Some(&Scratch::seal(2))));
        assert!(!again.is_sealed(None));
        assert_eq!(again.legacy, 3);
        let mut free = |first, last| again.first_free(span(first, last)).unwrap();
        assert_eq!(free("10.1.0.0", "10.1.0.1"), None);
        assert_eq!(free("10.1.0.0", "10.1.0.9"), Some(ip("10.1.0.2")));
        assert_eq!(free("fd00::1", "fd00::f"), Some(ip("fd00::2")));
        assert_eq!(free("fd00:9::", "fd00:9::f"), Some(ip("fd00:9::")));

        again.unseal().unwrap();
        assert!(
            !Index::load(scratch.open())
                .unwrap()
                .is_sealed(Some(&Scratch::seal(1)))
        );
    }

    #[test]
    fn full_blocks_are_left_for_the_next_one() {
        let block = |high: u128| (0..1_u128 << BLOCK_BITS).map(move |low| address(high | low));
        let mut index = Index::of(block(number(ip("fd00::"))));
        let wide = span("fd00::5", "fd00::ffff:ffff");
        assert_eq!(index.first_free(wide).unwrap(), Some(ip("fd00::1:0")));
        let narrow = span("fd00::5", "fd00::ffff");
        assert_eq!(index.first_free(narrow).unwrap(), None);
        index.set(ip("fd00::fff3"), false).unwrap();
        assert_eq!(index.first_free(narrow).unwrap(), Some(ip("fd00::fff3")));
    }

    #[test]
    fn more_blocks_than_the_first_read_has_are_kept_and_too_many_are_not_stored() {
        let scratch = Scratch::new("blocks");
        let mut index = Index::new(scratch.open());
        let scattered = |count: u128| (0..count).map(|block| address(block << 64 | 1));
        index.refill(scattered(300));
        assert!(index.save().unwrap());
        index.seal(Scratch::seal(1)).unwrap();
        let mut again = Index::load(scratch.open()).unwrap();
        let last = address(299 << 64 | 1);
        let found = again.first_free(Span::new(last, address(299 << 64 | 9)));
        assert_eq!(found.unwrap(), Some(address(299 << 64 | 2)));
        index.refill(scattered(MAX_BLOCKS as u128 + 1));
        assert!(!index.save().unwrap());
    }

    #[test]
    fn garbage_is_no_index_and_a_page_cut_off_is_an_error() {
        let scratch = Scratch::new("garbage");
        std::fs::write(&scratch.0, "linkspn").unwrap();
        assert!(Index::load(scratch.open()).unwrap().seal.is_none());
        let mut index = Index::new(scratch.open());
        index.refill([ip("10.1.0.1")]);
        index.save().unwrap();
        index.seal(Scratch::seal(1)).unwrap();
        scratch.open().set_len(PAGES + 7).unwrap();
        let mut again = Index::load(scratch.open()).unwrap();
        assert!(again.first_free(span("10.1.0.1", "10.1.0.9")).is_err());
    }
}
