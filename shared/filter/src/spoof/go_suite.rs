//! The Go suite's form of the spoof check: two chains for each attachment in a table of bridges, and a rule that sends
//! the port's frames there. The chains' names tell container and interface, but not the network.

use linkspan_nftables::Netfilter;
use linkspan_nftables::found::FoundRule;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Table, TableFamily};
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::ident::AttachmentId;

use crate::go_suite::remove_native;
use crate::kernel;

const NAT: Table = Table {
    family: TableFamily::Bridge,
    name: "nat",
};

/// The chain with the jumps to an attachment's chain.
const PARENT: &str = "PREROUTING";

/// The longest name of a chain (`NFT_CHAIN_MAXNAMELEN` less its final NUL).
const NAME_MAX: usize = 255;

/// The chains of an attachment.
#[derive(Debug)]
pub(super) struct Chains {
    /// Jumps to the other one.
    port: String,
    /// Returns frames with the container's address, and drops the others.
    source: String,
}

impl Chains {
    pub(super) fn of(attachment: &AttachmentId) -> Self {
        let port = format!(
            "cni-br-iface-{}-{}",
            attachment.container_id, attachment.ifname
        );
        Self {
            source: format!("{port}-mac"),
            port,
        }
    }

    /// Asks for both chains. Asks nothing if their names would be too long.
    pub(super) fn questions(&self) -> Vec<Question<'_>> {
        if self.source.len() > NAME_MAX {
            return Vec::new();
        }
        let both = [&self.port, &self.source];
        both.map(|name| Question::Chain(NAT, name)).to_vec()
    }

    /// Removes the chains and the jumps to them. Table and base chain stay, as the Go suite leaves them.
    pub(super) fn remove(&self, netfilter: &Netfilter) -> Result<()> {
        let chains = [
            (PARENT, self.port.clone()),
            (self.port.as_str(), self.source.clone()),
        ];
        remove_native(netfilter, NAT, &chains.into())
    }

    /// Verifies that frames of the port reach the chains, and that the chains have their rules.
    pub(super) fn verify(&self, netfilter: &Netfilter) -> Result<()> {
        let rules = |chain: &str| netfilter.rules(NAT, chain).map_err(kernel);
        let leading = |rules: Vec<FoundRule>, to: &str| {
            let leads = |rule: &&FoundRule| rule.target.as_deref() == Some(to);
            rules.iter().filter(leads).count()
        };
        let (port, source) = (self.port.as_str(), self.source.as_str());
        for (chain, found, expected) in [
            (PARENT, leading(rules(PARENT)?, port), 1),
            (port, leading(rules(port)?, source), 1),
            (source, rules(source)?.len(), 2),
        ] {
            if found < expected {
                let what = format!("rules of the MAC spoof check in chain {chain} of {NAT}");
                return Err(mismatch(what, &expected.to_string(), &found.to_string()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{ContainerId, IfName};

    #[test]
    fn names_are_those_of_the_reference() {
        let of = |container: &str| {
            Chains::of(&AttachmentId {
                container_id: ContainerId::parse(container).unwrap(),
                ifname: IfName::parse("net1").unwrap(),
            })
        };
        let chains = of("container99");
        assert_eq!(chains.port, "cni-br-iface-container99-net1");
        assert_eq!(chains.source, "cni-br-iface-container99-net1-mac");
        assert_eq!(chains.questions().len(), 2);
        assert!(of(&"c".repeat(240)).questions().is_empty());
    }
}
