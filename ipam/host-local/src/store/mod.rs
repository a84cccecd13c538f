//! The leases on disk, in the files and under the lock of the Go plugin, so the two can be swapped.
//!
//! In the network's directory are the leases (see [`lease`]), `last_reserved_ip.<n>` with the address that range set
//! `n` gave last, and `lock`, held as long as a [`Store`] lives. These are the truth. Beside the directory, in
//! `.linkspan/<network>`, which the Go plugin does not read, are an [`index`] of the taken addresses and a [`record`]
//! of each attachment. They save reading all leases. Both are believed only while the directory is as we left it, and
//! are rebuilt otherwise. There is also a queue for a pool that has run dry, see [`look`].
//!
//! Order of writes. ADD: seal broken, record, lease, last address, index, seal. DEL: seal broken, lease, record, index,
//! seal. A process that is killed anywhere leaves whole leases, each with its record, and a broken seal that the next
//! process mends.
//!
//! Nothing is synced, because a sync would gain nothing. After a loss of power the surviving names have their records
//! (see there), a lease without content has no owner, the pod of a lost lease is lost, too, and the boot id makes
//! every index void. A sync would be the most expensive part of an ADD: 0.4 ms in the median and 4 ms in the 99th
//! percentile, for one file and its directory on a virtual disk. The benchmark measures it elsewhere.

mod change;
pub(crate) mod error;
mod head;
mod index;
pub(crate) mod judged;
pub(crate) mod last;
pub(crate) mod lease;
mod lock;
pub(crate) mod look;
mod record;
pub(crate) mod status;
mod survey;

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linkspan_owner::boot::BootId;
use linkspan_protocol::ident::AttachmentId;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use crate::span::Span;
use error::Error;
use head::Seal;
use index::Index;
use last::Last;
use lease::{Holder, Lease};
use record::{Record, Records};
use survey::Survey;

/// The index's name among the records, whose names all have a colon.
const INDEX: &str = "index";
/// The file of [`look`], whose name has no colon either.
const LOOKS: &str = "looks";
/// The flags for every file opened by its name in a store: they do not follow a link, and do not wait for a FIFO.
const PLAIN: i32 = OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits();

/// The leases of one attachment.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The leases that name container and interface.
    exact: Vec<IpAddr>,
    /// The leases of an older plugin, which name the container alone.
    legacy: Vec<IpAddr>,
    /// The record of the exact leases, as far as it agrees with them.
    record: Record,
    /// Whether the record contradicts the leases.
    contradicted: bool,
}

impl Held {
    pub(crate) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.exact.iter().chain(&self.legacy).copied()
    }
}

/// One network's leases, locked.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    handle: File,
    _lock: File,
    boot: Option<BootId>,
    records: Records,
    index: Index,
    /// Whether index and records agree with the leases.
    fresh: bool,
}

impl Store {
    /// Opens the store, and makes missing directories and files. Waits for the lock at most as long as `patience`.
    pub(crate) fn create(dir: &Path, patience: Duration) -> Result<Self, Error> {
        let handle = match open_directory(dir) {
            Err(err) if err.kind() == NotFound => {
                make_directory(dir, 0o755)?;
                open_directory(dir)
            }
            opened => opened,
        };
        let handle = handle.map_err(Error::on("open", dir))?;
        Self::locked(dir, handle, patience)
    }

    /// Opens the store if there is one.
    pub(crate) fn existing(dir: &Path, patience: Duration) -> Result<Option<Self>, Error> {
        match open_directory(dir) {
            Err(err) if err.kind() == NotFound => Ok(None),
            handle => {
                let handle = handle.map_err(Error::on("open", dir))?;
                Self::locked(dir, handle, patience).map(Some)
            }
        }
    }

    fn locked(dir: &Path, handle: File, patience: Duration) -> Result<Self, Error> {
        let path = dir.join("lock");
        let lock = match open_lock(&path, false) {
            Err(err) if err.kind() == NotFound => open_lock(&path, true),
            opened => opened,
        };
        let lock = lock::acquire(lock.map_err(Error::on("open", &path))?, &path, patience)?;
        let boot = BootId::current();
        let index = match open_beside(dir, &handle, INDEX, OFlag::O_RDWR) {
            Err(err) if is_link(&err) => return Err(Error::on("open", &beside(dir))(err)),
            index => index,
        };
        // An unreadable index counts as empty. `refresh` reports the error, where it is called.
        let index = index.and_then(Index::load).unwrap_or_default();
        let fresh = index.is_sealed(seal_of(&handle, boot).as_ref());
        Ok(Self {
            dir: dir.to_owned(),
            handle,
            _lock: lock,
            boot,
            records: Records::new(beside(dir)),
            index,
            fresh,
        })
    }

    /// Makes index and records agree with the leases.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        if self.fresh {
            return Ok(());
        }
        self.rebuild().map(drop)
    }

    /// Reads every lease, and rebuilds index and records.
    fn rebuild(&mut self) -> Result<Survey, Error> {
        make_directory(self.records.dir(), 0o700)?;
        let file = open_beside(
            &self.dir,
            &self.handle,
            INDEX,
            OFlag::O_RDWR | OFlag::O_CREAT,
        );
        let path = self.records.dir().join(INDEX);
        self.index = Index::new(file.map_err(Error::on("open", &path))?);
        self.begin()?;
        let mut survey = Survey::new(&self.dir, &self.records)?;
        // Without every record the store stays unsealed, and an attachment without one is looked for among all leases.
        let complete = survey.correct(&self.records, self.boot)?;
        self.index
            .refill(survey.leases.iter().map(|known| known.lease.ip));
        self.index.legacy = survey.legacy();
        self.fresh = complete;
        Ok(survey)
    }

    /// Call it before the first change. From here to [`Store::commit`] the index is void for every other process.
    fn begin(&mut self) -> Result<(), Error> {
        let path = beside(&self.dir).join(INDEX);
        self.index.unseal().map_err(Error::on("write", &path))
    }

    /// Ends a change. A failure here leaves the seal broken, and the next process rebuilds the index.
    pub(crate) fn commit(&mut self) {
        let sealed = self
            .index
            .is_sealed(seal_of(&self.handle, self.boot).as_ref());
        if self.fresh && !sealed {
            drop(self.seal());
        }
    }

    fn seal(&mut self) -> io::Result<()> {
        if !self.index.save()? {
            return Ok(());
        }
        // Two seconds differ from now even where the filesystem counts whole seconds.
        let past = SystemTime::now() - Duration::from_secs(2);
        self.handle.set_times(FileTimes::new().set_modified(past))?;
        let kept = self.handle.metadata()?.modified()? <= past;
        match seal_of(&self.handle, self.boot) {
            // A time later than ours: another process made or removed a file without the lock.
            Some(seal) if kept => self.index.seal(seal),
            _ => Ok(()),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lease of `ip`.
    pub(crate) fn lease(&self, ip: IpAddr) -> Result<Option<Lease>, Error> {
        Lease::read(&self.dir, ip)
    }

    /// The leases of `owner`. A lease that was edited in place does not change the directory, but contradicts its
    /// record. Then index and records are rebuilt.
    pub(crate) fn held(&mut self, owner: &AttachmentId) -> Result<Held, Error> {
        let held = self.look(owner)?;
        if !held.contradicted {
            return Ok(held);
        }
        self.rebuild()?;
        self.look(owner)
    }

    /// The leases of `owner`, without a change. Reads each of them; where the records are in doubt and have none, it
    /// reads all leases.
    pub(crate) fn look(&self, owner: &AttachmentId) -> Result<Held, Error> {
        let mut held = Held::default();
        for mut grant in self.records.read(owner)? {
            let mut ips = Vec::new();
            for ip in &grant.ips {
                let lease = Lease::read(&self.dir, *ip)?;
                let theirs =
                    |lease: &Lease| matches!(&lease.holder, Holder::Attachment(id) if id == owner);
                let as_given = |lease: &Lease| grant.covers(*ip, lease.stamp);
                held.contradicted |= !lease.as_ref().is_some_and(as_given);
                if lease.as_ref().is_some_and(theirs) {
                    ips.push(*ip);
                }
            }
            held.exact.extend(&ips);
            grant.ips = ips;
            held.record.push(grant);
        }
        held.record.retain(|grant| !grant.ips.is_empty());
        let in_doubt = (!self.fresh || held.contradicted) && held.exact.is_empty();
        if in_doubt || self.index.legacy > 0 {
            for ip in lease::names(&self.dir)? {
                match Lease::read(&self.dir, ip)?.map(|lease| lease.holder) {
                    Some(Holder::Container(id)) if id == owner.container_id => held.legacy.push(ip),
                    Some(Holder::Attachment(id)) if in_doubt && id == *owner => held.exact.push(ip),
                    _ => {}
                }
            }
        }
        Ok(held)
    }

    /// The first free address in the order of `spans`.
    pub(crate) fn first_free(&mut self, spans: &[Span]) -> Result<Option<IpAddr>, Error> {
        for span in spans {
            let found = match self.index.first_free(*span) {
                Ok(found) => found,
                // The index is cut short under a good head. A rebuilt one is whole and in memory.
                Err(_damaged) => {
                    self.rebuild()?;
                    let found = self.index.first_free(*span);
                    found.map_err(Error::on("read the index of", &self.dir))?
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// An index that cannot be written stays unsealed, so the next process rebuilds it.
    fn mark(&mut self, ip: IpAddr, taken: bool) {
        self.fresh &= self.index.set(ip, taken).is_ok();
    }

    /// The address that range set `range_set` gave last.
    pub(crate) fn last(&self, range_set: usize) -> Last {
        Last::read(&self.dir, range_set)
    }
}

/// The directory of our own files for the leases of `dir`. No network's name begins with a dot.
fn beside(dir: &Path) -> PathBuf {
    let network = dir.file_name().unwrap_or_default();
    dir.with_file_name(".linkspan").join(network)
}

/// Follows a symbolic link that the administrator made of `dataDir`. Below it no plugin makes a link, and following one
/// would let others redirect our writes.
fn open_directory(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(PLAIN | OFlag::O_DIRECTORY.bits());
    match options.open(dir) {
        Err(err)
            if err.kind() == NotADirectory
                && fs::symlink_metadata(dir).is_ok_and(|found| found.is_symlink()) =>
        {
            Err(Errno::ELOOP.into())
        }
        opened => opened,
    }
}

/// Opens it from the network's directory, because the path from there has no link in it.
fn open_beside(dir: &Path, handle: &File, name: &str, flags: OFlag) -> io::Result<File> {
    let network = dir.file_name().unwrap_or_default();
    let path = Path::new("../.linkspan").join(network).join(name);
    let mut how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    if flags.contains(OFlag::O_CREAT) {
        how = how.mode(Mode::S_IRUSR | Mode::S_IWUSR);
    }
    Ok(openat2(handle, &path, how)?.into())
}

/// Returns whether a symbolic link was refused.
fn is_link(err: &io::Error) -> bool {
    err.raw_os_error() == Some(Errno::ELOOP as i32)
}

fn seal_of(dir: &File, boot: Option<BootId>) -> Option<Seal> {
    Some(Seal::of(&dir.metadata().ok()?, boot?))
}

fn make_directory(dir: &Path, mode: u32) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(Error::on("create directory", dir))
}

/// Opens for reading as the Go plugin does; the standard library creates files only for writing.
fn open_lock(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(create).create(create).mode(0o750);
    options.custom_flags(PLAIN).open(path)
}
