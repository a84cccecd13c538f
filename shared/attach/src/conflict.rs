//! Detection of another station with an address that a link is about to get (`conflictCheck`).

use std::net::IpAddr;
use std::time::Duration;

use linkspan_netlink::holders::holders;
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;
use nix::errno::Errno;

use crate::wishes::Wishes;
use crate::{Side, addressing, creation, kernel};

/// Time to wait for answers of both families. Answers from one wire come at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a device may take to agree with the other end of its wire.
const CARRIER_DEADLINE: Duration = Duration::from_secs(5);

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

    /// Where it is on, over a device of `sandbox` that has no address yet and is set up for that. Refuses the addresses of
    /// the result that a station behind it has. Returns whether it is up, so that [`announce`] has to tell its addresses.
    pub fn over_device(self, sandbox: &Side, link: &Link, result: &AddResult) -> Result<bool> {
        let ips = ips_of(result);
        if self == Self::Off || ips.is_empty() {
            return Ok(false);
        }
        if link.mac == [0; 6] {
            let text = format!(
                "conflictCheck is not possible on {:?}: its questions need frames",
                link.name
            );
            return Err(Failure::config(text).hint("leave out \"conflictCheck\""));
        }
        addressing::ready(sandbox, link, result, true, &Wishes::default())?;
        creation::set_up(link)?;
        wait_for_carrier(sandbox, link)?;
        refuse_taken(sandbox, link, link, &ips)?;
        Ok(true)
    }
}

/// The addresses of a result.
pub(crate) fn ips_of(result: &AddResult) -> Vec<IpAddr> {
    result.ips.iter().map(|ip| ip.address.ip()).collect()
}

/// Has the kernel announce the addresses of a link that was up before it had them. Otherwise it does so as the link comes
/// up. It does both by the sysctls `arp_notify` and `ndisc_notify`. An ipvlan has the hardware address of its parent, so
/// the neighbours of its siblings know it. A driver that sets no address while its device is up has none announced.
pub fn announce(link: &Link) -> Result<()> {
    match link.set_mac(link.mac) {
        Err(err) if err.is(Errno::EOPNOTSUPP) || err.is(Errno::EBUSY) => Ok(()),
        announced => announced.map_err(kernel),
    }
}

/// Nobody hears a question without a carrier. A device whose driver does not tell its state counts as ready.
fn wait_for_carrier(side: &Side, link: &Link) -> Result<()> {
    let is_ready = || {
        let now = side.rtnl.link_by_index(link.index)?;
        Ok(now.filter(|now| now.oper_up || now.oper_state == "unknown"))
    };
    if is_ready().map_err(kernel)?.is_some() {
        return Ok(());
    }
    let ready = side.watch()?.until(CARRIER_DEADLINE, is_ready);
    if ready.map_err(kernel)?.is_some() {
        return Ok(());
    }
    let text = format!(
        "conflictCheck: {:?} has no carrier after {} s, so nobody can be asked",
        link.name,
        CARRIER_DEADLINE.as_secs()
    );
    Err(Failure::new(ErrorCode::TRY_AGAIN_LATER, text)
        .hint("see to its cable, or to the port of its switch"))
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
