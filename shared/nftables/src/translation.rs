//! Rules that send packets of a port to another address, whoever made them.

use linkspan_protocol::family::Family;
use netlink_packet_netfilter::nftables::{NfTablesMessage, RuleMessage};

use crate::decode::text;
use crate::legacy::NatRules;
use crate::port_rule::PortRule;
use crate::ruleset::TableFamily;
use crate::{Error, Netfilter, port_reading};

/// A rule that translates destinations, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Its table; empty in the older packet filter.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its conditions, and where it leads.
    pub rule: PortRule,
}

impl Netfilter {
    /// The rules of one family that send packets of ports elsewhere, in the order of the kernel.
    pub fn translations(&self, family: TableFamily) -> Result<Vec<Translation>, Error> {
        let request = NfTablesMessage::GetRule(RuleMessage { attributes: vec![] });
        let read = |object: &[u8]| Translation::decode(object, family);
        self.list(("list", "rules"), family, request, read)
    }
}

impl NatRules {
    /// The same of the older packet filter.
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
    /// Of an answer to `NFT_MSG_GETRULE`; `None` where the rule is another one.
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
