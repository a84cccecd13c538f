//! Reading the rules of `iptables-nft` in its table `filter`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decode::{attribute, attributes, big_endian, rule, text};
use crate::expression::{self, Comparison, DIFFERENT, EQUAL, NETWORK, Payload, parts};
use crate::extension::until_nul;
use crate::filter_rule::{COMMENT, FilterRule, FoundFilterRule, Tracked, Verdict, Via, conntrack};
use crate::port_rule::address;

/// Decodes a reply to `NFT_MSG_GETRULE`.
pub fn decode(object: &[u8]) -> Option<FoundFilterRule> {
    const EXPRESSIONS: u16 = 4;
    let found = rule(object)?;
    let mut reading = Reading {
        rule: FilterRule {
            comment: found.comment,
            ..FilterRule::of(Verdict::Return)
        },
        decided: false,
        registers: BTreeMap::new(),
    };
    let list = attribute(object, EXPRESSIONS).unwrap_or_default();
    let understood = attributes(list).all(|(_, one)| reading.take(one).is_some());
    Some(FoundFilterRule {
        handle: found.handle,
        rule: (understood && reading.decided).then_some(reading.rule),
    })
}

#[derive(Debug, Clone, Copy)]
enum Loaded {
    Source,
    Destination,
    Input,
    Output,
}

/// A rule while its expressions are read.
struct Reading {
    rule: FilterRule,
    /// Whether the verdict was read. It must be the last expression.
    decided: bool,
    registers: BTreeMap<u32, Loaded>,
}

impl Reading {
    /// Reads one expression; `None` if a [`FilterRule`] has no such expression.
    fn take(&mut self, expression: &[u8]) -> Option<()> {
        let (name, data) = parts(expression)?;
        if self.decided {
            return None;
        }
        match name.as_str() {
            "payload" => self.payload(data),
            "meta" => self.meta(data),
            "cmp" => self.compare(data),
            "match" => self.extension(data),
            "counter" => Some(()),
            "immediate" => self.verdict(data),
            _ => None,
        }
    }

    fn payload(&mut self, data: &[u8]) -> Option<()> {
        let payload = Payload::read(data);
        let loaded = match payload.field? {
            (NETWORK, 12, 4) | (NETWORK, 8, 16) => Loaded::Source,
            (NETWORK, 16, 4) | (NETWORK, 24, 16) => Loaded::Destination,
            _ => return None,
        };
        self.registers.insert(payload.register?, loaded);
        Some(())
    }

    fn meta(&mut self, data: &[u8]) -> Option<()> {
        /// `NFT_META_IIFNAME` and `NFT_META_OIFNAME`
        const INPUT: u32 = 6;
        const OUTPUT: u32 = 7;
        let (register, key) = expression::meta(data)?;
        let loaded = match key {
            INPUT => Loaded::Input,
            OUTPUT => Loaded::Output,
            _ => return None,
        };
        self.registers.insert(register, loaded);
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        let Comparison {
            register,
            operator,
            value,
        } = Comparison::read(data)?;
        let inverted = match operator {
            EQUAL => false,
            DIFFERENT => true,
            _ => return None,
        };
        let plain = |ip: Option<IpAddr>| ip.filter(|_| !inverted);
        let via = || {
            // A name without its final NUL is only a prefix.
            value.contains(&0).then_some(())?;
            let name = until_nul(value)?;
            Some(Via { name, inverted })
        };
        let rule = &mut self.rule;
        match self.registers.get(&register)? {
            Loaded::Source => rule.source = Some(plain(address(value))?),
            Loaded::Destination => rule.destination = Some(plain(address(value))?),
            Loaded::Input => rule.input = Some(via()?),
            Loaded::Output => rule.output = Some(via()?),
        }
        Some(())
    }

    fn extension(&mut self, data: &[u8]) -> Option<()> {
        let (name, revision, data) = expression::extension(data)?;
        match name.as_str() {
            // The rule's comment has been read already.
            COMMENT => {}
            conntrack::NAME if revision == conntrack::REVISION => {
                self.rule.tracked = Some(Tracked::read(data?)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn verdict(&mut self, data: &[u8]) -> Option<()> {
        const DATA: u16 = 2;
        const VERDICT: u16 = 2;
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        /// `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP` and `NFT_RETURN`
        const DROP: i32 = 0;
        const ACCEPT: i32 = 1;
        const JUMP: i32 = -3;
        const RETURN: i32 = -5;
        let verdict = attribute(attribute(data, DATA)?, VERDICT)?;
        self.rule.verdict = match big_endian(verdict, CODE)?.cast_signed() {
            DROP => Verdict::Drop,
            ACCEPT => Verdict::Accept,
            RETURN => Verdict::Return,
            JUMP => Verdict::Jump(text(verdict, CHAIN)?),
            _ => return None,
        };
        self.decided = true;
        Some(())
    }
}
