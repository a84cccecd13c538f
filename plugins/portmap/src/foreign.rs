//! Published ports outside of our own table: those of the Go suite in each of its formats, and ours of the backend
//! `iptables`. They are read over netlink, and the legacy table by socket options. Nothing is executed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use linkspan_attach::kernel;
use linkspan_filter::go_suite::{nat, remove_chain};
use linkspan_nftables::legacy::NatRules;
use linkspan_nftables::port_rule::PortRule;
use linkspan_nftables::ruleset::Table;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::iptables::{DNAT, NFT};
use crate::mapping::{HostIp, Mapping, Protocol};

/// The chains of the Go suite's nft backend with rules of ports: the usual one, and that of older versions.
const GO_CHAINS: [&str; 2] = ["hostports", "hostip_hostports"];

/// The filter that holds a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// Our own table of nf_tables.
    Nftables,
    /// Chains of `iptables-nft`.
    Iptables,
    /// Chains of `iptables-legacy`.
    IptablesLegacy,
    /// The table of the Go suite's nft backend.
    GoNftables,
}

impl Keeper {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::IptablesLegacy => "iptables-legacy",
            Self::GoNftables => "go-nftables",
        }
    }
}

/// A port that is published elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) keeper: Keeper,
    pub(crate) mapping: Mapping,
    pub(crate) container_ip: IpAddr,
    /// The rule that translates, and its chain.
    pub(crate) chain: String,
    pub(crate) handle: u64,
    /// The owner's network; absent in the Go suite's nft rules.
    pub(crate) network: Option<String>,
    /// The owner's id; absent where the comment was cut.
    pub(crate) container: Option<String>,
}

/// The ports that are published on addresses of a family, by rules that `may` pick. Each chain is looked up before it
/// is read.
pub(crate) fn read(
    netfilter: Option<&Netfilter>,
    family: Family,
    may: &dyn Fn(&PortRule) -> bool,
) -> Result<Vec<Foreign>> {
    let mut found = Vec::new();
    if let Some(netfilter) = netfilter {
        let rules = |table: Table, chain: &str| netfilter.port_rules(table, chain).map_err(kernel);
        if netfilter.has_chain(nat(family), DNAT).map_err(kernel)? {
            let rules = |chain: &str| rules(nat(family), chain);
            found.extend(of_containers(Keeper::Iptables, family, rules, may)?);
        }
        let go = go_table(family);
        let [usual, _] = GO_CHAINS;
        if netfilter.has_chain(go, usual).map_err(kernel)? {
            for chain in GO_CHAINS {
                for rule in rules(go, chain)?.iter().filter(|rule| may(rule)) {
                    let told = Told {
                        network: None,
                        container: Some(rule.comment.clone()),
                    };
                    found.extend(Foreign::of(rule, Keeper::GoNftables, chain, told, family));
                }
            }
        }
    }
    if let Some(table) = NatRules::read(family).map_err(kernel)? {
        let rules = |chain: &str| Ok(table.rules(chain));
        found.extend(of_containers(Keeper::IptablesLegacy, family, rules, may)?);
    }
    Ok(found)
}

fn go_table(family: Family) -> Table {
    let [v4, v6] = NFT;
    family.pick(v4, v6)
}

/// The ports in the containers' chains of iptables. The rule that leads to a chain names the owner. It has the ports of
/// both families, so the published ones are read from the chain.
fn of_containers(
    keeper: Keeper,
    family: Family,
    rules: impl Fn(&str) -> Result<Vec<PortRule>>,
    may: &dyn Fn(&PortRule) -> bool,
) -> Result<Vec<Foreign>> {
    let leading = rules(DNAT)?.into_iter().filter(|rule| may(rule));
    let chains: BTreeMap<String, String> = leading
        .filter_map(|rule| Some((rule.jump?, rule.comment)))
        .collect();
    let mut found = Vec::new();
    for (chain, comment) in chains {
        for rule in rules(&chain)?.iter().filter(|rule| may(rule)) {
            found.extend(Foreign::of(rule, keeper, &chain, told(&comment), family));
        }
    }
    Ok(found)
}

/// A port's owner, as far as its rules tell.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    network: Option<String>,
    container: Option<String>,
}

/// The network and the container that a comment names.
fn told(comment: &str) -> Told {
    let names = comment
        .strip_prefix("dnat name: \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .and_then(|rest| rest.split_once("\" id: \""));
    match names {
        Some((network, container)) => Told {
            network: Some(network.to_owned()),
            container: Some(container.to_owned()),
        },
        None => Told::default(),
    }
}

impl Foreign {
    /// The port that a rule publishes; `None` where it does something else.
    fn of(
        rule: &PortRule,
        keeper: Keeper,
        chain: &str,
        told: Told,
        family: Family,
    ) -> Option<Self> {
        let (container_ip, container_port) = rule.dnat?;
        let host_port = *rule.ports.iter().find(|range| is_one(range))?.start();
        Some(Self {
            keeper,
            mapping: Mapping {
                protocol: Protocol::of_number(rule.protocol?)?,
                host_ip: rule.destination.map_or(HostIp::AnyOf(family), HostIp::One),
                host_port,
                container_port: container_port.unwrap_or(host_port),
            },
            container_ip,
            chain: chain.to_owned(),
            handle: rule.handle,
            network: told.network,
            container: told.container,
        })
    }

    /// Withdraws the port: the whole chain of the container, or the one rule.
    pub(crate) fn withdraw(&self, netfilter: &Netfilter) -> Result<()> {
        if self.keeper != Keeper::GoNftables {
            return remove_chain(Some(netfilter), DNAT, &self.chain);
        }
        let mut batch = Batch::default();
        batch.delete_rule(self.table(), &self.chain, self.handle);
        match netfilter.commit(batch) {
            // Another process has deleted the rule meanwhile.
            Err(err) if err.is(Errno::ENOENT) => Ok(()),
            done => done.map_err(kernel),
        }
    }

    /// The table of the Go suite's nft backend that it would be in.
    pub(crate) fn table(&self) -> Table {
        go_table(Family::of(self.container_ip))
    }
}

fn is_one(range: &RangeInclusive<u16>) -> bool {
    range.start() == range.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_names_network_and_container_or_neither() {
        let both = |network: &str, container: &str| Told {
            network: Some(network.to_owned()),
            container: Some(container.to_owned()),
        };
        assert_eq!(told(r#"dnat name: "net" id: "pod""#), both("net", "pod"));
        for other in [
            "",
            "pod",
            r#"name: "net" id: "pod""#,
            r#"dnat name: "net" id: "a-long-id..."#,
        ] {
            assert_eq!(told(other), Told::default(), "{other}");
        }
    }
}
