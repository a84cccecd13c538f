//! Connections from 127.0.0.1 to a port that iptables publishes. Our own table needs none of this (see [`crate::rules`]).
//!
//! - A packet from 127.0.0.1 leaves the host only by an interface with `route_localnet`, as in the reference.
//! - `route_localnet` also lets every host on that interface reach services on 127.0.0.1 (the class of CVE-2020-8558).
//!   So packets that another interface than `lo` brings for 127.0.0.0/8 are dropped first.
//! - An answer to such a connection is exempt. On the wire its destination is the host's address; the translation that
//!   gives it 127.0.0.1 again is done at priority -100 (`nat`), and the drop stands at -150 (`mangle`), before it.
//! - The table is `mangle` and not `raw`, because kernels without `raw` are in use (moby/moby#49557).
//! - An interface that has the address itself is exempt: a VRF has its own 127.0.0.1, and some machines have links with
//!   addresses of 127.0.0.0/8.
//! - The rule is shared like the chains `CNI-HOSTPORT-*`, and like `route_localnet` itself: it stays, also after the last
//!   DEL. The Go suite does not see it, because that looks in the table `nat` alone.

use std::net::IpAddr;

use linkspan_attach::{Side, kernel, sysctl};
use linkspan_filter::go_suite::quoted;
use linkspan_filter::iptables::Iptables;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

const TABLE: &str = "mangle";

/// The rule is found by its comment.
const COMMENT: &str = "CNI portfwd: 127.0.0.0/8 from other interfaces";

/// Lets connections from 127.0.0.1 leave towards the container's address, and lets only their answers back in.
pub(crate) fn open_towards(ip: IpAddr) -> Result<()> {
    let host = Side::host()?;
    let lookup = host.rtnl.lookup(ip).map_err(kernel)?;
    let Some(index) = lookup.and_then(|lookup| lookup.oif) else {
        return Ok(());
    };
    let Some(link) = host.rtnl.link_by_index(index).map_err(kernel)? else {
        return Ok(());
    };
    ensure_shut()?;
    let key = sysctl::of_interface("ipv4", &link.name, "route_localnet");
    let opened = host.sysctl(|sysctls| sysctls.set(&key, "1"));
    opened.map_err(|failure| failure.context("unable to enable route_localnet"))
}

/// Makes the rule, before all others, where it is missing. Two processes at once may make it twice, which does no harm.
fn ensure_shut() -> Result<()> {
    let iptables = Iptables::of(Family::V4).on(TABLE);
    let shut = || -> Result<()> {
        let saved = iptables.saved()?;
        let mut rules = saved.told_of("PREROUTING");
        if rules.any(|(comment, target)| comment == COMMENT && target == "DROP") {
            return Ok(());
        }
        iptables.apply(&[rule()])
    };
    shut().map_err(|failure| {
        let hint = "the backend iptables needs the table mangle and the match addrtype of iptables; \
                    the backend nftables needs neither";
        failure
            .context("keep other interfaces away from 127.0.0.0/8")
            .hint(hint)
    })
}

fn rule() -> String {
    let outside = "-d 127.0.0.0/8 ! -i lo -m addrtype ! --dst-type LOCAL --limit-iface-in";
    let comment = quoted(COMMENT);
    format!("-I PREROUTING 1 {outside} -m comment --comment {comment} -j DROP")
}

/// Checks that the table can be read.
pub(crate) fn status() -> Result<()> {
    Iptables::of(Family::V4).on(TABLE).saved().map(drop)
}
