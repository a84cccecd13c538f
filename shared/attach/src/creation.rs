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

use crate::{Side, kernel};

/// Refuses an interface of that name that is there already. To be asked before IPAM is: an address that it gives to the
/// attachment once more is not to be taken from the living by the undo of this ADD.
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

/// The hardware address that the first of these keys with a value asks for. The value may come from a pod's annotations, so
/// the error names the key alone. Code 7 where no station could have it.
pub fn mac(keys: &[(&str, &str)]) -> Result<Option<MacAddr>> {
    let Some((key, text)) = keys.iter().find(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let mac = MacAddr::parse(text).ok();
    let mac = mac.filter(|mac| !mac.is_multicast() && mac.0 != [0; 6]);
    mac.map(Some).ok_or_else(|| {
        Failure::config(format!("{key}: not a unicast MAC address"))
            .hint("write it as 02:00:00:00:00:01, with an even first byte")
    })
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
