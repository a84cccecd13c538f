//! Detection of another station with an address that a link is about to get (`conflictCheck`).

use std::net::IpAddr;
use std::time::Duration;

use linkspan_netlink::holders::holders;
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};

use crate::{Side, kernel};

/// Time to wait for answers of both families. Answers from one wire come at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where ADD looks for other stations with its addresses.
#[derive(Debug, Clone, Copy)]
pub enum Conflicts<'a> {
    /// ADD does not look.
    Ignored,
    /// On the parent itself, which does not hear its children, and among the stations that the link reaches.
    OverLink(&'a Link),
    /// The same, but among the stations that the parent reaches. Answers to a link that shares the parent's hardware
    /// address and has no address yet go to the parent.
    OverParent(&'a Side, &'a Link),
}

/// The key `conflictCheck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictCheck {
    /// ADD does not look.
    Off,
    /// ADD looks.
    On,
}

impl ConflictCheck {
    /// Parses the key.
    #[must_use]
    pub const fn of(key: bool) -> Self {
        if key { Self::On } else { Self::Off }
    }

    /// If on, looks over a link that is made on `parent`.
    #[must_use]
    pub fn over_link(self, parent: &Link) -> Conflicts<'_> {
        match self {
            Self::Off => Conflicts::Ignored,
            Self::On => Conflicts::OverLink(parent),
        }
    }

    /// If on, looks over the parent, which is in `side`.
    #[must_use]
    pub fn over_parent<'a>(self, side: &'a Side, parent: &'a Link) -> Conflicts<'a> {
        match self {
            Self::Off => Conflicts::Ignored,
            Self::On => Conflicts::OverParent(side, parent),
        }
    }
}

/// Refuses addresses that `parent` has, or that a station behind `link` of `side` answers for. `link` is up.
pub(crate) fn refuse_taken(side: &Side, link: &Link, parent: &Link, ips: &[IpAddr]) -> Result<()> {
    let own = parent.addrs(None).map_err(kernel)?;
    if let Some(addr) = own.iter().find(|addr| ips.contains(&addr.ip)) {
        return Err(taken(addr.ip, parent.mac, &parent.name));
    }
    let asked = side.within(|| holders(&link.name, link.mac, ips, PATIENCE))?;
    let found = asked.map_err(|err| {
        let text = format!("ask on {:?} who has the addresses: {err}", link.name);
        Failure::new(ErrorCode::INTERNAL, text)
    })?;
    match found.first() {
        Some((ip, mac)) => Err(taken(*ip, *mac, &parent.name)),
        None => Ok(()),
    }
}

fn taken(ip: IpAddr, mac: [u8; 6], parent: &str) -> Failure {
    let text = format!("address {ip} is taken: {} has it on {parent}", MacAddr(mac));
    Failure::new(ErrorCode::TRY_AGAIN_LATER, text)
        .hint("remove it there, or exclude it from the addresses that IPAM gives")
}
