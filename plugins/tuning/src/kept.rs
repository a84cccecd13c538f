//! The facts that ADD keeps for CHECK, DEL and GC: a memory of ours, and beside it the Go plugin's backup.
//!
//! The memory is written first, and names its network, namespace and device. A backup without a memory is the Go
//! plugin's. Malformed parts of both count as absent.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use linkspan_netlink::link::Link;
use linkspan_owner::home::Home;
use linkspan_owner::memory::{Facts, Memory, attachments};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, NetworkName};

use crate::backup::Backup;
use linkspan_attach::device::Device;
use linkspan_attach::tuned::Tuned;

/// Below `dataDir`.
const OWN: &str = ".linkspan";

/// The files of one attachment.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Memory,
    backup: Backup,
}

/// The memory of an ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) home: Option<Home>,
    /// The index of the link in its namespace; `None` where no link was changed.
    pub(crate) index: Option<u32>,
    pub(crate) device: Device,
    /// The link's settings before the first ADD.
    pub(crate) before: Tuned,
    /// The settings that ADD made.
    pub(crate) set: Tuned,
    /// The contents of sysctl files after ADD, where they differ from the written text.
    pub(crate) said: BTreeMap<PathBuf, String>,
}

impl Store {
    pub(crate) fn new(dir: &Path, network: &NetworkName, attachment: &AttachmentId) -> Self {
        Self {
            memory: Memory::new(&dir.join(OWN), network, attachment),
            backup: Backup::new(dir, attachment),
        }
    }

    /// The memory of our ADD; empty where there is none.
    pub(crate) fn memory(&self) -> Kept {
        let Facts { home, told } = self.memory.read();
        let fact = |key: &str| told.get(key).map_or("", String::as_str);
        let said = told.iter().filter_map(|(key, value)| {
            let path = key.strip_prefix("tuning.said:")?;
            Some((path.into(), value.clone()))
        });
        Kept {
            home,
            index: fact("tuning.index").parse().ok(),
            device: Device::parse(fact("tuning.device")).unwrap_or_default(),
            before: Tuned::parse(fact("tuning.before")),
            set: Tuned::parse(fact("tuning.set")),
            said: said.collect(),
        }
    }

    /// The settings in the backup, of either suite.
    pub(crate) fn backup(&self) -> Result<Option<Tuned>> {
        self.backup
            .read()
            .map_err(|err| failed("read the backup", &err))
    }

    /// Remembers `kept`.
    pub(crate) fn write(&self, kept: &Kept) -> Result<()> {
        let mut told = BTreeMap::from([
            ("tuning.device".to_owned(), kept.device.text()),
            ("tuning.before".to_owned(), kept.before.text()),
            ("tuning.set".to_owned(), kept.set.text()),
        ]);
        told.extend(
            kept.index
                .map(|index| ("tuning.index".to_owned(), index.to_string())),
        );
        for (path, value) in &kept.said {
            told.insert(
                format!("tuning.said:{}", path.display()),
                value.replace('\n', " "),
            );
        }
        let home = kept.home.clone();
        let remembered = self.memory.write(&Facts { home, told });
        remembered.map_err(|err| failed("remember the settings", &err))?;
        if kept.before.is_empty() {
            return Ok(());
        }
        let written = self.backup.write(kept.before);
        written.map_err(|err| failed("write the backup", &err))
    }

    /// Removes everything; the memory last, because GC goes by it.
    pub(crate) fn forget(&self) -> Result<()> {
        let forgotten = self.backup.remove().and_then(|()| self.memory.forget());
        forgotten.map_err(|err| failed("forget the settings", &err))
    }
}

impl Kept {
    /// Whether it is about this link, in the namespace `home`.
    pub(crate) fn is_about(&self, link: &Link, home: Option<&Home>) -> bool {
        // A namespace that could not be examined matches any.
        let both = self.home.as_ref().zip(home);
        self.index == Some(link.index) && both.is_none_or(|(one, other)| one.is(other))
    }
}

/// The attachments of any network that our ADDs remember.
pub(crate) fn remembered(dir: &Path) -> Result<Vec<(NetworkName, AttachmentId)>> {
    let found = attachments(&dir.join(OWN));
    let found = found.map_err(|err| failed("list what is remembered", &err))?;
    Ok(found.into_iter().collect())
}

fn failed(attempt: &str, err: &io::Error) -> Failure {
    Failure::new(ErrorCode::IO, format!("{attempt} of the link: {err}"))
        .hint("make dataDir readable and writable")
}
