//! The namespaces that processes are in, as procfs shows them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::capability::{Capability, Effective};

/// The first process of a procfs. Some hosts hide its namespaces from root. No container's namespace depends on it.
const FIRST: &[u8] = b"1";

/// The namespaces of a kind (`net`, `mnt`): inodes, each with the procfs directory of a process inside. Fails where a
/// process hides its namespace.
pub(crate) fn namespaces(kind: &str) -> io::Result<BTreeMap<u64, PathBuf>> {
    let confined = is_confined();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let may_hide = confined || name.as_bytes() == FIRST;
        match fs::metadata(entry.path().join("ns").join(kind)) {
            Ok(meta) => drop(found.insert(meta.ino(), entry.path())),
            // The process has ended meanwhile.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) if err.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied && may_hide => {}
            Err(err) => return Err(err),
        }
    }
    Ok(found)
}

/// Returns whether we are in a user namespace of our own, and may examine every process in it and below. A process that
/// hides is then outside, and cannot be in a namespace that was created inside.
fn is_confined() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let whole = [0, 0, u32::MAX].map(|number| number.to_string());
    let outermost = read("/proc/self/uid_map")
        .split_whitespace()
        .eq(whole.iter());
    !outermost && Effective::own().is_some_and(|own| own.has(Capability::SysPtrace))
}
