//! The record of an attachment beside its leases: its addresses, and the facts by which its life is judged.
//!
//! A record is a dangling symbolic link whose target is the text. Such a link is made whole in one call, and
//! filesystems with a journal write it in order with the names around it. So a lease whose name survives a loss of
//! power has its record, although nothing here waits for a disk.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use linkspan_owner::boot::BootId;
use linkspan_owner::file;
use linkspan_owner::home::Home;
use linkspan_protocol::ident::AttachmentId;

use super::error::Error;
use super::lease::Stamp;

/// XFS has the shortest links: 1,024 bytes.
const LINK_MAX: usize = 1000;
/// The longest file name on Linux.
const NAME_MAX: usize = 255;
/// The name of a new record before it replaces the old one; no attachment has this name.
const DRAFT: &str = ".draft";

/// The addresses that one ADD gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The boot of the ADD.
    pub(crate) boot: Option<BootId>,
    pub(crate) stamp: Stamp,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) home: Option<Home>,
}

impl Grant {
    /// Whether it names exactly this file.
    pub(crate) fn covers(&self, ip: IpAddr, stamp: Stamp) -> bool {
        self.stamp == stamp && self.ips.contains(&ip)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let boot = BootId::parse(words.next()?);
        let ino = words.next()?.parse().ok()?;
        let (seconds, nanos) = words.next()?.split_once('.')?;
        let stamp = Stamp {
            ino,
            written: (seconds.parse().ok()?, nanos.parse().ok()?),
        };
        let ips = words.next()?.split(',').map(str::parse);
        let ips = ips.collect::<Result<_, _>>().ok()?;
        let home = words.next().and_then(Home::parse);
        Some(Self {
            boot,
            stamp,
            ips,
            home,
        })
    }

    fn line(&self, with_home: bool) -> String {
        let boot = self
            .boot
            .map_or_else(|| "-".to_owned(), |boot| boot.to_string());
        let ips: Vec<_> = self.ips.iter().map(ToString::to_string).collect();
        let (seconds, nanos) = self.stamp.written;
        let mut line = format!(
            "{boot} {} {seconds}.{nanos} {}",
            self.stamp.ino,
            ips.join(",")
        );
        let home = self.home.as_ref().filter(|_| with_home);
        if let Some(home) = home.and_then(Home::text) {
            line.push(' ');
            line.push_str(&home);
        }
        line
    }
}

/// The grants of one attachment; almost always one.
pub(crate) type Record = Vec<Grant>;

/// The records of a network.
#[derive(Debug)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, owner: &AttachmentId) -> PathBuf {
        self.dir.join(name(owner))
    }

    /// The record of `owner`; empty where it is malformed.
    pub(crate) fn read(&self, owner: &AttachmentId) -> Result<Record, Error> {
        let path = self.path(owner);
        let text = match fs::read_link(&path) {
            // Another process put a file there that is not a link.
            Err(err) if matches!(err.kind(), NotFound | InvalidInput) => return Ok(Record::new()),
            text => text.map_err(Error::on("read", &path))?,
        };
        let lines = text.to_str().unwrap_or_default().lines();
        Ok(lines.filter_map(Grant::parse).collect())
    }

    /// Writes the record of `owner`; removes an empty one. False where it has more addresses than fit, and is not kept.
    pub(crate) fn write(&self, owner: &AttachmentId, record: &Record) -> Result<bool, Error> {
        let path = self.path(owner);
        if record.is_empty() {
            return remove(&path).map(|()| true);
        }
        let text = |with_home| {
            let lines: Vec<_> = record.iter().map(|grant| grant.line(with_home)).collect();
            lines.join("\n")
        };
        let mut target = text(true);
        if target.len() > LINK_MAX {
            target = text(false);
        }
        if target.len() > LINK_MAX {
            return remove(&path).map(|()| false);
        }
        let broken = |err| Error::on("write", &path)(err);
        match symlink(&target, &path) {
            Err(err) if err.kind() == AlreadyExists => {}
            made => return made.map(|()| true).map_err(broken),
        }
        let draft = self.dir.join(DRAFT);
        remove(&draft)?;
        symlink(&target, &draft)
            .and_then(|()| fs::rename(&draft, &path))
            .map(|()| true)
            .map_err(broken)
    }

    /// Removes the record of each attachment that is not among `owners`. A name without a colon is not a record's.
    pub(crate) fn retain(&self, owners: &[&AttachmentId]) -> Result<(), Error> {
        let keep: HashSet<String> = owners.iter().copied().map(name).collect();
        let broken = |err| Error::on("read directory", &self.dir)(err);
        for entry in fs::read_dir(&self.dir).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let name = entry.file_name();
            let kept = name
                .to_str()
                .is_some_and(|name| !name.contains(':') || keep.contains(name));
            if !kept {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    file::remove(path).map_err(Error::on("remove", path))
}

/// The name of the owner's record, which no other has, because no id has a colon. A name that is too long is cut and
/// ends with its hash. Each reader of a record compares the leases anyway.
fn name(owner: &AttachmentId) -> String {
    let name = format!("{}:{}", owner.container_id, owner.ifname);
    if name.len() <= NAME_MAX {
        return name;
    }
    // FNV-1a, which stays the same from one release to the next.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Ids are ASCII, and an interface's name is at most fifteen bytes.
    let start: String = owner.container_id.as_str().chars().take(200).collect();
    format!("{start}:{hash:016x}:{}", owner.ifname)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{ContainerId, IfName};

    fn owner(id: &str) -> AttachmentId {
        AttachmentId {
            container_id: ContainerId::parse(id).unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        }
    }

    fn grant(home: Option<&str>) -> Grant {
        Grant {
            boot: BootId::parse("3eefd955-abe9-46a5-890d-5a39e34acfaa"),
            stamp: Stamp {
                ino: 12,
                written: (1_795_574_534, 5),
            },
            ips: vec![[10, 1, 0, 4].into(), "fd00::4".parse().unwrap()],
            home: home.map(|text| Home::parse(text).unwrap()),
        }
    }

    #[test]
    fn a_grant_is_read_as_it_was_written() {
        for home in [None, Some("1 2 3 /run/netns/a b")] {
            let line = grant(home).line(true);
            assert_eq!(Grant::parse(&line), Some(grant(home)), "{line}");
        }
        let nowhere = grant(Some("1 2 3 /run/a\nb")).line(true);
        assert_eq!(Grant::parse(&nowhere), Some(grant(None)));
        for nonsense in ["", "x", "- 1 2 10.0.0.1", "- 1 2.3 ten"] {
            assert_eq!(Grant::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn records_are_replaced_shortened_and_forgotten() {
        let dir = std::env::temp_dir().join(format!("linkspan-record-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let records = Records::new(dir.clone());
        let long = owner(&"x".repeat(400));
        let path = format!("1 2 3 /run/{}", "p".repeat(LINK_MAX));
        for id in [owner("a"), long.clone()] {
            assert_eq!(records.read(&id).unwrap(), []);
            records.write(&id, &vec![grant(None)]).unwrap();
            records
                .write(&id, &vec![grant(None), grant(Some(&path))])
                .unwrap();
            assert_eq!(records.read(&id).unwrap(), [grant(None), grant(None)]);
        }
        let many = Grant {
            ips: (0..200).map(|n| [10, 0, 0, n].into()).collect(),
            ..grant(None)
        };
        assert!(!records.write(&owner("many"), &vec![many]).unwrap());
        fs::write(dir.join("index"), "").unwrap();
        records.retain(&[&long]).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        assert_eq!(records.read(&long).unwrap().len(), 2);
        records.write(&long, &Record::new()).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
