//! The table `nat` of iptables-legacy, read as rules about ports, without executing a program.

use std::net::IpAddr;

use linkspan_protocol::family::Family;

use crate::Error;
use crate::extension::{Extension, until_nul};
use crate::port_rule::{PortRule, address};
use crate::xtables;

/// Header of a match and of a target (`struct xt_entry_match`): size, name, revision.
const EXTENSION: usize = 32;

/// Offsets in `struct ipt_entry` or `ip6t_entry`.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Length of an address.
    ip: usize,
    destination: usize,
    mask: usize,
    protocol: usize,
    /// `XT_INV_PROTO` and `IPT_INV_DSTIP`
    inverted: usize,
    target_offset: usize,
    next_offset: usize,
    matches: usize,
}

const IPV4: Layout = Layout {
    ip: 4,
    destination: 4,
    mask: 12,
    protocol: 80,
    inverted: 83,
    target_offset: 88,
    next_offset: 90,
    matches: counters(96) + 16,
};

const IPV6: Layout = Layout {
    ip: 16,
    destination: 16,
    mask: 48,
    protocol: 128,
    inverted: 132,
    target_offset: 140,
    next_offset: 142,
    matches: counters(148) + 16,
};

/// The offset of the counters after a member that ends at `end`.
const fn counters(end: usize) -> usize {
    end.next_multiple_of(align_of::<u64>())
}

/// The table of one family.
#[derive(Debug)]
pub struct NatRules {
    entries: Vec<u8>,
    family: Family,
    chains: Vec<Chain>,
}

/// A chain's name, and the offsets of its rules.
#[derive(Debug)]
struct Chain {
    name: String,
    first: usize,
    end: usize,
}

impl NatRules {
    /// Reads the table; `None` if it was never used.
    pub fn read(family: Family) -> Result<Option<Self>, Error> {
        let entries = xtables::nat_entries(family)?;
        Ok(entries.map(|entries| Self::of(entries, family)))
    }

    /// Decodes the table's entries.
    pub fn of(entries: Vec<u8>, family: Family) -> Self {
        let mut table = Self {
            entries,
            family,
            chains: Vec::new(),
        };
        let mut chains: Vec<Chain> = Vec::new();
        for entry in table.from(0) {
            let name = entry.head().unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            if let Some(before) = chains.last_mut() {
                before.end = entry.at;
            }
            let first = entry.at + entry.bytes.len();
            let end = table.entries.len();
            chains.push(Chain { name, first, end });
        }
        table.chains = chains;
        table
    }

    /// The rules of a user-defined chain, reduced to ports; none if the chain is missing.
    pub fn rules(&self, chain: &str) -> Vec<PortRule> {
        let Some((first, end)) = self.span(chain) else {
            return Vec::new();
        };
        self.from(first)
            .take_while(|entry| entry.at < end)
            .map(|entry| self.rule(&entry))
            .collect()
    }

    /// The names of its chains, without those of the kernel's hooks.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &str> {
        self.chains.iter().map(|chain| chain.name.as_str())
    }

    fn layout(&self) -> Layout {
        self.family.pick(IPV4, IPV6)
    }

    /// The entries from an offset on, up to the first truncated one.
    pub(crate) fn from(&self, offset: usize) -> impl Iterator<Item = Entry<'_>> {
        let layout = self.layout();
        let mut at = offset;
        std::iter::from_fn(move || {
            let rest = self.entries.get(at..)?;
            let len = usize::from(short(rest, layout.next_offset)?);
            let bytes = rest.get(..len)?;
            let target = bytes.get(usize::from(short(bytes, layout.target_offset)?)..)?;
            let entry = Entry { at, bytes, target };
            at += len.max(layout.matches);
            Some(entry)
        })
    }

    fn rule(&self, entry: &Entry<'_>) -> PortRule {
        let layout = self.layout();
        let mut rule = PortRule {
            protocol: entry.protocol(layout),
            destination: entry.destination(layout),
            ..PortRule::default()
        };
        for extension in self.matches(entry) {
            extension.narrow(&mut rule);
        }
        if let Some(target) = self.target(entry) {
            target.translate(&mut rule);
            rule.jump = self.jump(&target);
        }
        rule
    }

    /// The range of a user-defined chain's rules.
    pub(crate) fn span(&self, chain: &str) -> Option<(usize, usize)> {
        let found = self.chains.iter().find(|known| known.name == chain)?;
        Some((found.first, found.end))
    }

    /// The matches of an entry.
    pub(crate) fn matches<'a>(&self, entry: &Entry<'a>) -> Vec<Extension<'a>> {
        let matches = entry.bytes.len() - entry.target.len();
        let own = entry.bytes.get(self.layout().matches..matches);
        let (mut found, mut rest) = (Vec::new(), own.unwrap_or_default());
        while let Some((extension, next)) = self.extension(rest) {
            found.push(extension);
            rest = next;
        }
        found
    }

    /// The target of an entry.
    pub(crate) fn target<'a>(&self, entry: &Entry<'a>) -> Option<Extension<'a>> {
        self.extension(entry.target).map(|(target, _)| target)
    }

    /// The target chain of a standard target, which has an empty name.
    pub(crate) fn jump(&self, target: &Extension<'_>) -> Option<String> {
        let verdict = target.data.first_chunk().copied().map(i32::from_ne_bytes)?;
        let first = usize::try_from(verdict).ok()?;
        let chain = self.chains.iter().find(|chain| chain.first == first)?;
        target.name.is_empty().then(|| chain.name.clone())
    }

    /// The first extension, and the bytes after it.
    fn extension<'a>(&self, bytes: &'a [u8]) -> Option<(Extension<'a>, &'a [u8])> {
        const NAME: usize = 2;
        let len = usize::from(short(bytes, 0)?);
        let data = bytes.get(EXTENSION..len)?;
        let name = bytes.get(NAME..EXTENSION - 1)?;
        let name = name.split(|byte| *byte == 0).next()?;
        let extension = Extension {
            name: std::str::from_utf8(name).unwrap_or("?"),
            revision: u32::from(*bytes.get(EXTENSION - 1)?),
            family: self.family,
            data,
        };
        Some((extension, bytes.get(len..)?))
    }
}

/// One entry, from its offset on.
pub(crate) struct Entry<'a> {
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
    target: &'a [u8],
}

impl Entry<'_> {
    /// The name of the chain that starts here. The table's last entry looks like a chain named `ERROR`.
    pub(crate) fn head(&self) -> Option<String> {
        let is_head = self.target.get(2..8)? == b"ERROR\0";
        is_head.then(|| until_nul(self.target.get(EXTENSION..)?))?
    }

    fn protocol(&self, layout: Layout) -> Option<u8> {
        const INVERTED: u8 = 0x40;
        let protocol = short(self.bytes, layout.protocol)?;
        let plain = self.bytes.get(layout.inverted)? & INVERTED == 0;
        let protocol = u8::try_from(protocol).ok()?;
        (plain && protocol > 0).then_some(protocol)
    }

    fn destination(&self, layout: Layout) -> Option<IpAddr> {
        const INVERTED: u8 = 0x10;
        let field = |at: usize| self.bytes.get(at..at + layout.ip);
        let plain = self.bytes.get(layout.inverted)? & INVERTED == 0;
        let whole = field(layout.mask)?.iter().all(|byte| *byte == u8::MAX);
        let ip = address(field(layout.destination)?)?;
        (plain && whole).then_some(ip)
    }
}

/// Two bytes in host byte order.
fn short(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}
