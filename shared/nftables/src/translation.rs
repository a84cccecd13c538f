//! Rules of any owner that translate the destination of packets to a port.

use linkspan_protocol::family::Family;
use netlink_packet_netfilter::nftables::{NfTablesMessage, RuleMessage};

use crate::decode::text;
use crate::legacy::NatRules;
use crate::port_rule::PortRule;
use crate::ruleset::TableFamily;
use crate::{Error, Netfilter, port_reading};

/// A rule that translates destinations, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Its table; empty in iptables-legacy.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its conditions and destination.
    pub rule: PortRule,
}

impl Netfilter {
    /// The rules of one family that translate ports, in the kernel's order.
    pub fn translations(&self, family: TableFamily) -> Result<Vec<Translation>, Error> {
        let request = NfTablesMessage::GetRule(RuleMessage { attributes: vec![] });
        let read = |object: &[u8]| Translation::decode(object, family);
        self.list(("list", "rules"), family, request, read)
    }
}

impl NatRules {
    /// The same for iptables-legacy.
    pub fn translations(&self) -> Vec<Translation> {
        let of_chain = |chain: &str| {
            let rules = self.rules(chain).into_iter();
            let here = rules.filter(is_about_ports).map(|rule| Translation {
                table: String::new(),
                chain: chain.to_owned(),
                rule,
            });
            here.collect::<Vec<_>>()
        };
        self.chains().flat_map(of_chain).collect()
    }
}

impl Translation {
    /// Decodes a reply to `NFT_MSG_GETRULE`; `None` for any other rule.
    pub fn decode(object: &[u8], family: TableFamily) -> Option<Self> {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        let addresses = family.of_addresses().unwrap_or(Family::V4);
        let rule = port_reading::decode(object, addresses).filter(is_about_ports)?;
        Some(Self {
            table: text(object, TABLE)?,
            chain: text(object, CHAIN)?,
            rule,
        })
    }
}

fn is_about_ports(rule: &PortRule) -> bool {
    rule.dnat.is_some() && !rule.ports.is_empty()
}
