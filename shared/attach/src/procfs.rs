//! A procfs mount of this process. Its `/proc/sys/net` is the kernel's, whatever is mounted over the host's.
//!
//! In the host's procfs, every namespace leaves a directory entry of the same name once visited, and each lookup walks
//! past all of them: more than half of an ADD among 2,000 pods (`proc_sys_compare`). This mount has only the entries of
//! the call's two namespaces, and the entries go with the process.
#![expect(unsafe_code, reason = "nix has no wrapper for these system calls")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc::{self, c_long};

/// `FSOPEN_CLOEXEC` and `FSMOUNT_CLOEXEC` of `linux/mount.h`.
const CLOEXEC: u32 = 1;
/// `FSCONFIG_CMD_CREATE`
const CREATE: u32 = 6;
/// `MOUNT_ATTR_NOSUID`, `MOUNT_ATTR_NODEV` and `MOUNT_ATTR_NOEXEC`, as procfs has them everywhere.
const ATTRIBUTES: u32 = 2 | 4 | 8;

/// The root of the mount, which the first call creates. `None` where the kernel (before 5.2), a seccomp filter, or a
/// user namespace without a whole procfs forbids the mount.
pub(crate) fn own() -> Option<&'static OwnedFd> {
    static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();
    OWN.get_or_init(|| make().ok()).as_ref()
}

fn make() -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a string that ends with a NUL and lives for ever.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), CLOEXEC) })?;
    let (key, value) = (ptr::null::<u8>(), ptr::null::<u8>());
    // SAFETY: this command takes neither key nor value, and both are null.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            CREATE,
            key,
            value,
            0,
        )
    })?;
    // SAFETY: there are no pointers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, ATTRIBUTES) })
}

/// The descriptor that a system call returned.
fn owned(returned: c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(Errno::result(returned)?).map_err(|_no_descriptor| Errno::EBADF)?;
    // SAFETY: the kernel has just created the descriptor for this process, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
