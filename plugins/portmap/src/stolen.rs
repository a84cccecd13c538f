//! Published ports of ours whose packets other rules of the host redirect. Our chains come after theirs.

use std::net::{IpAddr, SocketAddr};

use linkspan_attach::kernel;
use linkspan_filter::table::{self, TABLE};
use linkspan_nftables::legacy::NatRules;
use linkspan_nftables::ruleset::TableFamily;
use linkspan_nftables::translation::Translation;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::foreign::Keeper;
use crate::mapping::Protocol;
use crate::published::{Published, published};

/// A port of ours, and the rule that has its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stolen {
    /// The network of the port's owner; empty where it is unknown.
    pub network: String,
    /// Protocol.
    pub protocol: Protocol,
    /// The host's address and port.
    pub host: SocketAddr,
    /// The rule's place, as `chain DOCKER of table ip nat`.
    pub by: String,
    /// The address to which the rule sends the packets.
    pub to: IpAddr,
}

/// The ports of ours that a rule outside of our table sends to another address.
pub fn stolen() -> Result<Vec<Stolen>> {
    let Some(netfilter) = table::open()? else {
        return Ok(Vec::new());
    };
    let is_ours = |port: &Published| port.keeper == Keeper::Nftables;
    let ours: Vec<Published> = published()?.into_iter().filter(is_ours).collect();
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let mut rules = Vec::new();
    for family in [TableFamily::Ip, TableFamily::Ip6, TableFamily::Inet] {
        let found = netfilter.translations(family).map_err(kernel)?.into_iter();
        let other = |found: &Translation| (family, &*found.table) != (TABLE.family, TABLE.name);
        let place = |found: &Translation| {
            let (chain, table) = (&found.chain, &found.table);
            format!("chain {chain} of table {} {table}", family.name())
        };
        rules.extend(found.filter(other).map(|rule| (place(&rule), rule)));
    }
    for family in Family::BOTH {
        let program = family.pick("iptables-legacy", "ip6tables-legacy");
        let found = NatRules::read(family).map_err(kernel)?;
        let found = found
            .iter()
            .flat_map(NatRules::translations)
            .map(|rule| (format!("chain {} of {program}", rule.chain), rule));
        rules.extend(found);
    }
    let taken = |port: &Published| {
        let mut rules = rules.iter();
        rules.find_map(|(by, rule)| port.taken_by(by, rule))
    };
    Ok(ours.iter().filter_map(taken).collect())
}

impl Published {
    fn taken_by(&self, by: &str, Translation { rule, .. }: &Translation) -> Option<Stolen> {
        let (to, _) = rule.dnat?;
        let host = self.host.ip();
        let meets = rule
            .destination
            .is_none_or(|ip| ip == host || (host.is_unspecified() && same_family(ip, host)));
        let is_other = to != self.container.ip() && same_family(to, host);
        let admits = rule.admits(self.protocol.number(), self.host.port());
        (admits && meets && is_other).then(|| Stolen {
            network: self.owner[0].clone().unwrap_or_default(),
            protocol: self.protocol,
            host: self.host,
            by: by.to_owned(),
            to,
        })
    }
}

fn same_family(one: IpAddr, other: IpAddr) -> bool {
    Family::of(one) == Family::of(other)
}
