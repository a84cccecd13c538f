//! Decoding of rules about ports: nf_tables expressions, and extensions of iptables-legacy, which `iptables-nft` embeds
//! in expressions.

use std::collections::BTreeMap;

use linkspan_protocol::family::Family;

use crate::decode::{attribute, attributes, big_endian, rule};
use crate::expression::{self, Comparison, EQUAL, NETWORK, Payload, TRANSPORT, parts};
use crate::extension::Extension;
use crate::port_rule::{PortRule, address};

/// Decodes a reply to `NFT_MSG_GETRULE`, for a table of IPv4 or IPv6.
pub fn decode(object: &[u8], family: Family) -> Option<PortRule> {
    const EXPRESSIONS: u16 = 4;
    let found = rule(object)?;
    let mut reading = Reading {
        rule: PortRule {
            handle: found.handle,
            comment: found.comment,
            jump: found.target,
            ..PortRule::default()
        },
        registers: BTreeMap::new(),
        family,
    };
    let list = attribute(object, EXPRESSIONS).unwrap_or_default();
    for (_, expression) in attributes(list) {
        reading.take(expression);
    }
    Some(reading.rule)
}

/// The content of a register.
#[derive(Debug, Clone, Copy)]
enum Loaded<'a> {
    Protocol,
    Port,
    Destination,
    Data(&'a [u8]),
}

/// A rule while its expressions are read.
struct Reading<'a> {
    rule: PortRule,
    registers: BTreeMap<u32, Loaded<'a>>,
    family: Family,
}

impl<'a> Reading<'a> {
    /// Reads one expression. An unknown expression may write to any register, so it invalidates all.
    fn take(&mut self, expression: &'a [u8]) {
        let (name, data) = parts(expression).unwrap_or_default();
        let understood = match name.as_str() {
            "meta" => self.meta(data),
            "payload" => self.payload(data),
            "immediate" => self.immediate(data),
            "cmp" => self.compare(data),
            "nat" => self.nat(data),
            "match" => self.extension(data, |rule, found| found.narrow(rule)),
            "target" => self.extension(data, |rule, found| found.translate(rule)),
            _ => None,
        };
        if understood.is_none() {
            self.registers.clear();
        }
    }

    fn meta(&mut self, data: &[u8]) -> Option<()> {
        const L4PROTO: u32 = 16;
        let (register, key) = expression::meta(data)?;
        (key == L4PROTO).then_some(())?;
        self.registers.insert(register, Loaded::Protocol);
        Some(())
    }

    fn payload(&mut self, data: &[u8]) -> Option<()> {
        let payload = Payload::read(data);
        let loaded = match payload.field? {
            // `ip protocol`, `ip daddr`, `ip6 daddr` and `th dport`.
            (NETWORK, 9, 1) => Loaded::Protocol,
            (NETWORK, 16, 4) | (NETWORK, 24, 16) => Loaded::Destination,
            (TRANSPORT, 2, 2) => Loaded::Port,
            _ => return None,
        };
        self.registers.insert(payload.register?, loaded);
        Some(())
    }

    fn immediate(&mut self, data: &'a [u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const DATA: u16 = 2;
        const VALUE: u16 = 1;
        let value = attribute(attribute(data, DATA)?, VALUE)?;
        self.registers
            .insert(big_endian(data, REGISTER)?, Loaded::Data(value));
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        let Comparison {
            register,
            operator,
            value,
        } = Comparison::read(data)?;
        let loaded = self.registers.get(&register);
        if operator != EQUAL {
            return Some(());
        }
        match loaded? {
            Loaded::Protocol => self.rule.protocol = value.first().copied(),
            Loaded::Destination => self.rule.destination = address(value),
            Loaded::Port => self.rule.ports.extend(port(value).map(|port| port..=port)),
            Loaded::Data(_) => {}
        }
        Some(())
    }

    fn nat(&mut self, data: &[u8]) -> Option<()> {
        const TYPE: u16 = 1;
        const ADDRESS: u16 = 3;
        const PORT: u16 = 5;
        const DESTINATION: u32 = 1;
        let of = |kind| match self.registers.get(&big_endian(data, kind)?)? {
            Loaded::Data(value) => Some(*value),
            _ => None,
        };
        if big_endian(data, TYPE)? == DESTINATION {
            let ip = address(of(ADDRESS)?)?;
            self.rule.dnat = Some((ip, of(PORT).and_then(port)));
        }
        Some(())
    }

    fn extension(
        &mut self,
        data: &[u8],
        apply: impl FnOnce(&mut PortRule, &Extension<'_>),
    ) -> Option<()> {
        let (name, revision, data) = expression::extension(data)?;
        let extension = Extension {
            name: &name,
            revision,
            family: self.family,
            data: data?,
        };
        apply(&mut self.rule, &extension);
        Some(())
    }
}

fn port(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*value.first_chunk()?))
}
