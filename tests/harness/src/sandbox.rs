//! A container's namespace, held by a descriptor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::id;
use std::sync::atomic::{AtomicI32, Ordering};

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::{Context, Rtnl};
use rustix::io::fcntl_dupfd_cloexec;

/// The least number of a descriptor that a path tells, and how many follow before the first is taken again.
const LEAST: i32 = 512;
const TURN: i32 = 400;

/// A container's namespace.
#[derive(Debug)]
pub struct Sandbox {
    /// The namespace.
    pub netns: Netns,
    /// The descriptor that the path tells.
    shown: OwnedFd,
}

impl Sandbox {
    /// Holds a namespace.
    ///
    /// The number in its path is a high one. Other threads open files all the time and get the lowest free number, so
    /// a path of low numbers would lead to their things as soon as the sandbox is gone.
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
        Rtnl::open(&Context::new().unwrap(), &self.netns).unwrap()
    }
}
