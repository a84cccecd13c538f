//! What the creation of a link of any kind shares: whether its name is free, the MTU that is asked for, refusals, how a
//! result tells it, and random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::Interface;
use nix::errno::Errno;

use crate::{Sides, kernel};

/// Refuses an interface of that name that is there already. To be asked before IPAM is: an address that it gives to the
/// attachment once more is not to be taken from the living by the undo of this ADD.
pub fn is_free(sides: &Sides, ifname: &IfName) -> Result<()> {
    if sides.sandbox.find(ifname.as_str())?.is_none() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!(
            "container interface {:?} already exists in {}",
            ifname.as_str(),
            sides.sandbox
        ),
    )
    .hint("detach it with DEL first, or choose another CNI_IFNAME"))
}

/// A link as a result tells it; `sandbox` is empty for the host.
pub fn interface(link: &Link, sandbox: &str) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: MacAddr(link.mac).to_string(),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    }
}

/// The `mtu` key in bytes; 0 and less leave the kernel's default. Code 7 where no link could have it.
pub fn mtu(key: i64) -> Result<Option<u32>> {
    let mtu = u32::try_from(key.max(0))
        .map_err(|_range| Failure::config(format!("mtu {key} is more than a link can have")))?;
    Ok((mtu > 0).then_some(mtu))
}

/// The kernel's refusal to create a link, which names the MTU where that may be the reason.
pub(crate) fn uncreated(err: Error, mtu: Option<u32>) -> Failure {
    match mtu {
        Some(mtu) if err.is(Errno::EINVAL) || err.is(Errno::ERANGE) => kernel(err)
            .context(format!("mtu {mtu}"))
            .hint("set \"mtu\" to what the link can have: 68 to 65535, and with IPv6 1280 or more"),
        _ => kernel(err),
    }
}

/// Randomness that std seeds from the kernel.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
