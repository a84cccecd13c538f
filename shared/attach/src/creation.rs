//! What the creation of a link of any kind shares: the MTU that is asked for, refusals, and random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

use linkspan_netlink::error::Error;
use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use nix::errno::Errno;

use crate::kernel;

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
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
