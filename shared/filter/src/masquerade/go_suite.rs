//! Masquerade in the Go suite's form: a chain for each container (iptables), or rules in a separate table (nft).

use linkspan_nftables::Netfilter;
use linkspan_nftables::ruleset::{Table, TableFamily};
use linkspan_nftables::xtables;
use linkspan_owner::{Subject, hash};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{DelCall, GcCall, Result, Undo};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use crate::go_suite::{Register, chain, comment, has_chain, quoted, remove_chain, remove_rules};
use crate::iptables::{Iptables, deletion};
use crate::{kernel, table};

/// The chain with the jumps to the containers' chains.
const PARENT: &str = "POSTROUTING";

const REGISTER: Register = Register {
    parent: PARENT,
    infix: "",
    prefix: "",
};

/// The table of the Go suite's nft backend, and its chain.
const NFT: Table = Table {
    family: TableFamily::Inet,
    name: "cni_plugins_masquerade",
};
const NFT_CHAIN: &str = "masq_checks";

/// Creates the chain, in one transaction for each family.
pub(super) fn apply(
    subject: Subject<'_>,
    result: &AddResult,
    except: &[Cidr],
    undo: &mut Undo,
) -> Result<()> {
    let container = &subject.attachment.container_id;
    let chain = chain(subject.network, container, "");
    let comment = quoted(&comment(subject.network, container));
    for family in Family::BOTH {
        let addresses = addresses(result, family);
        if addresses.is_empty() {
            continue;
        }
        let iptables = Iptables::of(family);
        let saved = iptables.saved()?;
        // Repeated attachments have their rules only once.
        let mut lines: Vec<String> = saved.rules_to(&chain).map(deletion).collect();
        // A declaration creates the chain, or empties it.
        lines.push(format!(":{chain} - [0:0]"));
        let except = except.iter().filter(|to| Family::of(to.ip()) == family);
        for address in addresses.iter().chain(except) {
            lines.push(format!(
                "-A {chain} -d {address} -m comment --comment {comment} -j ACCEPT"
            ));
        }
        let multicast = family.pick("224.0.0.0/4", "ff00::/8");
        lines.push(format!(
            "-A {chain} ! -d {multicast} -m comment --comment {comment} -j MASQUERADE"
        ));
        for address in &addresses {
            let source = address.ip();
            lines.push(format!(
                "-A {PARENT} -s {source} -m comment --comment {comment} -j {chain}"
            ));
        }
        let chain = chain.clone();
        undo.push_unless_refused(iptables.apply(&lines), "remove masquerade", move || {
            remove_chain(table::open()?.as_ref(), PARENT, &chain)
        })?;
    }
    Ok(())
}

fn addresses(result: &AddResult, family: Family) -> Vec<Cidr> {
    let ips = result.ips.iter().map(|ip| ip.address);
    ips.filter(|address| Family::of(address.ip()) == family)
        .collect()
}

/// Returns whether the container has a chain in iptables, or a rule in the Go suite's nft table.
pub(super) fn is_there(subject: Subject<'_>, netfilter: Option<&Netfilter>) -> Result<bool> {
    let chain = chain(subject.network, &subject.attachment.container_id, "");
    for family in Family::BOTH {
        if has_chain(netfilter, family, &chain)? {
            return Ok(true);
        }
    }
    Ok(nft_rules(subject, netfilter)? > 0)
}

/// The number of the container's rules in the Go suite's nft table.
fn nft_rules(subject: Subject<'_>, netfilter: Option<&Netfilter>) -> Result<usize> {
    let Some(netfilter) = netfilter else {
        return Ok(0);
    };
    let tag = tag(subject.network.as_str(), subject.attachment);
    let rules = netfilter.rules(NFT, NFT_CHAIN).map_err(kernel)?;
    let own = rules.iter().filter(|rule| rule.comment.starts_with(&tag));
    Ok(own.count())
}

/// Verifies that every address has its chain with a jump, or its rule in the Go suite's nft table.
pub(super) fn verify(
    subject: Subject<'_>,
    result: &AddResult,
    netfilter: Option<&Netfilter>,
) -> Result<()> {
    if nft_rules(subject, netfilter)? >= result.ips.len() {
        return Ok(());
    }
    let chain = chain(subject.network, &subject.attachment.container_id, "");
    for family in Family::BOTH {
        let expected = addresses(result, family).len();
        if expected == 0 {
            continue;
        }
        let saved = if xtables::nat_has_chain(family, &chain).map_err(kernel)? {
            Iptables::legacy(family).saved()?
        } else {
            Iptables::of(family).saved()?
        };
        let found = saved.rules_to(&chain).count();
        if found < expected {
            let what = format!("rules of {PARENT} that lead to chain {chain}");
            return Err(mismatch(what, &expected.to_string(), &found.to_string()));
        }
        // One rule for each network, and one for all other destinations.
        let found = saved.rules_of(&chain).count();
        if found < 2 {
            let what = format!("rules of chain {chain}");
            return Err(mismatch(what, "2 or more", &found.to_string()));
        }
    }
    Ok(())
}

/// Removes the container's state in either format of the Go suite.
pub(super) fn remove(call: &DelCall, netfilter: Option<&Netfilter>) -> Result<()> {
    let tag = tag(call.network.as_str(), &call.attachment);
    if let Some(netfilter) = netfilter {
        let own = |comment: &str| comment.starts_with(&tag);
        remove_rules(netfilter, &[(NFT, NFT_CHAIN)], own)?;
    }
    let chain = chain(&call.network, &call.attachment.container_id, "");
    remove_chain(netfilter, PARENT, &chain)
}

/// Removes the state of the network's attachments in either format of the Go suite, except that of valid ones.
pub(super) fn collect(call: &GcCall, netfilter: Option<&Netfilter>) -> Result<()> {
    if let Some(netfilter) = netfilter {
        let network = format!("{}-", digits(call.network.as_str()));
        let valid = call.valid_attachments.iter();
        let valid: Vec<_> = valid.map(|id| tag(call.network.as_str(), id)).collect();
        remove_rules(netfilter, &[(NFT, NFT_CHAIN)], |comment| {
            comment.starts_with(&network) && !valid.iter().any(|tag| comment.starts_with(tag))
        })?;
    }
    REGISTER.collect(call, netfilter)
}

/// The prefix of an attachment's comments in the Go suite's nft table.
fn tag(network: &str, attachment: &linkspan_protocol::ident::AttachmentId) -> String {
    let instance = format!("{}:{}", attachment.ifname, attachment.container_id);
    format!("{}-{}", digits(network), digits(&instance))
}

fn digits(text: &str) -> String {
    hash::hex(text).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};

    #[test]
    fn comments_begin_as_those_of_the_reference() {
        for (network, ifname, container, expected) in [
            (
                "unit-test",
                "eth0",
                "one",
                "6fd94d501e58f0aa-287fc69eff0574a2",
            ),
            (
                "mynet",
                "eth0",
                "dummy",
                "d23676b4f2d9fe04-678b25cd6528b49d",
            ),
        ] {
            let attachment = AttachmentId {
                container_id: ContainerId::parse(container).unwrap(),
                ifname: IfName::parse(ifname).unwrap(),
            };
            assert_eq!(tag(network, &attachment), expected);
        }
    }
}
