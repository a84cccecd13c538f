//! Packet filter state of the Go suite, under its names: creation, where a configuration asks for the iptables backend,
//! and removal, where we detach containers of the Go suite.

use std::collections::{BTreeSet, HashSet};

use linkspan_nftables::found::FoundRule;
use linkspan_nftables::ruleset::Table;
use linkspan_nftables::xtables::{self, Nat};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::hash;
use linkspan_plugin::{GcCall, Result};
use linkspan_protocol::family::Family;
use linkspan_protocol::ident::{ContainerId, NetworkName};

use crate::iptables::{Iptables, deletion, program};
use crate::{kernel, table};

/// Length of a chain's name (`XT_EXTENSION_MAXNAMELEN` without the final NUL).
const CHAIN_LEN: usize = 28;

/// The name of a container's chain. Other software parses the name, so it must not change.
pub fn chain(network: &NetworkName, container: &ContainerId, infix: &str) -> String {
    let digest = hash::hex(&format!("{network}{container}"));
    let mut name = format!("CNI-{infix}{digest}");
    name.truncate(CHAIN_LEN);
    name
}

/// The comment of a container's rules.
pub fn comment(network: &NetworkName, container: &ContainerId) -> String {
    format!("name: \"{network}\" id: \"{container}\"")
}

/// A quoted word for `iptables-restore`.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The table of `iptables-nft`.
pub fn nat(family: Family) -> Table {
    Table {
        family: family.into(),
        name: "nat",
    }
}

/// Returns whether a family has the chain, in nf_tables or in iptables-legacy.
pub fn has_chain(netfilter: Option<&Netfilter>, family: Family, chain: &str) -> Result<bool> {
    let native = match netfilter {
        Some(netfilter) => netfilter.has_chain(nat(family), chain).map_err(kernel)?,
        None => false,
    };
    Ok(native || xtables::nat_has_chain(family, chain).map_err(kernel)?)
}

/// The chains of a container in the table nat, as `iptables` names them: of published ports, and of masquerade.
pub fn chains_of(network: &NetworkName, container: &ContainerId) -> Result<Vec<String>> {
    let netfilter = table::open()?;
    let mut found = Vec::new();
    for family in Family::BOTH {
        for infix in ["DN-", ""] {
            let chain = chain(network, container, infix);
            if has_chain(netfilter.as_ref(), family, &chain)? {
                found.push(format!("{} -t nat {chain}", program(family)));
            }
        }
    }
    Ok(found)
}

/// Removes a container's chain; see [`remove_chains`].
pub fn remove_chain(netfilter: Option<&Netfilter>, parent: &str, chain: &str) -> Result<()> {
    remove_chains(netfilter, &[(parent, chain.to_owned())].into())
}

/// Chains of containers, each with the parent chain whose rules jump there.
pub type Chains<'a> = BTreeSet<(&'a str, String)>;

/// Removes chains, and the rules that jump there, in both families, from nf_tables and iptables-legacy. Reads
/// iptables-legacy once, and executes iptables only if a chain is there.
pub fn remove_chains(netfilter: Option<&Netfilter>, chains: &Chains<'_>) -> Result<()> {
    if let Some(netfilter) = netfilter {
        let tables = Family::BOTH.map(nat);
        let of_table = |table| chains.iter().map(move |(_, chain)| (table, chain.as_str()));
        let all: Vec<_> = tables.into_iter().flat_map(of_table).collect();
        let there = netfilter.has_chains(&all).map_err(kernel)?;
        let mut there: Vec<_> = all.iter().zip(there).filter(|(_, there)| *there).collect();
        there.dedup_by_key(|((table, _), _)| *table);
        for ((table, _), _) in there {
            remove_native(netfilter, *table, chains)?;
        }
    }
    for family in Family::BOTH {
        remove_legacy(family, chains)?;
    }
    Ok(())
}

/// A place where rules name containers, for one kind of chain.
#[derive(Debug)]
pub struct Register {
    /// The chain whose rules jump to the containers' chains.
    pub parent: &'static str,
    /// The infix of the containers' chains, after `CNI-`.
    pub infix: &'static str,
    /// The prefix of the rules' comments, before [`comment`].
    pub prefix: &'static str,
}

impl Register {
    /// Removes the chains of the network's containers that have no valid attachment.
    ///
    /// A chain's name is only a digest. So the comment of the jump names the container, and the digest confirms it. The
    /// comment names no interface: a container with any valid attachment keeps everything.
    pub fn collect(&self, call: &GcCall, netfilter: Option<&Netfilter>) -> Result<()> {
        let valid = call.valid_attachments.iter();
        let valid: HashSet<&str> = valid.map(|id| id.container_id.as_str()).collect();
        let stale = |(comment, target): (String, String)| {
            let container = self.container(&call.network, &comment)?;
            let is_proven = chain(&call.network, &container, self.infix) == target;
            (is_proven && !valid.contains(container.as_str())).then_some((self.parent, target))
        };
        let told = self.told(netfilter)?;
        let condemned: Chains<'_> = told.into_iter().filter_map(stale).collect();
        if condemned.is_empty() {
            return Ok(());
        }
        remove_chains(netfilter, &condemned)
    }

    /// The comments of the rules, each with the rule's target.
    fn told(&self, netfilter: Option<&Netfilter>) -> Result<Vec<(String, String)>> {
        let mut told = Vec::new();
        for family in Family::BOTH {
            if let Some(netfilter) = netfilter {
                let rules = netfilter.rules(nat(family), self.parent).map_err(kernel)?;
                let leading = |rule: FoundRule| Some((rule.comment, rule.target?));
                told.extend(rules.into_iter().filter_map(leading));
            }
            let beginning = format!("CNI-{}", self.infix);
            if Nat::read(family).map_err(kernel)?.has_chains(&beginning) {
                let saved = Iptables::legacy(family).saved()?;
                let rules = saved.told_of(self.parent);
                told.extend(rules.map(|(comment, target)| (comment, target.to_owned())));
            }
        }
        Ok(told)
    }

    /// The container of the network that a comment names.
    fn container(&self, network: &NetworkName, told: &str) -> Option<ContainerId> {
        let told = told.strip_prefix(self.prefix)?;
        let (_, id) = told.strip_suffix('"')?.rsplit_once('"')?;
        let container = ContainerId::parse(id).ok()?;
        (comment(network, &container) == told).then_some(container)
    }
}

/// The same for chains of one table. Jumps between them go as well.
pub(crate) fn remove_native(
    netfilter: &Netfilter,
    table: Table,
    chains: &Chains<'_>,
) -> Result<()> {
    table::transact(netfilter, || {
        let mut batch = Batch::default();
        let (mut there, mut parents) = (BTreeSet::new(), BTreeSet::new());
        for (parent, chain) in chains {
            if netfilter.has_chain(table, chain).map_err(kernel)? {
                there.insert(chain.as_str());
                parents.insert(*parent);
            }
        }
        for parent in parents {
            for rule in netfilter.rules(table, parent).map_err(kernel)? {
                if rule.target.is_some_and(|target| there.contains(&*target)) {
                    batch.delete_rule(table, parent, rule.handle);
                }
            }
        }
        for chain in there {
            batch.flush_chain(table, chain);
            batch.delete_chain(table, chain);
        }
        Ok(batch)
    })
}

/// Removes chains of iptables-legacy.
fn remove_legacy(family: Family, chains: &Chains<'_>) -> Result<()> {
    let there = Nat::read(family).map_err(kernel)?;
    if !chains.iter().any(|(_, chain)| there.has_chain(chain)) {
        return Ok(());
    }
    let iptables = Iptables::legacy(family);
    let saved = iptables.saved()?;
    let mut lines: Vec<String> = Vec::new();
    let names = chains.iter().map(|(_, chain)| chain);
    for chain in names.filter(|chain| saved.has_chain(chain)) {
        lines.extend(saved.rules_to(chain).map(deletion));
        lines.extend([format!("-F {chain}"), format!("-X {chain}")]);
    }
    if lines.is_empty() {
        return Ok(());
    }
    iptables.apply(&lines)
}

/// Deletes the rules of chains in the reference's tables whose comments `condemned` picks. One look shows where these chains
/// are.
pub fn remove_rules(
    netfilter: &Netfilter,
    chains: &[(Table, &str)],
    condemned: impl Fn(&str) -> bool,
) -> Result<()> {
    let there = netfilter.has_chains(chains).map_err(kernel)?;
    for ((table, chain), _) in chains.iter().zip(there).filter(|(_, there)| *there) {
        table::transact(netfilter, || {
            let mut batch = Batch::default();
            for rule in netfilter.rules(*table, chain).map_err(kernel)? {
                if condemned(&rule.comment) {
                    batch.delete_rule(*table, chain, rule.handle);
                }
            }
            Ok(batch)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_reference() {
        let name = |network, container, infix| {
            let network = NetworkName::parse(network).unwrap();
            chain(&network, &ContainerId::parse(container).unwrap(), infix)
        };
        for (network, container, infix, expected) in [
            ("test", "1234", "", "CNI-2bbe0c48b91a7d1b8a6753a8"),
            ("test", "1234", "PREFIX-", "CNI-PREFIX-2bbe0c48b91a7d1b8"),
            ("mynet", "dummy", "", "CNI-1b29d9511ed2bb3134d925d5"),
            ("mynet", "dummy", "DN-", "CNI-DN-1b29d9511ed2bb3134d92"),
            (
                "testalongnamethatdoesnotmakesense",
                "1234",
                "",
                "CNI-374f33fe84ab0ed84dcdebe3",
            ),
        ] {
            assert_eq!(name(network, container, infix), expected);
        }
        assert_eq!(quoted("a \"b\""), "\"a \\\"b\\\"\"");
    }

    #[test]
    fn a_comment_tells_the_container_of_its_own_network_alone() {
        let register = Register {
            parent: "CNI-HOSTPORT-DNAT",
            infix: "DN-",
            prefix: "dnat ",
        };
        let network = NetworkName::parse("net").unwrap();
        let told = |comment: &str| register.container(&network, comment);
        let found = told(r#"dnat name: "net" id: "pod""#);
        assert_eq!(found.unwrap().as_str(), "pod");
        for other in [
            r#"name: "net" id: "pod""#,
            r#"dnat name: "net2" id: "pod""#,
            r#"dnat name: "net" id: "pod"#,
            r#"dnat name: "net" id: "not one""#,
            "dnat",
            "",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
