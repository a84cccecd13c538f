//! The content of nf_tables, of all owners: sets of a table, and everything as lines to compare.

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_netfilter::nftables::{
    ChainMessage, NfTablesMessage, RuleMessage, SetAttribute, SetElementList, SetElementMessage,
    SetMessage, TableMessage,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use nix::errno::Errno;

use crate::datum::{Datum, Fields};
use crate::decode::{attribute, attributes, big_endian, text};
use crate::ruleset::{Set, Table};
use crate::socket::Netfilter;
use crate::{Error, encode};

/// A set or map found in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSet {
    /// Name.
    pub name: String,
    /// Types of the key's fields; `None` if a field has no [`Datum`].
    pub key: Option<Vec<Datum>>,
    /// Bytes of a key.
    pub key_len: u32,
    /// Types of the value's fields, empty for a set; `None` if a field has no [`Datum`].
    pub value: Option<Vec<Datum>>,
    /// `NFT_SET_*`
    pub flags: u32,
}

impl FoundSet {
    /// Returns whether it equals `set` in name, flags and types.
    pub fn is(&self, set: &Set) -> bool {
        self.name == set.name
            && self.flags == encode::flags(set).bits()
            && self.has_key(set.key)
            && self.has_value(set.value)
    }

    /// Returns whether its key has these types.
    pub fn has_key(&self, key: &[Datum]) -> bool {
        self.key.as_deref() == Some(key)
    }

    /// Returns whether its values have these types, none for a set.
    pub fn has_value(&self, value: &[Datum]) -> bool {
        self.value.as_deref() == Some(value)
    }
}

impl Fields {
    /// The bytes in nf_tables' layout.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Attributes of a set (`NFTA_SET_*`).
mod set {
    pub(super) const TABLE: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const KEY_TYPE: u16 = 4;
    pub(super) const KEY_LEN: u16 = 5;
    pub(super) const VALUE_TYPE: u16 = 6;
    pub(super) const HANDLE: u16 = 16;
    pub(super) const COUNT: u16 = 20;
}

impl Netfilter {
    /// The sets and maps of a table; none if the table is missing.
    pub fn sets(&self, table: Table) -> Result<Vec<FoundSet>, Error> {
        let of_table = vec![SetAttribute::Table(table.name.to_owned())];
        let request = NfTablesMessage::GetSet(SetMessage {
            attributes: of_table,
        });
        let attempt = ("list the sets of", &*table.to_string());
        let read = |object: &[u8]| {
            let is_own = text(object, set::TABLE)? == table.name;
            is_own.then(|| found_set(object))?
        };
        self.list(attempt, table.family, request, read)
    }

    /// Everything in nf_tables except counters and handles: a line for each table, chain, set, rule and element, with
    /// its raw bytes. Two listings are equal if `nft -s list ruleset` would print the same.
    ///
    /// A listing counts once two in a row are equal, as in [`Netfilter::elements`].
    pub fn everything(&self) -> Result<Vec<String>, Error> {
        const ATTEMPTS: usize = 20;
        let mut found = self.everything_once()?;
        for _ in 0..ATTEMPTS {
            let again = self.everything_once()?;
            if again == found {
                return Ok(found);
            }
            found = again;
        }
        Err(Error::new("list", "nf_tables", Errno::EINTR as i32))
    }

    fn everything_once(&self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for (family, name) in FAMILIES {
            for kind in &KINDS {
                let read = |object: &[u8]| Some(kind.line(name, object));
                lines.extend(self.dump(family, (kind.request)(), read)?);
            }
            let read = |object: &[u8]| Some((text(object, set::TABLE)?, text(object, set::NAME)?));
            for (table, set) in self.dump(family, any_set(), read)? {
                let request = any_element(&table, &set);
                let read = |object: &[u8]| Some(element_lines(object));
                let mut elements = self.dump(family, request, read)?.concat();
                elements.sort();
                elements.dedup();
                let line = |element| format!("element {name} {table} {set} {element}");
                lines.extend(elements.into_iter().map(line));
            }
        }
        Ok(lines)
    }

    fn dump<T>(
        &self,
        family: NetfilterProtoFamily,
        request: NfTablesMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), request);
        self.ask(("list", "nf_tables"), NLM_F_DUMP, message, read)
    }
}

fn found_set(object: &[u8]) -> Option<FoundSet> {
    let number = |kind| big_endian(object, kind);
    Some(FoundSet {
        name: text(object, set::NAME)?,
        key: data(number(set::KEY_TYPE)?),
        key_len: number(set::KEY_LEN)?,
        value: data(number(set::VALUE_TYPE).unwrap_or_default()),
        flags: number(set::FLAGS).unwrap_or_default(),
    })
}

/// The types of the fields in a type's number, six bits for each.
fn data(mut number: u32) -> Option<Vec<Datum>> {
    const BITS: u32 = 6;
    let mut fields = Vec::new();
    while number > 0 {
        let last = number & ((1 << BITS) - 1);
        fields.push(*Datum::ALL.iter().find(|datum| datum.number() == last)?);
        number >>= BITS;
    }
    fields.reverse();
    Some(fields)
}

const FAMILIES: [(NetfilterProtoFamily, &str); 6] = [
    (NetfilterProtoFamily::Inet, "inet"),
    (NetfilterProtoFamily::IPv4, "ip"),
    (NetfilterProtoFamily::IPv6, "ip6"),
    (NetfilterProtoFamily::ARP, "arp"),
    (NetfilterProtoFamily::Bridge, "bridge"),
    (NetfilterProtoFamily::NetDev, "netdev"),
];

/// A kind of object, and its conversion to a line.
struct Kind {
    word: &'static str,
    request: fn() -> NfTablesMessage,
    /// Attributes that are names.
    names: &'static [u16],
    /// Counters and handles, which change although the object does not.
    counted: &'static [u16],
}

/// The numbers are `NFTA_TABLE_*`, `NFTA_CHAIN_*`, `NFTA_SET_*` and `NFTA_RULE_*`.
const KINDS: [Kind; 4] = [
    Kind {
        word: "table",
        request: || NfTablesMessage::GetTable(TableMessage { attributes: vec![] }),
        names: &[1],
        counted: &[3, 4],
    },
    Kind {
        word: "chain",
        request: || NfTablesMessage::GetChain(ChainMessage { attributes: vec![] }),
        names: &[1, 3],
        counted: &[2, 6, 8],
    },
    Kind {
        word: "set",
        request: any_set,
        names: &[set::TABLE, set::NAME],
        counted: &[set::HANDLE, set::COUNT],
    },
    Kind {
        word: "rule",
        request: || NfTablesMessage::GetRule(RuleMessage { attributes: vec![] }),
        names: &[1, 2],
        counted: &[3, 6],
    },
];

/// `NFTA_RULE_EXPRESSIONS`; no other kind has a nested attribute with this number.
const RULE_EXPRESSIONS: u16 = 4;

impl Kind {
    fn line(&self, family: &str, object: &[u8]) -> String {
        let mut line = format!("{} {family}", self.word);
        for name in self.names {
            let name = text(object, *name).unwrap_or_default();
            line.extend([" ", &name]);
        }
        for (kind, value) in attributes(object) {
            if self.names.contains(&kind) || self.counted.contains(&kind) {
                continue;
            }
            if self.word == "rule" && kind == RULE_EXPRESSIONS {
                line.extend(attributes(value).map(|(_, item)| expression(item)));
            } else {
                line.push_str(&told(kind, value));
            }
        }
        line
    }
}

fn any_set() -> NfTablesMessage {
    NfTablesMessage::GetSet(SetMessage { attributes: vec![] })
}

fn any_element(table: &str, set: &str) -> NfTablesMessage {
    NfTablesMessage::GetSetElement(SetElementMessage {
        attributes: vec![
            SetElementList::Table(table.to_owned()),
            SetElementList::Set(set.to_owned()),
        ],
    })
}

/// The elements of one message, without their remaining time.
fn element_lines(object: &[u8]) -> Vec<String> {
    const ELEMENTS: u16 = 3;
    const EXPIRATION: u16 = 5;
    const EXPRESSION: u16 = 7;
    const EXPRESSIONS: u16 = 11;
    let line = |item| {
        let parts = attributes(item).map(|(kind, value)| match kind {
            EXPIRATION => String::new(),
            EXPRESSION => expression(value),
            EXPRESSIONS => attributes(value).map(|(_, one)| expression(one)).collect(),
            _ => told(kind, value),
        });
        parts.collect()
    };
    let list = attribute(object, ELEMENTS).unwrap_or_default();
    attributes(list).map(|(_, item)| line(item)).collect()
}

/// An expression's name and bytes. Leaves out the bytes of counters.
fn expression(item: &[u8]) -> String {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let name = text(item, NAME).unwrap_or_default();
    let data = match &*name {
        "counter" | "last" | "quota" => &[],
        _ => attribute(item, DATA).unwrap_or_default(),
    };
    format!(" [{name}{}]", hex(data))
}

fn told(kind: u16, value: &[u8]) -> String {
    format!(" {kind}{}", hex(value))
}

/// The bytes in hexadecimal, after a colon.
fn hex(bytes: &[u8]) -> String {
    let digits = |half: u8| char::from_digit(half.into(), 16);
    let each = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    [':'].into_iter().chain(each.filter_map(digits)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_taken_apart_and_an_unknown_one_is_told_apart_from_none() {
        let concatenated = (12 << 12) | (13 << 6) | 7;
        let fields = vec![Datum::Protocol, Datum::Port, Datum::Ipv4];
        assert_eq!(data(concatenated), Some(fields));
        assert_eq!(data(0), Some(vec![]));
        assert_eq!(data((12 << 6) | 63), None);
    }
}
