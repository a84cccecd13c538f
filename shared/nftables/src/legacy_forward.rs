//! The chain FORWARD of `iptables-legacy`: the fate of packets that no rule accepts.

use std::fs;

use linkspan_protocol::family::Family;

use crate::Error;
use crate::xtables;

/// `XT_TABLE_MAXNAMELEN`
const NAME: usize = 32;
/// Offsets in `struct ipt_getinfo`: the start of the chain at `NF_INET_FORWARD`, and its policy.
const BEGIN: usize = NAME + 4 + 2 * 4;
const POLICY: usize = BEGIN + 5 * 4;

/// Verdicts of a standard target: `-NF_DROP - 1` and `-NF_ACCEPT - 1`; values from 0 on jump to the chain at that
/// offset.
const DROP: i32 = -1;
const ACCEPT: i32 = -2;

/// The chain FORWARD of the table `filter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegacyForward {
    /// As [`crate::forward::ForwardChain::drops`].
    pub drops: bool,
    /// As [`crate::forward::ForwardChain::passes`].
    pub passes: Vec<String>,
    /// User-defined chains of the table.
    pub chains: Vec<String>,
}

impl LegacyForward {
    /// Reads the chain of one family; `None` if the table was never used: reading would make the kernel create it.
    pub fn read(family: Family) -> Result<Option<Self>, Error> {
        if !is_used(family) {
            return Ok(None);
        }
        let failed = |errno| Error::new("read", "table filter", errno as i32);
        let table = xtables::table("filter", family, |_| true).map_err(failed)?;
        Ok(table.and_then(|table| Self::decode(&table.info, &table.entries, family)))
    }

    /// Decodes `struct ipt_getinfo` (or the IPv6 one) and its entries; `None` if they do not fit.
    pub fn decode(info: &[u8], entries: &[u8], family: Family) -> Option<Self> {
        let begin = number(info, BEGIN)?;
        let end = number(info, POLICY)?;
        let mut forward = Self::default();
        let (mut at, mut last) = (0, None);
        while let Some(entry) = Entry::at(entries, at, family) {
            if at == end {
                forward.drops = entry.verdict() == Some(DROP) || last.is_some_and(drops_all);
            }
            forward.passes.extend(entry.passes());
            forward.chains.extend(entry.heads());
            last = (at >= begin).then_some(entry);
            at += entry.next;
        }
        Some(forward)
    }
}

fn drops_all(entry: Entry<'_>) -> bool {
    let refuses = entry.target_name() == Some("REJECT") || entry.verdict() == Some(DROP);
    refuses && entry.has_no_condition()
}

/// `struct ipt_entry` or `struct ip6t_entry`, with its target.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    bytes: &'a [u8],
    target: &'a [u8],
    /// Whether matches come before the target.
    has_matches: bool,
    next: usize,
    layout: &'static Layout,
}

/// Offsets of an entry's members.
#[derive(Debug)]
struct Layout {
    /// Name of the incoming interface, and its mask.
    incoming: usize,
    mask: usize,
    /// Flags of inverted conditions, after all other conditions.
    inverted: usize,
    /// Offset of the target, then of the next entry.
    distances: usize,
    /// Size of an entry without its matches.
    size: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        incoming: 16,
        mask: 48,
        inverted: 83,
        distances: 88,
        size: 112,
    },
    Layout {
        incoming: 64,
        mask: 96,
        inverted: 132,
        distances: 140,
        size: 168,
    },
];

/// `struct xt_entry_target` before its own data: size, name, revision.
const TARGET: usize = 32;

/// `IFNAMSIZ`
const IFNAME: usize = 16;

impl<'a> Entry<'a> {
    fn at(entries: &'a [u8], at: usize, family: Family) -> Option<Self> {
        let [v4, v6] = &LAYOUTS;
        let layout = family.pick(v4, v6);
        let bytes = entries.get(at..)?;
        let distance = |at| Some(usize::from(u16::from_ne_bytes(part(bytes, at)?)));
        let (to, next) = (distance(layout.distances)?, distance(layout.distances + 2)?);
        let target = bytes.get(to..next).filter(|_| to >= layout.size)?;
        Some(Self {
            bytes,
            target,
            has_matches: to > layout.size,
            next,
            layout,
        })
    }

    /// The target's name; empty for a standard target.
    fn target_name(&self) -> Option<&'a str> {
        word(self.target, 2)
    }

    fn verdict(&self) -> Option<i32> {
        self.target_name().filter(|name| name.is_empty())?;
        Some(i32::from_ne_bytes(part(self.target, TARGET)?))
    }

    fn has_no_condition(&self) -> bool {
        let own = self.bytes.get(..=self.layout.inverted);
        !self.has_matches && own.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// The interface whose packets the entry accepts or sends on.
    fn passes(&self) -> Option<String> {
        /// `IPT_INV_VIA_IN`
        const NOT_INCOMING: u8 = 1;
        let goes_on = |verdict: &i32| *verdict == ACCEPT || *verdict >= 0;
        self.verdict().filter(goes_on)?;
        let inverted = self.bytes.get(self.layout.inverted)?;
        if inverted & NOT_INCOMING != 0 {
            return None;
        }
        let name = word(self.bytes, self.layout.incoming)?;
        let mask: [u8; IFNAME] = part(self.bytes, self.layout.mask)?;
        let counts = mask.iter().take_while(|byte| **byte != 0).count();
        match counts {
            0 => None,
            // The mask covers the final NUL, too.
            _ if counts > name.len() => Some(name.to_owned()),
            // In `iptables` a final plus matches any suffix, and lies outside the mask.
            _ => Some(format!("{}*", name.get(..counts)?)),
        }
    }

    /// The chain that starts here: its target is named ERROR and holds the chain's name. The end of the table looks the
    /// same, with a meaningless name.
    fn heads(&self) -> Option<String> {
        self.target_name().filter(|name| *name == "ERROR")?;
        word(self.target, TARGET).map(str::to_owned)
    }
}

fn is_used(family: Family) -> bool {
    let names = family.pick(
        "/proc/self/net/ip_tables_names",
        "/proc/self/net/ip6_tables_names",
    );
    // The file is missing without kernel support, and unreadable for the root of a foreign user namespace.
    let names = fs::read_to_string(names).unwrap_or_default();
    names.lines().any(|name| name == "filter")
}

/// The text before a NUL.
fn word(bytes: &[u8], at: usize) -> Option<&str> {
    let text = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_ne_bytes(part(bytes, at)?)).ok()
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
