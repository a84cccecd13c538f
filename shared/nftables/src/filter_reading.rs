//! Reading the rules of `iptables-nft` in its table `filter`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decode::{attribute, attributes, big_endian, rule, text};
use crate::extension::until_nul;
use crate::filter_rule::{COMMENT, FilterRule, FoundFilterRule, Tracked, Verdict, Via, conntrack};
use crate::port_rule::address;

/// Of an answer to `NFT_MSG_GETRULE`.
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

/// A rule, read expression by expression.
struct Reading {
    rule: FilterRule,
    /// Whether its verdict was read, which has to be its last expression.
    decided: bool,
    registers: BTreeMap<u32, Loaded>,
}

impl Reading {
    /// One expression; `None` where it is none of those that a [`FilterRule`] is made of.
    fn take(&mut self, expression: &[u8]) -> Option<()> {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let name = text(expression, NAME)?;
        let data = attribute(expression, DATA).unwrap_or_default();
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
        const REGISTER: u16 = 1;
        const BASE: u16 = 2;
        const OFFSET: u16 = 3;
        const LEN: u16 = 4;
        /// `NFT_PAYLOAD_NETWORK_HEADER`
        const NETWORK: u32 = 1;
        let number = |kind| big_endian(data, kind);
        let loaded = match [BASE, OFFSET, LEN].map(number) {
            [Some(NETWORK), Some(12), Some(4)] | [Some(NETWORK), Some(8), Some(16)] => {
                Loaded::Source
            }
            [Some(NETWORK), Some(16), Some(4)] | [Some(NETWORK), Some(24), Some(16)] => {
                Loaded::Destination
            }
            _ => return None,
        };
        self.registers.insert(number(REGISTER)?, loaded);
        Some(())
    }

    fn meta(&mut self, data: &[u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const KEY: u16 = 2;
        /// `NFT_META_IIFNAME` and `NFT_META_OIFNAME`
        const INPUT: u32 = 6;
        const OUTPUT: u32 = 7;
        let loaded = match big_endian(data, KEY)? {
            INPUT => Loaded::Input,
            OUTPUT => Loaded::Output,
            _ => return None,
        };
        self.registers.insert(big_endian(data, REGISTER)?, loaded);
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        const REGISTER: u16 = 1;
        const OPERATOR: u16 = 2;
        const DATA: u16 = 3;
        const VALUE: u16 = 1;
        /// `NFT_CMP_EQ` and `NFT_CMP_NEQ`
        const EQUAL: u32 = 0;
        const DIFFERENT: u32 = 1;
        let value = attribute(attribute(data, DATA)?, VALUE)?;
        let inverted = match big_endian(data, OPERATOR)? {
            EQUAL => false,
            DIFFERENT => true,
            _ => return None,
        };
        let plain = |ip: Option<IpAddr>| ip.filter(|_| !inverted);
        let via = || {
            // Without the NUL that ends a name it is the beginning of one.
            value.contains(&0).then_some(())?;
            let name = until_nul(value)?;
            Some(Via { name, inverted })
        };
        let rule = &mut self.rule;
        match self.registers.get(&big_endian(data, REGISTER)?)? {
            Loaded::Source => rule.source = Some(plain(address(value))?),
            Loaded::Destination => rule.destination = Some(plain(address(value))?),
            Loaded::Input => rule.input = Some(via()?),
            Loaded::Output => rule.output = Some(via()?),
        }
        Some(())
    }

    fn extension(&mut self, data: &[u8]) -> Option<()> {
        const NAME: u16 = 1;
        const REVISION: u16 = 2;
        const INFO: u16 = 3;
        let revision = big_endian(data, REVISION)?;
        match text(data, NAME)?.as_str() {
            // The rule's comment is read already.
            COMMENT => {}
            conntrack::NAME if revision == conntrack::REVISION => {
                self.rule.tracked = Some(Tracked::read(attribute(data, INFO)?)?);
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
