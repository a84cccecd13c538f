//! The table `filter` of iptables-legacy, read as rules, without executing a program.

use std::net::IpAddr;

use linkspan_protocol::family::Family;

use crate::Error;
use crate::extension::until_nul;
use crate::filter_rule::{COMMENT, FilterRule, FoundFilterRule, Tracked, Verdict, Via, conntrack};
use crate::legacy::{Entry, NatRules};
use crate::port_rule::address;
use crate::xtables;

/// The chain that every table `filter` has for forwarded packets.
pub const FORWARD: &str = "FORWARD";

/// `XT_TABLE_MAXNAMELEN`
const NAME: usize = 32;
/// Offsets in `struct ipt_getinfo`: the start of the chain at `NF_INET_FORWARD`, and its policy.
const BEGIN: usize = NAME + 4 + 2 * 4;
const POLICY: usize = BEGIN + 5 * 4;

/// The table of one family.
#[derive(Debug)]
pub struct LegacyFilter {
    rules: NatRules,
    forward: Option<(usize, usize)>,
    family: Family,
}

/// Offsets in `struct ipt_entry` or `ip6t_entry`.
struct Layout {
    /// Length of an address.
    ip: usize,
    addresses: [usize; 2],
    masks: [usize; 2],
    interfaces: [usize; 2],
    interface_masks: [usize; 2],
    protocol: usize,
    inverted: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        ip: 4,
        addresses: [0, 4],
        masks: [8, 12],
        interfaces: [16, 32],
        interface_masks: [48, 64],
        protocol: 80,
        inverted: 83,
    },
    Layout {
        ip: 16,
        addresses: [0, 16],
        masks: [32, 48],
        interfaces: [64, 80],
        interface_masks: [96, 112],
        protocol: 128,
        inverted: 132,
    },
];

/// `IFNAMSIZ`
const IFNAME: usize = 16;

impl LegacyFilter {
    /// Reads the table; `None` if it was never used.
    pub fn read(family: Family) -> Result<Option<Self>, Error> {
        let table = xtables::used_table("filter", family)?;
        Ok(table.map(|raw| Self::of(&raw.info, raw.entries, family)))
    }

    /// The table of this description (`struct ipt_getinfo`) and these entries.
    pub fn of(info: &[u8], entries: Vec<u8>, family: Family) -> Self {
        Self {
            rules: NatRules::of(entries, family),
            forward: number(info, BEGIN).zip(number(info, POLICY)),
            family,
        }
    }

    /// Returns whether the table has the chain.
    pub fn has_chain(&self, chain: &str) -> bool {
        chain == FORWARD || self.rules.span(chain).is_some()
    }

    /// Returns whether the table has any effect on forwarded packets.
    pub fn is_effective(&self) -> bool {
        let Some((first, end)) = self.forward else {
            return false;
        };
        let policy = self.rules.from(end).next();
        let accepts = policy.and_then(|entry| self.verdict(&entry)) == Some(Verdict::Accept);
        first < end || !accepts
    }

    /// The rules of a chain; none if it is missing.
    pub fn rules(&self, chain: &str) -> Vec<FoundFilterRule> {
        let own = |first: usize, end: usize| {
            self.rules
                .from(first)
                .take_while(move |entry| entry.at < end)
        };
        if chain == FORWARD {
            let Some((first, end)) = self.forward else {
                return Vec::new();
            };
            return own(first, end).map(|entry| self.found(&entry)).collect();
        }
        let Some((first, end)) = self.rules.span(chain) else {
            return Vec::new();
        };
        let entries = own(first, end).filter(|entry| entry.head().is_none());
        let mut found: Vec<_> = entries.map(|entry| self.found(&entry)).collect();
        // The last entry is the return at the end of the chain.
        found.pop();
        found
    }

    fn found(&self, entry: &Entry<'_>) -> FoundFilterRule {
        FoundFilterRule {
            handle: 0,
            rule: self.rule(entry),
        }
    }

    fn rule(&self, entry: &Entry<'_>) -> Option<FilterRule> {
        let [v4, v6] = &LAYOUTS;
        let layout = self.family.pick(v4, v6);
        let mut rule = FilterRule::of(self.verdict(entry)?);
        layout.has_no_protocol(entry.bytes).then_some(())?;
        let FilterRule {
            source,
            destination,
            input,
            output,
            ..
        } = &mut rule;
        for (which, place) in [source, destination].into_iter().enumerate() {
            layout.address(entry.bytes, which, place)?;
        }
        for (which, place) in [input, output].into_iter().enumerate() {
            layout.interface(entry.bytes, which, place)?;
        }
        for extension in self.rules.matches(entry) {
            match extension.name {
                COMMENT => rule.comment = until_nul(extension.data)?,
                conntrack::NAME if extension.revision == conntrack::REVISION => {
                    rule.tracked = Some(Tracked::read(extension.data)?);
                }
                _ => return None,
            }
        }
        Some(rule)
    }

    /// The verdict of a standard target, which has no name.
    fn verdict(&self, entry: &Entry<'_>) -> Option<Verdict> {
        /// `-NF_DROP - 1`, `-NF_ACCEPT - 1` and `XT_RETURN`
        const DROP: i32 = -1;
        const ACCEPT: i32 = -2;
        const RETURN: i32 = -5;
        let target = self.rules.target(entry)?;
        let code = target.data.first_chunk().copied().map(i32::from_ne_bytes)?;
        target.name.is_empty().then_some(())?;
        match code {
            DROP => Some(Verdict::Drop),
            ACCEPT => Some(Verdict::Accept),
            RETURN => Some(Verdict::Return),
            _ => self.rules.jump(&target).map(Verdict::Jump),
        }
    }
}

impl Layout {
    /// Reads the source (0) or the destination (1), if it is one address or any; `None` otherwise.
    fn address(&self, entry: &[u8], which: usize, to: &mut Option<IpAddr>) -> Option<()> {
        /// `IPT_INV_SRCIP`; the next bit is that of the destination.
        const INVERTED: u8 = 0x08;
        let field = |at: &[usize; 2]| {
            let at = *at.get(which)?;
            entry.get(at..at + self.ip)
        };
        let mask = field(&self.masks)?;
        let inverted = self.is_inverted(entry, INVERTED << which)?;
        let is = |bits: u8| mask.iter().all(|byte| *byte == bits);
        if is(u8::MAX) {
            *to = Some(address(field(&self.addresses)?)?);
        }
        (!inverted && (is(0) || is(u8::MAX))).then_some(())
    }

    /// The same for an interface.
    fn interface(&self, entry: &[u8], which: usize, to: &mut Option<Via>) -> Option<()> {
        /// `IPT_INV_VIA_IN`; the next bit is `IPT_INV_VIA_OUT`.
        const INVERTED: u8 = 0x01;
        let field = |at: &[usize; 2]| {
            let at = *at.get(which)?;
            entry.get(at..at + IFNAME)
        };
        let mask = field(&self.interface_masks)?;
        let counts = mask.iter().take_while(|byte| **byte != 0).count();
        if counts == 0 {
            return Some(());
        }
        let name = until_nul(field(&self.interfaces)?)?;
        let inverted = self.is_inverted(entry, INVERTED << which)?;
        // The mask of a whole name covers the final NUL, too.
        let is_whole = counts > name.len();
        *to = Some(Via { name, inverted });
        is_whole.then_some(())
    }

    fn is_inverted(&self, entry: &[u8], bit: u8) -> Option<bool> {
        Some(entry.get(self.inverted)? & bit != 0)
    }

    fn has_no_protocol(&self, entry: &[u8]) -> bool {
        entry.get(self.protocol..self.protocol + 2) == Some(&[0, 0])
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk().copied()?;
    usize::try_from(u32::from_ne_bytes(bytes)).ok()
}
