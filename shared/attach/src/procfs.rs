//! A procfs of this process' own, in which `/proc/sys/net` is the kernel's whatever is mounted over that of the host.
//!
//! In the host's, every namespace that has ever been looked at leaves a directory entry of the same name, and each look
//! walks past those of all the others: among 2,000 pods that was more than half of an ADD (`proc_sys_compare`). Here there are
//! only those of the two namespaces of this call, and they go with the process.
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

/// Its root, made when it is first asked for; `None` where the kernel (before 5.2), a filter of system calls, or a user
/// namespace that sees no whole procfs does not allow one.
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

/// The descriptor that one of these calls returned.
fn owned(returned: c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(Errno::result(returned)?).map_err(|_no_descriptor| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for this process, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
