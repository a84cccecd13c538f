//! Parts of the creation of links of every kind: check of the name, MTU, hardware address, refusals, the interface in a
//! result, and random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::Interface;
use nix::errno::Errno;

use crate::{Side, kernel};

/// Refuses a name that is taken in the sandbox. Must run before IPAM: IPAM may return the address of a living
/// attachment again, and the undo of this ADD would release that address.
pub fn is_free(sandbox: &Side, ifname: &IfName) -> Result<()> {
    if sandbox.find(ifname.as_str())?.is_none() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!(
            "container interface {:?} already exists in {sandbox}",
            ifname.as_str()
        ),
    )
    .hint("detach it with DEL first, or choose another CNI_IFNAME"))
}

/// The link as an interface of a result; `sandbox` is empty for the host.
pub fn interface(link: &Link, sandbox: &str) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: MacAddr(link.mac).to_string(),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    }
}

/// The `mtu` key in bytes; 0 and less leave the kernel's default. Returns code 7 for an impossible value.
pub fn mtu(key: i64) -> Result<Option<u32>> {
    let mtu = u32::try_from(key.max(0))
        .map_err(|_range| Failure::config(format!("mtu {key} is more than a link can have")))?;
    Ok((mtu > 0).then_some(mtu))
}

/// The kernel's refusal to create a link. Names the MTU where the MTU may be the reason.
pub(crate) fn uncreated(err: Error, mtu: Option<u32>) -> Failure {
    match mtu {
        Some(mtu) if err.is(Errno::EINVAL) || err.is(Errno::ERANGE) => kernel(err)
            .context(format!("mtu {mtu}"))
            .hint("set \"mtu\" to what the link can have: 68 to 65535, and with IPv6 1280 or more"),
        _ => kernel(err),
    }
}

/// Sets a link up, and explains the refusals that its parent causes.
pub fn set_up(link: &Link) -> Result<()> {
    link.set_up().map_err(|err| {
        let mac = MacAddr(link.mac);
        if err.is(Errno::EBUSY) || err.is(Errno::EADDRINUSE) {
            return kernel(err).detail(format!("its hardware address is {mac}")).hint(
                "give it another one: the link that it is born on, or another link on that one, has this",
            );
        }
        if err.is(Errno::ENETDOWN) {
            return kernel(err).hint("set its parent link up");
        }
        kernel(err)
    })
}

/// A random number, from std's hasher, which the kernel seeds.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
