//! Capabilities of this process (capabilities(7)).

use std::fmt;
use std::fs;

use linkspan_protocol::error::{ErrorCode, Failure};

/// A capability that plugins need, with its number in linux/capability.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Links, addresses, routes, rules and the sysctls of the network.
    NetAdmin = 12,
    /// Entering a namespace.
    SysAdmin = 21,
    /// Looking at the namespaces of other users' processes.
    SysPtrace = 19,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
        })
    }
}

/// The effective capabilities of a process, within its user namespace.
#[derive(Debug, Clone, Copy)]
pub struct Effective(u64);

impl Effective {
    /// The capabilities of this process; `None` where procfs does not list them.
    pub fn own() -> Option<Self> {
        let status = fs::read_to_string("/proc/thread-self/status").ok()?;
        let mut lines = status.lines();
        let bits = lines.find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(bits.trim(), 16).ok().map(Self)
    }

    /// Returns whether the set contains `capability`.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }
}

/// For STATUS: fails where this process lacks a capability that ADD needs.
pub fn require(needed: &[Capability]) -> Result<(), Failure> {
    let Some(own) = Effective::own() else {
        return Ok(());
    };
    match needed.iter().find(|capability| !own.has(**capability)) {
        None => Ok(()),
        Some(missing) => Err(Failure::new(
            ErrorCode::NOT_AVAILABLE,
            format!("this process lacks {missing}"),
        )
        .hint(
            "have the runtime execute plugins as root, with that capability in its bounding set",
        )),
    }
}
