//! Rules, which select the routing table for a packet.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use crate::addr::kernel;
use crate::error::Error;
use crate::request::Attempt;
use crate::rtnl::Rtnl;

/// A rule. [`Rule::of_table`] creates a general one, and its fields narrow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The family of the packets.
    pub family: Family,
    /// Priority; lower ones come first. Default for a new rule: before all rules but the kernel's first.
    pub priority: Option<u32>,
    /// Packets from this network: address and prefix length.
    pub src: Option<(IpAddr, u8)>,
    /// Packets to this network.
    pub dst: Option<(IpAddr, u8)>,
    /// Packets that arrive on this interface.
    pub iif: Option<String>,
    /// Packets of sockets bound to this interface.
    pub oif: Option<String>,
    /// Packets with this mark.
    pub mark: Option<Mark>,
    /// The table; `None` for a rule with another action.
    pub table: Option<u32>,
    /// The number of the rule's owner. The kernel takes it for a link group whose packets the rule skips, so no link
    /// may be in that group.
    pub owner: Option<u32>,
    /// The remaining fields of the kernel's reply, sent back unchanged.
    action: RuleAction,
    flags: RuleFlags,
    rest: Vec<RuleAttribute>,
}

/// A packet mark and its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The bits.
    pub value: u32,
    /// The bits that are compared.
    pub mask: u32,
}

impl Rtnl {
    /// The rules of a family, in order.
    pub fn rules(&self, family: Family) -> Result<Vec<Rule>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = kernel(family);
        let attempt = Attempt("list", "rules");
        let found = self.dump(attempt, &RouteNetlinkMessage::GetRule(message))?;
        let rules = found.into_iter();
        Ok(rules.filter_map(|rule| Rule::of(rule, family)).collect())
    }

    /// Adds a rule; `EEXIST` if an equal rule has the same priority.
    pub fn add_rule(&self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(rule.message());
        let attempt = Attempt("add rule", rule.describe());
        self.change(attempt, NLM_F_CREATE | NLM_F_EXCL, message)
    }

    /// Deletes the first rule with all fields of `rule`; `ENOENT` if there is none.
    pub fn delete_rule(&self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRule(rule.message());
        self.change(Attempt("delete rule", rule.describe()), 0, message)
    }
}

impl Rule {
    /// A rule that sends every packet of the family to the table.
    pub fn of_table(family: Family, table: u32) -> Self {
        Self {
            family,
            priority: None,
            src: None,
            dst: None,
            iif: None,
            oif: None,
            mark: None,
            table: Some(table),
            owner: None,
            action: RuleAction::ToTable,
            flags: RuleFlags::empty(),
            rest: Vec::new(),
        }
    }

    /// Decodes a reply. Returns `None` for any other message type.
    pub fn of(answer: RouteNetlinkMessage, family: Family) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = answer else {
            return None;
        };
        let header = message.header;
        let is_lookup = header.action == RuleAction::ToTable;
        let mut rule = Self {
            // The kernel omits a priority of 0.
            priority: Some(0),
            table: is_lookup.then(|| header.table.into()),
            action: header.action,
            // The flags about missing interfaces are read-only.
            flags: header.flags & RuleFlags::Invert,
            ..Self::of_table(family, 0)
        };
        let mut mark = (None, u32::MAX);
        for attribute in message.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => rule.priority = Some(priority),
                RuleAttribute::Source(ip) => rule.src = Some((ip, header.src_len)),
                RuleAttribute::Destination(ip) => rule.dst = Some((ip, header.dst_len)),
                RuleAttribute::Iifname(name) => rule.iif = Some(name),
                RuleAttribute::Oifname(name) => rule.oif = Some(name),
                RuleAttribute::FwMark(value) => mark.0 = Some(value),
                RuleAttribute::FwMask(mask) => mark.1 = mask,
                RuleAttribute::Table(table) if is_lookup => rule.table = Some(table),
                RuleAttribute::Table(_) => {}
                RuleAttribute::SuppressIfGroup(owner) => rule.owner = Some(owner),
                other => rule.rest.push(other),
            }
        }
        let (value, mask) = mark;
        rule.mark = value.map(|value| Mark { value, mask });
        Some(rule)
    }

    pub(crate) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = kernel(self.family);
        message.header.action = self.action;
        message.header.flags = self.flags;
        message.header.src_len = self.src.map_or(0, |(_, prefix)| prefix);
        message.header.dst_len = self.dst.map_or(0, |(_, prefix)| prefix);
        let attributes = &mut message.attributes;
        attributes.extend(self.priority.map(RuleAttribute::Priority));
        attributes.extend(self.src.map(|(ip, _)| RuleAttribute::Source(ip)));
        attributes.extend(self.dst.map(|(ip, _)| RuleAttribute::Destination(ip)));
        attributes.extend(self.iif.clone().map(RuleAttribute::Iifname));
        attributes.extend(self.oif.clone().map(RuleAttribute::Oifname));
        if let Some(Mark { value, mask }) = self.mark {
            attributes.extend([RuleAttribute::FwMark(value), RuleAttribute::FwMask(mask)]);
        }
        match self.table.map(u8::try_from) {
            None => {}
            Some(Ok(table)) => message.header.table = table,
            Some(Err(_)) => attributes.extend(self.table.map(RuleAttribute::Table)),
        }
        attributes.extend(self.owner.map(RuleAttribute::SuppressIfGroup));
        attributes.extend_from_slice(&self.rest);
        message
    }

    /// The rule in the syntax of `ip rule`.
    fn describe(&self) -> String {
        let mut words = match self.priority {
            Some(priority) => format!("{priority}:"),
            None => self.family.pick("ip", "ip6").to_owned(),
        };
        let mut tell = |word: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([" ", word, " ", &value]);
            }
        };
        let network =
            |network: Option<(IpAddr, u8)>| network.map(|(ip, prefix)| format!("{ip}/{prefix}"));
        tell("from", network(self.src));
        tell("to", network(self.dst));
        tell("iif", self.iif.clone());
        tell("oif", self.oif.clone());
        tell(
            "fwmark",
            self.mark
                .map(|mark| format!("{:#x}/{:#x}", mark.value, mark.mask)),
        );
        tell("lookup", self.table.map(|table| table.to_string()));
        tell(
            "suppress_ifgroup",
            self.owner.map(|owner| owner.to_string()),
        );
        words
    }
}
