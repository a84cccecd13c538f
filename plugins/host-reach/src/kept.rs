//! The memory of an attachment: the addresses that the host reaches, and the host's link that leads to them. It is written
//! before anything on the host is touched, and DEL and GC go by it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linkspan_owner::Owner;
use linkspan_owner::home::Home;
use linkspan_owner::memory::{Facts, Memory, attachments};
use linkspan_plugin::{Result, flock};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, NetworkName};
use nix::libc::O_NOFOLLOW;

const LINK: &str = "host-reach.link";
const ADDRESSES: &str = "host-reach.addresses";

/// Below `dataDir`. No network has such a name.
const LOCK: &str = ".lock";
/// How long an ADD or a DEL waits for the others.
const PATIENCE: Duration = Duration::from_secs(20);

/// The things that an ADD made, or was about to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The container.
    pub(crate) home: Option<Home>,
    /// The name of the host's link.
    pub(crate) link: String,
    /// The container's addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The memory of one attachment.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
    network: NetworkName,
    attachment: AttachmentId,
}

/// The host's part of one attachment is made or removed at a time. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the others of this directory.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let waited = opened(dir).and_then(|file| flock::lock(file, PATIENCE));
        match waited.map_err(|err| failed("lock the directory of memories", &err))? {
            Some(lock) => Ok(Self { _lock: lock }),
            None => Err(Failure::new(
                ErrorCode::TRY_AGAIN_LATER,
                format!("{}/{LOCK} is locked by another process", dir.display()),
            )
            .hint("try again, or see by lslocks which process has it")),
        }
    }
}

fn opened(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(O_NOFOLLOW).open(dir.join(LOCK))
}

impl Store {
    pub(crate) fn new(dir: &Path, network: &NetworkName, attachment: &AttachmentId) -> Self {
        Self {
            dir: dir.to_owned(),
            network: network.clone(),
            attachment: attachment.clone(),
        }
    }

    /// The directory of the memories.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The owner as a line.
    pub(crate) fn owner(&self) -> String {
        Owner::of(&self.network, &self.attachment).line()
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.dir, &self.network, &self.attachment)
    }

    /// The memory; empty where there is none that makes sense.
    pub(crate) fn read(&self) -> Result<Kept> {
        let facts = self.memory().try_read();
        let Facts { home, told } = facts.map_err(|err| failed("recall the addresses", &err))?;
        let fact = |key: &str| told.get(key).map_or("", String::as_str);
        let addresses = fact(ADDRESSES).split(' ').map(str::parse);
        Ok(Kept {
            home,
            link: fact(LINK).to_owned(),
            addresses: addresses.filter_map(std::result::Result::ok).collect(),
        })
    }

    pub(crate) fn write(&self, kept: &Kept) -> Result<()> {
        let addresses: Vec<String> = kept.addresses.iter().map(IpAddr::to_string).collect();
        let told = BTreeMap::from([
            (LINK.to_owned(), kept.link.clone()),
            (ADDRESSES.to_owned(), addresses.join(" ")),
        ]);
        let home = kept.home.clone();
        let written = self.memory().write(&Facts { home, told });
        written.map_err(|err| failed("remember the addresses", &err))
    }

    pub(crate) fn forget(&self) -> Result<()> {
        let forgotten = self.memory().forget();
        forgotten.map_err(|err| failed("forget the addresses", &err))
    }

    /// The other attachments that have a memory in this directory.
    pub(crate) fn others(&self) -> Result<Vec<Self>> {
        let mut all = remembered(&self.dir)?;
        let own = (&self.network, &self.attachment);
        all.retain(|other| (&other.network, &other.attachment) != own);
        Ok(all)
    }

    pub(crate) fn is_of(&self, network: &NetworkName) -> bool {
        self.network == *network
    }

    pub(crate) fn attachment(&self) -> &AttachmentId {
        &self.attachment
    }
}

/// The attachments that have a memory below `dir`.
pub(crate) fn remembered(dir: &Path) -> Result<Vec<Store>> {
    let found = attachments(dir).map_err(|err| failed("list the memories", &err))?;
    let stores = found
        .iter()
        .map(|(network, attachment)| Store::new(dir, network, attachment));
    Ok(stores.collect())
}

fn failed(attempt: &str, err: &io::Error) -> Failure {
    Failure::new(ErrorCode::IO, format!("{attempt}: {err}"))
        .hint("see that dataDir can be written and read")
}
