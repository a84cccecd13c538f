//! Decoding of rules about ports: nf_tables expressions, and extensions of iptables-legacy, which `iptables-nft` embeds
//! in expressions.

use std::collections::BTreeMap;

use linkspan_protocol::family::Family;

use crate::decode::{attribute, attributes, rule, text};
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
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let name = text(expression, NAME).unwrap_or_default();
        let data = attribute(expression, DATA).unwrap_or_default();
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
        const REGISTER: u16 = 1;
        const KEY: u16 = 2;
        const L4PROTO: u32 = 16;
        let register = number(data, REGISTER)?;
        (number(data, KEY)? == L4PROTO).then_some(())?;
        self.registers.insert(register, Loaded::Protocol);
        Some(())
    }

    fn payload(&mut self, data: &[u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const BASE: u16 = 2;
        const OFFSET: u16 = 3;
        const LEN: u16 = 4;
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        let field = [BASE, OFFSET, LEN].map(|kind| number(data, kind));
        let loaded = match field {
            // `ip protocol`, `ip daddr`, `ip6 daddr` and `th dport`.
            [Some(NETWORK), Some(9), Some(1)] => Loaded::Protocol,
            [Some(NETWORK), Some(16), Some(4)] | [Some(NETWORK), Some(24), Some(16)] => {
                Loaded::Destination
            }
            [Some(TRANSPORT), Some(2), Some(2)] => Loaded::Port,
            _ => return None,
        };
        self.registers.insert(number(data, REGISTER)?, loaded);
        Some(())
    }

    fn immediate(&mut self, data: &'a [u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const DATA: u16 = 2;
        const VALUE: u16 = 1;
        let value = attribute(attribute(data, DATA)?, VALUE)?;
        self.registers
            .insert(number(data, REGISTER)?, Loaded::Data(value));
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const OPERATOR: u16 = 2;
        const DATA: u16 = 3;
        const VALUE: u16 = 1;
        const EQUAL: u32 = 0;
        let value = attribute(attribute(data, DATA)?, VALUE)?;
        let loaded = self.registers.get(&number(data, REGISTER)?);
        if number(data, OPERATOR)? != EQUAL {
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
        let of = |kind| match self.registers.get(&number(data, kind)?)? {
            Loaded::Data(value) => Some(*value),
            _ => None,
        };
        if number(data, TYPE)? == DESTINATION {
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
        const NAME: u16 = 1;
        const REVISION: u16 = 2;
        const INFO: u16 = 3;
        let name = text(data, NAME)?;
        let extension = Extension {
            name: &name,
            revision: number(data, REVISION)?,
            family: self.family,
            data: attribute(data, INFO)?,
        };
        apply(&mut self.rule, &extension);
        Some(())
    }
}

fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(attribute(bytes, kind)?.try_into().ok()?))
}

fn port(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*value.first_chunk()?))
}
