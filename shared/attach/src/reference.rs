//! What the Go suite keeps in the packet filter, by its names: to make it where a configuration asks for its backend, and
//! to remove it where its containers are detached by us.

use linkspan_nftables::ruleset::{Family, Table};
use linkspan_nftables::{Batch, Netfilter, xtables};
use linkspan_plugin::Result;
use linkspan_protocol::ident::{ContainerId, NetworkName};

use crate::iptables::{Iptables, deletion};
use crate::{hash, kernel, table};

/// Length of a chain's name (`XT_EXTENSION_MAXNAMELEN` less its final NUL).
const CHAIN_LEN: usize = 28;

/// The name of a container's chain; other software parses it, so it stays what it is.
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

/// A word for `iptables-restore`, in quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The table of `iptables-nft`.
fn nat(six: bool) -> Table {
    Table {
        family: if six { Family::Ip6 } else { Family::Ip },
        name: "nat",
    }
}

/// Whether a family has that chain, wherever iptables keeps it.
pub fn has_chain(netfilter: Option<&Netfilter>, six: bool, chain: &str) -> Result<bool> {
    let native = match netfilter {
        Some(netfilter) => netfilter.has_chain(nat(six), chain).map_err(kernel)?,
        None => false,
    };
    Ok(native || xtables::nat_has_chain(six, chain).map_err(kernel)?)
}

/// Removes a container's chain and the rules of `parent` that lead there, in both families and wherever iptables keeps
/// them. iptables is executed only for the older packet filter, and only where it has the chain.
pub fn remove_chain(netfilter: Option<&Netfilter>, parent: &str, chain: &str) -> Result<()> {
    for six in [false, true] {
        if let Some(netfilter) = netfilter {
            remove_native(netfilter, nat(six), parent, chain)?;
        }
        remove_legacy(six, chain)?;
    }
    Ok(())
}

fn remove_native(netfilter: &Netfilter, table: Table, parent: &str, chain: &str) -> Result<()> {
    table::transact(netfilter, || {
        let mut batch = Batch::default();
        if netfilter.has_chain(table, chain).map_err(kernel)? {
            for rule in netfilter.rules(table, parent).map_err(kernel)? {
                if rule.target.as_deref() == Some(chain) {
                    batch.delete_rule(table, parent, rule.handle);
                }
            }
            batch.flush_chain(table, chain);
            batch.delete_chain(table, chain);
        }
        Ok(batch)
    })
}

/// Removes a chain of the older packet filter.
fn remove_legacy(six: bool, chain: &str) -> Result<()> {
    if !xtables::nat_has_chain(six, chain).map_err(kernel)? {
        return Ok(());
    }
    let iptables = Iptables::legacy(six);
    let saved = iptables.saved()?;
    if !saved.has_chain(chain) {
        return Ok(());
    }
    let mut lines: Vec<String> = saved.rules_to(chain).map(deletion).collect();
    lines.extend([format!("-F {chain}"), format!("-X {chain}")]);
    iptables.apply(&lines)
}

/// Deletes the rules of a chain of the reference's own tables whose comment `condemned` picks.
pub fn remove_rules(
    netfilter: &Netfilter,
    table: Table,
    chain: &str,
    condemned: impl Fn(&str) -> bool,
) -> Result<()> {
    table::transact(netfilter, || {
        let mut batch = Batch::default();
        for rule in netfilter.rules(table, chain).map_err(kernel)? {
            if condemned(&rule.comment) {
                batch.delete_rule(table, chain, rule.handle);
            }
        }
        Ok(batch)
    })
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
}
