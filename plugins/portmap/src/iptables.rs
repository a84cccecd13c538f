//! Published ports in the Go suite's form. With iptables that is a chain for each container behind shared ones; with
//! nft, rules in tables of its own. Other software parses the names and comments of the chains.

use linkspan_filter::go_suite::{
    Register, chain, comment, has_chain, quoted, remove_chain, remove_chains, remove_rules,
};
use linkspan_filter::iptables::{Iptables, Saved, deletion};
use linkspan_filter::{kernel, table};
use linkspan_nftables::ruleset::{Table, TableFamily};
use linkspan_nftables::{Netfilter, xtables};
use linkspan_owner::Subject;
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{CheckCall, DelCall, GcCall, Result, Undo};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use crate::conf::Plan;
use crate::flows;
use crate::localnet;
use crate::mapping::Mapping;

/// Shared chains of the reference.
pub(crate) const DNAT: &str = "CNI-HOSTPORT-DNAT";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQ: &str = "CNI-HOSTPORT-MASQ";
/// The older reference's chain before [`DNAT`].
const SNAT: &str = "CNI-HOSTPORT-SNAT";

const REGISTER: Register = Register {
    parent: DNAT,
    infix: "DN-",
    prefix: "dnat ",
};

/// Maximum number of ports in one rule with the match `multiport`.
const MULTIPORT: usize = 15;

/// The longest comment that iptables accepts, in bytes.
const COMMENT_MAX: usize = 255;

/// The tables of the Go suite's nft backend, and their chains with rules of containers.
pub(crate) const NFT: [Table; 2] = [
    Table {
        family: TableFamily::Ip,
        name: "cni_hostport",
    },
    Table {
        family: TableFamily::Ip6,
        name: "cni_hostport",
    },
];
const NFT_CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];

/// The container's chain, and the comment of the rules that lead to it.
struct Chain {
    name: String,
    comment: String,
}

impl Chain {
    fn of(
        network: &linkspan_protocol::ident::NetworkName,
        container: &linkspan_protocol::ident::ContainerId,
    ) -> Self {
        let mut comment = format!("dnat {}", comment(network, container));
        comment.truncate(COMMENT_MAX);
        Self {
            name: chain(network, container, "DN-"),
            comment: quoted(&comment),
        }
    }
}

/// Publishes, in one transaction for each family.
pub(crate) fn publish(
    subject: Subject<'_>,
    plan: &Plan,
    addresses: &[Cidr],
    undo: &mut Undo,
) -> Result<()> {
    let chain = Chain::of(subject.network, &subject.attachment.container_id);
    for address in addresses {
        let ip = address.ip();
        let iptables = Iptables::of(Family::of(ip));
        let saved = iptables.saved()?;
        let mut lines = shared(plan, &saved);
        // A repeated ADD replaces its rules instead of doubling them.
        lines.extend(saved.rules_to(&chain.name).map(deletion));
        // A declaration makes the chain, or empties it.
        lines.push(format!(":{} - [0:0]", chain.name));
        lines.extend(own(plan, &chain.name, *address));
        lines.extend(entries(plan, &chain, Family::of(ip)));
        let name = chain.name.clone();
        let led = flows::led(&plan.mappings, &[*address]);
        undo.push_unless_refused(iptables.apply(&lines), "withdraw the ports", move || {
            remove_chain(table::open()?.as_ref(), DNAT, &name)?;
            flows::forget_own(&led)
        })?;
        if plan.snat && ip.is_ipv4() {
            localnet::open_towards(ip)?;
        }
    }
    Ok(())
}

/// The shared chains and rules of the host that are missing.
fn shared(plan: &Plan, saved: &Saved) -> Vec<String> {
    let mut lines = Vec::new();
    let mut declare = |name: &str| {
        let missing = !saved.has_chain(name);
        if missing {
            lines.push(format!(":{name} - [0:0]"));
        }
        missing
    };
    let dnat_is_new = declare(DNAT);
    let own_mark = plan.snat && plan.iptables.set_mark_chain.is_none();
    let mark_is_new = own_mark && declare(SET_MARK);
    let masq_is_new = own_mark && declare(MASQ);
    let mark = format!("{0:#x}/{0:#x}", plan.iptables.mark);
    let set_mark = format!(
        "-A {SET_MARK} -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark {mark}"
    );
    let has = |chain: &str, mark: &str| saved.rules_of(chain).any(|rule| rule.contains(mark));
    if own_mark && (mark_is_new || !has(SET_MARK, &format!("--set-xmark {mark}"))) {
        lines.push(set_mark);
    }
    if own_mark && (masq_is_new || !has(MASQ, &format!("--mark {mark}"))) {
        lines.push(format!("-A {MASQ} -m mark --mark {mark} -j MASQUERADE"));
    }
    if own_mark && (masq_is_new || saved.rules_to(MASQ).next().is_none()) {
        lines.push(format!(
            "-I POSTROUTING 1 -m comment --comment \"CNI portfwd requiring masquerade\" -j {MASQ}"
        ));
    }
    for hook in ["PREROUTING", "OUTPUT"] {
        let from_hook = format!("-A {hook} ");
        let led = saved
            .rules_to(DNAT)
            .any(|rule| rule.starts_with(&from_hook));
        if dnat_is_new || !led {
            lines.push(format!("-A {hook} -m addrtype --dst-type LOCAL -j {DNAT}"));
        }
    }
    lines
}

/// The rules of the container's chain in the family of `ip`.
fn own(plan: &Plan, chain: &str, address: Cidr) -> Vec<String> {
    let ip = address.ip();
    let family = Family::of(ip);
    let set_mark = plan.iptables.set_mark_chain.as_deref().unwrap_or(SET_MARK);
    let everybody = family.pick("0.0.0.0/0", "::/0");
    let sources = if plan.masq_all {
        everybody.to_owned()
    } else {
        address.to_string()
    };
    let mut lines = Vec::new();
    let own = plan.mappings.iter();
    for mapping in own.filter(|mapping| mapping.host_ip.concerns(family)) {
        let Mapping {
            protocol,
            host_port,
            container_port,
            ..
        } = mapping;
        let mut base = format!("-A {chain} -p {protocol} --dport {host_port}");
        if let Some(one) = mapping.host_ip.one() {
            base = format!("{base} -d {one}");
        }
        if plan.snat {
            lines.push(format!("{base} -s {sources} -j {set_mark}"));
        }
        if plan.snat && family == Family::V4 && !plan.masq_all {
            lines.push(format!("{base} -s 127.0.0.1 -j {set_mark}"));
        }
        let to = std::net::SocketAddr::new(ip, *container_port);
        lines.push(format!("{base} -j DNAT --to-destination {to}"));
    }
    lines
}

/// The rules that lead to the container's chain. As in the reference, ports of the other family's addresses are among
/// them; the chain sorts them out.
fn entries(plan: &Plan, chain: &Chain, family: Family) -> Vec<String> {
    let conditions = family.pick(&plan.iptables.conditions_v4, &plan.iptables.conditions_v6);
    let words: Vec<String> = conditions.iter().map(|word| quoted(word)).collect();
    let words = words.join(" ");
    let mut protocols: Vec<_> = plan.mappings.iter().map(|m| m.protocol).collect();
    protocols.sort_by_key(|protocol| protocol.name());
    protocols.dedup();
    let mut lines = Vec::new();
    for protocol in protocols {
        let own = plan.mappings.iter().filter(|m| m.protocol == protocol);
        let ports: Vec<String> = own.map(|m| m.host_port.to_string()).collect();
        for some in ports.chunks(MULTIPORT) {
            lines.push(format!(
                "-A {DNAT} -m comment --comment {} -m multiport -p {protocol} --destination-ports {} {words} -j {}",
                chain.comment,
                some.join(","),
                chain.name
            ));
        }
    }
    lines
}

/// Withdraws the container's ports in the Go suite's form, made by either suite. The nft rules are found by the
/// container alone, as that suite finds them.
pub(crate) fn withdraw(call: &DelCall, netfilter: Option<&Netfilter>) -> Result<()> {
    let container = &call.attachment.container_id;
    if let Some(netfilter) = netfilter {
        let own = |comment: &str| comment == container.as_str();
        let of_table = |table| NFT_CHAINS.map(|chain| (table, chain));
        remove_rules(netfilter, &NFT.map(of_table).concat(), own)?;
    }
    let own = [(DNAT, "DN-"), (SNAT, "SN-")]
        .map(|(parent, infix)| (parent, chain(&call.network, container, infix)));
    remove_chains(netfilter, &own.into())
}

/// Withdraws the ports in chains of iptables of containers of the network without a valid attachment.
pub(crate) fn collect(call: &GcCall, netfilter: Option<&Netfilter>) -> Result<()> {
    REGISTER.collect(call, netfilter)
}

/// Whether the container has ports in the Go suite's form, made by either suite.
pub(crate) fn is_there(call: &CheckCall, netfilter: Option<&Netfilter>) -> Result<bool> {
    let name = chain(&call.network, &call.attachment.container_id, "DN-");
    for family in Family::BOTH {
        if has_chain(netfilter, family, &name)? {
            return Ok(true);
        }
    }
    Ok(nft_rules(call, netfilter)? > 0)
}

fn nft_rules(call: &CheckCall, netfilter: Option<&Netfilter>) -> Result<usize> {
    let Some(netfilter) = netfilter else {
        return Ok(0);
    };
    let mut count = 0;
    for table in NFT {
        let rules = netfilter.rules(table, "hostports").map_err(kernel)?;
        let own = |comment: &str| comment == call.attachment.container_id.as_str();
        count += rules.iter().filter(|rule| own(&rule.comment)).count();
    }
    Ok(count)
}

/// Checks that there are as many rules as [`publish`] would make, or that every rule of the Go suite's nft backend is
/// there.
pub(crate) fn verify(
    call: &CheckCall,
    plan: &Plan,
    addresses: &[Cidr],
    netfilter: Option<&Netfilter>,
) -> Result<()> {
    let chain = Chain::of(&call.network, &call.attachment.container_id);
    let promised = addresses.iter().map(|address| {
        let family = Family::of(address.ip());
        let of_family = |m: &&Mapping| m.host_ip.concerns(family);
        plan.mappings.iter().filter(of_family).count()
    });
    let found = nft_rules(call, netfilter)?;
    if found > 0 && found >= promised.sum() {
        return Ok(());
    }
    for address in addresses {
        let ip = address.ip();
        let family = Family::of(ip);
        let saved = if xtables::nat_has_chain(family, &chain.name).map_err(kernel)? {
            Iptables::legacy(family).saved()?
        } else {
            Iptables::of(family).saved()?
        };
        let count = |what: String, promised: usize, found: usize| {
            if found < promised {
                return Err(mismatch(what, &promised.to_string(), &found.to_string()));
            }
            Ok(())
        };
        let name = &chain.name;
        let promised = own(plan, name, *address).len();
        let what = format!("rules of chain {name} for {ip}");
        count(what, promised, saved.rules_of(name).count())?;
        let promised = entries(plan, &chain, family).len();
        let what = format!("rules of chain {DNAT} that lead to {name} for {ip}");
        count(what, promised, saved.rules_to(name).count())?;
    }
    Ok(())
}

/// Checks that the programs are there and can read the tables.
pub(crate) fn status(plan: &Plan) -> Result<()> {
    Iptables::of(Family::V4).saved()?;
    if plan.snat {
        localnet::status()?;
    }
    Ok(())
}
