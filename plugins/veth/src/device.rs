//! The kind of the pair (`device`): veth, or netkit where the kernel has it.

use linkspan_attach::verify::mended_by;
use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::{Kind, Link, Netkit};
use linkspan_plugin::Result;
use linkspan_plugin::check::same;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::Words;

/// The wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    Veth,
    /// A veth pair where the kernel has no netkit.
    Netkit,
}

impl Words for Device {
    const WORDS: &'static [&'static str] = &["veth", "netkit"];
}

/// The kind that this kernel gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) kind: Kind,
    /// Whether another kind was wanted.
    pub(crate) is_substitute: bool,
}

impl Device {
    pub(crate) fn parse(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("veth") => Ok(Self::Veth),
            Some("netkit") => Ok(Self::Netkit),
            Some(other) => Err(Failure::config(format!("unknown device {other:?}"))
                .hint("set \"device\" to \"veth\" or \"netkit\"")),
        }
    }

    /// Asks the kernel only for netkit.
    pub(crate) fn given(self, host: &Side) -> Result<Given> {
        const NETKIT: Kind = Kind::Netkit(Netkit::OPEN);
        let is_substitute = self == Self::Netkit && !host.rtnl.knows(&NETKIT).map_err(kernel)?;
        let is_netkit = self == Self::Netkit && !is_substitute;
        Ok(Given {
            kind: if is_netkit { NETKIT } else { Kind::Veth },
            is_substitute,
        })
    }
}

impl Given {
    /// The warning, with the change that removes the cause.
    pub(crate) fn warning(&self) -> Option<(String, String)> {
        self.is_substitute.then(|| {
            (
                "this kernel has no netkit, so containers get a veth pair".to_owned(),
                "boot a kernel from 6.8 on with CONFIG_NETKIT, or take \"device\" out of the list"
                    .to_owned(),
            )
        })
    }
}

/// Verifies that packets without a BPF program pass a netkit pair in both directions, as ADD made it.
pub(crate) fn verify_policy(side: &Side, host: &Link) -> Result<()> {
    let Kind::Netkit(netkit) = host.kind else {
        return Ok(());
    };
    let word = |passes| if passes { "forward" } else { "blackhole" };
    let command = format!("ip link set {} type netkit forward peer forward", host.name);
    for (whose, passes) in [("", netkit.passes), (" of the peer", netkit.peer_passes)] {
        let what = format!("policy{whose} of {:?}", host.name);
        same(what, word(true), word(passes)).map_err(mended_by(side, &command))?;
    }
    Ok(())
}
