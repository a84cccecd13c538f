//! The head of an index: whether it can be believed, in a fixed number of bytes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use linkspan_owner::boot::BootId;

const MAGIC: [u8; 8] = *b"linkspn1";

/// The state of a lease directory.
///
/// After each of our own changes the directory gets a time of modification of our choice, in the past. When any other
/// process makes, removes or renames a file in it, the kernel sets the current time, which breaks the seal. (A change
/// without the lock, in the moment in which we hold it, can go unnoticed; a dry pool and GC read everything anyway.)
/// The seal holds for one boot only: after a loss of power it is unknown which writes reached the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) boot: BootId,
    /// Device and inode.
    pub(crate) dir: [u64; 2],
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
}

impl Seal {
    pub(crate) fn of(dir: &Metadata, boot: BootId) -> Self {
        Self {
            boot,
            dir: [dir.dev(), dir.ino()],
            modified: (dir.mtime(), dir.mtime_nsec()),
        }
    }
}

/// The head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seal: Seal,
    /// How many leases name a container alone.
    pub(crate) legacy: u32,
    /// How many blocks of addresses follow.
    pub(crate) blocks: usize,
}

impl Head {
    /// In bytes.
    pub(crate) const LEN: usize = 80;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.seal.boot.0);
        bytes.extend(self.seal.dir.iter().flat_map(|part| part.to_le_bytes()));
        bytes.extend(self.seal.modified.0.to_le_bytes());
        bytes.extend(self.seal.modified.1.to_le_bytes());
        bytes.extend(self.legacy.to_le_bytes());
        bytes.extend(u32::try_from(self.blocks).unwrap_or(0).to_le_bytes());
        let mut head = [0; Self::LEN];
        for (to, from) in head.iter_mut().zip(bytes) {
            *to = from;
        }
        head
    }

    /// `None` where the bytes are not a head, or the seal is broken.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at| array(bytes, at).map(u64::from_le_bytes);
        let time = |at| array(bytes, at).map(i64::from_le_bytes);
        let count = |at| array(bytes, at).map(u32::from_le_bytes);
        (array(bytes, 0)? == MAGIC).then_some(())?;
        Some(Self {
            seal: Seal {
                boot: BootId(array(bytes, 8)?),
                dir: [word(24)?, word(32)?],
                modified: (time(40)?, time(48)?),
            },
            legacy: count(56)?,
            blocks: usize::try_from(count(60)?).ok()?,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head {
            seal: Seal {
                boot: BootId([9; 16]),
                dir: [u64::MAX, 2],
                modified: (-3, 999_999_999),
            },
            legacy: 4,
            blocks: 5,
        };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        assert_eq!(Head::decode(&bytes[..63]), None);
        assert_eq!(Head::decode(&[0; Head::LEN]), None);
    }
}
