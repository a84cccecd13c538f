//! The daemon: one thread for all waiting, and a few threads that visit namespaces.

mod acquire;
mod activation;
mod connection;
mod flags;
mod keep;
mod leases;
mod listen;

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use linkspan_protocol::result::AddResult;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::Instant;

use flags::Flags;
use leases::Leases;

use crate::clock::wait;
use crate::complain::complain;
use crate::rpc::{ALLOCATE, Args, COLLECT, LOOK, NO_METHOD, RELEASE};
use crate::store::Store;
use crate::trouble::Trouble;

/// Maximum number of threads that visit namespaces.
const VISITORS: usize = 4;

/// How long the daemon waits before it accepts again after a shortage of descriptors.
const SHORTAGE: Duration = Duration::from_millis(50);

/// The daemon's state.
#[derive(Debug)]
pub(crate) struct Daemon {
    flags: Flags,
    store: Store,
    leases: Leases,
}

/// Runs `dhcp daemon` with these flags until a signal ends it, and returns its exit status.
pub fn main(args: &[String]) -> u8 {
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(told) => {
            complain(&told);
            complain(flags::USAGE.trim_end());
            return 2;
        }
    };
    match run(flags) {
        Ok(()) => 0,
        Err(err) => {
            complain(&err.to_string());
            1
        }
    }
}

fn run(flags: Flags) -> io::Result<()> {
    let pid_file = flags.pid_file.as_deref().map(PidFile::write).transpose()?;
    let socket = PathBuf::from(format!("{}{}", flags.host_prefix, flags.socket));
    let store = Store::beside(&socket);
    let getting =
        |err: io::Error| io::Error::new(err.kind(), format!("Error getting listener: {err}"));
    let lock = store.claim().map_err(getting)?;
    let (listener, is_ours) = listen::listener(&socket).map_err(getting)?;
    more_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(VISITORS)
        .build()?;
    let daemon = Rc::new(Daemon {
        flags,
        store,
        leases: Leases::default(),
    });
    let ended = LocalSet::new().block_on(&runtime, until_asked(daemon.work(listener)));
    if is_ours {
        fs::remove_file(&socket).or_else(unless_missing)?;
    }
    drop((lock, pid_file));
    ended
}

/// Runs `work` until a signal. Leases are not released, since the next daemon takes over.
async fn until_asked(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let (interrupted, terminated) = (pin!(interrupt.recv()), pin!(terminate.recv()));
    let asked = select(interrupted, terminated);
    match select(pin!(work), asked).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => Ok(()),
    }
}

impl Daemon {
    async fn work(self: &Rc<Self>, listener: std::os::unix::net::UnixListener) -> io::Result<()> {
        let listener = UnixListener::from_std(listener)?;
        self.restore()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let daemon = Rc::clone(self);
                    tokio::task::spawn_local(async move {
                        let served = connection::serve(daemon, stream).await;
                        if let Err(err) = served.or_else(unless_gone) {
                            complain(&format!("a client's call: {err}"));
                        }
                    });
                }
                // The caller waits in the socket's queue until a descriptor is free.
                Err(err) if is_shortage(&err) => wait(Instant::now() + SHORTAGE).await,
                Err(err) => return Err(err),
            }
        }
    }

    /// Serves one call.
    async fn call(
        self: &Rc<Self>,
        method: &str,
        args: &Args,
    ) -> Result<Option<AddResult>, Trouble> {
        match method {
            ALLOCATE => self.allocate(args).await.map(Some),
            LOOK => self.look(args).await.map(Some),
            RELEASE => self.release(args).await.map(|()| None),
            COLLECT => self.collect(args).await.map(|()| None),
            _ => Err(Trouble::Call(format!("{NO_METHOD}method {method}"))),
        }
    }
}

struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> io::Result<Self> {
        let fail = |told: String| {
            let path = path.display();
            io::Error::other(format!("Error writing pidfile \"{path}\": {told}"))
        };
        if !path.is_absolute() {
            return Err(fail("path not absolute".to_owned()));
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|err| fail(err.to_string()))?;
        }
        fs::write(path, std::process::id().to_string()).map_err(|err| fail(err.to_string()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

fn unless_missing(err: io::Error) -> io::Result<()> {
    match err.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(err),
    }
}

/// Returns whether accept(2) failed for lack of descriptors or memory, which becomes free when others end.
fn is_shortage(err: &io::Error) -> bool {
    let errno = err.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

/// A client may leave at any time.
fn unless_gone(err: io::Error) -> io::Result<()> {
    match err.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(err),
    }
}

/// Raises the limit of descriptors: each client and each exchange needs one. The default suits programs with select(2).
fn more_descriptors() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(errno) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        complain(&format!("allow more descriptors: {}", errno.desc()));
    }
}
