//! A container's namespace, held by a descriptor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::id;
use std::sync::atomic::{AtomicI32, Ordering};

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use rustix::io::fcntl_dupfd_cloexec;

/// The lowest descriptor number in a path, and the count of numbers before the first is reused.
const LEAST: i32 = 512;
const TURN: i32 = 400;

/// A container's namespace.
#[derive(Debug)]
pub struct Sandbox {
    /// The namespace.
    pub netns: Netns,
    /// The descriptor in the path.
    shown: OwnedFd,
}

impl Sandbox {
    /// Holds a namespace.
    ///
    /// The number in its path is a high one. Other threads open files all the time and get the lowest free number, so
    /// a low number in a path would lead to their files once the sandbox is gone.
    pub fn new(netns: Netns) -> Self {
        static NEXT: AtomicI32 = AtomicI32::new(0);
        let least = LEAST + NEXT.fetch_add(1, Ordering::Relaxed).rem_euclid(TURN);
        let shown = fcntl_dupfd_cloexec(&netns, least).unwrap();
        Self { netns, shown }
    }

    /// A path that other processes can open as long as the sandbox lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", id(), self.shown.as_raw_fd())
    }

    /// A handle that acts on the sandbox.
    pub fn rtnl(&self) -> Rtnl {
        Rtnl::open(&self.netns).unwrap()
    }
}
