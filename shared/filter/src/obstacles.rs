//! Foreign packet filters that may drop containers' packets although our own state is in place: chains that drop
//! everything that no rule accepts.
//!
//! Obstacles are reported and never changed: they belong to others, and may be intended. STATUS and CHECK do not fail
//! either: a rule may accept the packets by a condition that we do not understand.

use linkspan_nftables::Netfilter;
use linkspan_nftables::forward::ForwardChain;
use linkspan_nftables::legacy_forward::LegacyForward;
use linkspan_nftables::ruleset::{Table, TableFamily};
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::{kernel, table};

/// The way of a network's packets through the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The host's incoming interface; `veth*` matches every name with that prefix.
    pub interface: String,
    /// Whether the host routes packets between the interface and others.
    pub routed: bool,
    /// Whether the interface is a bridge, which forwards frames between containers.
    pub bridged: bool,
}

/// A chain that drops the packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// A description, in one sentence.
    pub what: String,
    /// Commands that remove the obstacle.
    pub remedies: Vec<String>,
}

/// The ports of a bridge that lead to containers. A filter in the bridge family matches ports by name; a match of the
/// bridge's name needs a kernel module that is often missing.
const PORTS: &str = "veth*";

/// Docker's chain for rules of others.
const DOCKER_USER: &str = "DOCKER-USER";

/// The chains that drop a network's packets of these families.
pub fn obstacles(passage: &Passage, families: &[Family]) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    if let Some(netfilter) = table::open()? {
        found.extend(native(&netfilter, passage, families)?);
    }
    if passage.routed {
        for family in families {
            found.extend(legacy(&passage.interface, *family)?);
        }
    }
    Ok(found)
}

fn native(netfilter: &Netfilter, passage: &Passage, families: &[Family]) -> Result<Vec<Obstacle>> {
    let families = [
        (TableFamily::Ip, passage.routed),
        (
            TableFamily::Ip6,
            passage.routed && families.contains(&Family::V6),
        ),
        (TableFamily::Inet, passage.routed),
        (TableFamily::Bridge, passage.bridged),
    ];
    let mut found = Vec::new();
    for (family, _) in families.into_iter().filter(|(_, matters)| *matters) {
        for chain in netfilter.forward_chains(family).map_err(kernel)? {
            let by_port = family == TableFamily::Bridge && lets_through(&chain.passes, PORTS);
            if chain.drops && !by_port && !lets_through(&chain.passes, &passage.interface) {
                let family = family.name();
                let name = format!("chain {} of table {family} {}", chain.name, chain.table);
                found.push(Obstacle {
                    what: dropped(&name, chain.family, &passage.interface),
                    remedies: remedies(netfilter, &chain, &passage.interface)?,
                });
            }
        }
    }
    Ok(found)
}

fn legacy(interface: &str, family: Family) -> Result<Option<Obstacle>> {
    let program = family.pick("iptables-legacy", "ip6tables-legacy");
    let forward = LegacyForward::read(family).map_err(kernel)?;
    let in_the_way =
        |forward: &LegacyForward| forward.drops && !lets_through(&forward.passes, interface);
    Ok(forward.filter(in_the_way).map(|forward| {
        let chain = format!("chain FORWARD of {program}");
        let docker = forward.chains.iter().any(|chain| chain == DOCKER_USER);
        Obstacle {
            what: dropped(&chain, family.into(), interface),
            remedies: iptables(program, docker, interface),
        }
    }))
}

fn dropped(chain: &str, family: TableFamily, interface: &str) -> String {
    let packets = match family {
        TableFamily::Ip => "IPv4 packets",
        TableFamily::Ip6 => "IPv6 packets",
        TableFamily::Inet => "packets",
        TableFamily::Bridge => "frames",
    };
    let cut_off = match family {
        TableFamily::Bridge => format!("pods on {interface} do not reach each other"),
        _ => format!(
            "pods behind {interface} reach nothing beyond this host, and nothing beyond it reaches their ports"
        ),
    };
    format!(
        "{chain} drops forwarded {packets} that no rule lets through; unless one does, {cut_off}"
    )
}

/// Returns whether one of the names, some of which end with `*`, matches the interface.
fn lets_through(passes: &[String], interface: &str) -> bool {
    passes.iter().any(|name| match name.strip_suffix('*') {
        Some(beginning) => interface.starts_with(beginning),
        None => name == interface,
    })
}

/// Commands that let the interface's packets through the chain, for the program that owns the chain.
fn remedies(netfilter: &Netfilter, chain: &ForwardChain, interface: &str) -> Result<Vec<String>> {
    let ForwardChain {
        family,
        table,
        name,
        ..
    } = chain;
    let of_iptables = [
        (TableFamily::Ip, "iptables-nft"),
        (TableFamily::Ip6, "ip6tables-nft"),
    ];
    let program = of_iptables.iter().find(|(own, _)| own == family);
    if let Some((family, program)) = program
        && (&**table, &**name) == ("filter", "FORWARD")
    {
        let filter = Table {
            family: *family,
            name: "filter",
        };
        let docker = netfilter.has_chain(filter, DOCKER_USER).map_err(kernel)?;
        return Ok(iptables(program, docker, interface));
    }
    if table == "firewalld" {
        let zone = "firewall-cmd --permanent --zone=trusted";
        let interface = plus(interface);
        return Ok(vec![
            format!("{zone} --add-interface={interface}"),
            "firewall-cmd --reload".to_owned(),
        ]);
    }
    let rule = format!("nft insert rule {} {table} {name}", family.name());
    if *family == TableFamily::Bridge {
        let port = |way| format!("{rule} {way} \"{PORTS}\" accept");
        return Ok(["iifname", "oifname"].map(port).to_vec());
    }
    Ok(vec![
        format!("{rule} iifname \"{interface}\" accept"),
        format!("{rule} oifname \"{interface}\" ct state established,related accept"),
        format!("{rule} oifname \"{interface}\" ct status dnat accept"),
    ])
}

/// Accepts packets from pods, and to pods replies and packets for published ports.
fn iptables(program: &str, docker: bool, interface: &str) -> Vec<String> {
    let chain = if docker { DOCKER_USER } else { "FORWARD" };
    let interface = plus(interface);
    vec![
        format!("{program} -I {chain} -i {interface} -j ACCEPT"),
        format!(
            "{program} -I {chain} -o {interface} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
        ),
    ]
}

/// The name in iptables' syntax, in which a plus matches any suffix.
fn plus(interface: &str) -> String {
    interface.replace('*', "+")
}
