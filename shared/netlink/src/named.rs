//! Named namespaces, in the form of `ip netns`: a bind mount at `/run/netns/NAME` (ip-netns(8)).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::Error;
use crate::netns::Netns;

/// The directory of the names.
pub const DIR: &str = "/run/netns";

/// The path for `name`.
pub fn path(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::new(
            "name netns",
            format_args!("{name:?}"),
            Errno::EINVAL as i32,
        ));
    }
    Ok(Path::new(DIR).join(name))
}

/// Creates an empty namespace that stays until [`delete`].
pub fn create(name: &str) -> Result<PathBuf, Error> {
    let path = path(name)?;
    let failed = || Error::io("create netns", name);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(DIR)
        .map_err(failed())?;
    share()?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&path)
        .map_err(failed())?;
    mount_new(&path).inspect_err(|_| {
        // Without a mount, the empty file would look like a namespace.
        drop(fs::remove_file(&path));
    })?;
    Ok(path)
}

fn mount_new(path: &Path) -> Result<(), Error> {
    let made = Netns::create()?;
    let fd = format!("/proc/self/fd/{}", made.as_fd().as_raw_fd());
    bind(Path::new(&fd), path, MsFlags::MS_BIND)
}

/// Makes mounts below the directory propagate to every mount namespace, as `ip netns` does.
fn share() -> Result<(), Error> {
    let dir = Path::new(DIR);
    let make_shared = MsFlags::MS_SHARED | MsFlags::MS_REC;
    match bind(Path::new("none"), dir, make_shared) {
        // The directory is not a mount point yet.
        Err(err) if err.is(Errno::EINVAL) => {
            bind(dir, dir, MsFlags::MS_BIND | MsFlags::MS_REC)?;
            bind(Path::new("none"), dir, make_shared)
        }
        shared => shared,
    }
}

fn bind(source: &Path, target: &Path, flags: MsFlags) -> Result<(), Error> {
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
        .map_err(|errno| Error::new("mount", target.display(), errno as i32))
}

/// Deletes the name. The namespace goes with its last user.
pub fn delete(name: &str) -> Result<(), Error> {
    let path = path(name)?;
    match umount2(&path, MntFlags::MNT_DETACH) {
        // Nothing is mounted: a killed creation left the file.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(Error::new("delete netns", name, errno as i32)),
    }
    fs::remove_file(&path).map_err(Error::io("delete netns", name))
}

/// The names, sorted.
pub fn list() -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(DIR) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", DIR))?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| Netns::open(&entry.path()).is_ok())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}
