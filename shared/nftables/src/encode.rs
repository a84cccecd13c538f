//! Encoding of netlink messages.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, Nla};
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook as HookAttribute, HookNumber, InetHookNumber,
    ListAttribute, RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetElementAttribute,
    SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use crate::datum::{Datum, Fields};
use crate::expr::number;
use crate::ruleset::{Chain, Element, Hook, Rule, Set, Table, TableFamily};
use crate::userdata::UserData;

/// Types of userdata (libnftnl's udata.h).
pub(crate) mod udata {
    pub(crate) const TABLE_COMMENT: u8 = 0;
    pub(crate) const CHAIN_COMMENT: u8 = 0;
    pub(crate) const SET_KEY_ORDER: u8 = 0;
    pub(crate) const SET_VALUE_ORDER: u8 = 1;
    pub(crate) const ELEMENT_COMMENT: u8 = 0;
    pub(crate) const RULE_COMMENT: u8 = 0;
    /// Our own types, from a range that libnftnl does not use.
    pub(crate) const ELEMENT_RECORD: u8 = 200;
    pub(crate) const ELEMENT_SUPPLEMENT: u8 = 201;
}

pub(crate) fn family(family: TableFamily) -> NetfilterProtoFamily {
    match family {
        TableFamily::Inet => NetfilterProtoFamily::Inet,
        TableFamily::Ip => NetfilterProtoFamily::IPv4,
        TableFamily::Ip6 => NetfilterProtoFamily::IPv6,
        TableFamily::Bridge => NetfilterProtoFamily::Bridge,
    }
}

pub(crate) fn table(table: Table, comment: &str) -> TableMessage {
    let mut userdata = UserData::default();
    userdata.push_text(udata::TABLE_COMMENT, comment);
    TableMessage {
        attributes: vec![
            TableAttribute::Name(table.name.to_owned()),
            TableAttribute::UserData(userdata.into_bytes()),
        ],
    }
}

/// A chain's name, without settings.
pub(crate) fn chain_name(table: Table, name: &str) -> ChainMessage {
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table.name.to_owned()),
            ChainAttribute::Name(name.to_owned()),
        ],
    }
}

pub(crate) fn chain(table: Table, chain: &Chain) -> ChainMessage {
    let ChainMessage { mut attributes } = chain_name(table, chain.name);
    if !chain.comment.is_empty() {
        let mut userdata = UserData::default();
        userdata.push_text(udata::CHAIN_COMMENT, chain.comment);
        attributes.push(ChainAttribute::UserData(userdata.into_bytes()));
    }
    if let Some(base) = chain.base {
        let hook = match base.hook {
            Hook::Prerouting => InetHookNumber::PreRouting,
            Hook::Input => InetHookNumber::LocalIn,
            Hook::Forward => InetHookNumber::Forward,
            Hook::Output => InetHookNumber::LocalOut,
            Hook::Postrouting => InetHookNumber::PostRouting,
        };
        attributes.push(ChainAttribute::Type(base.kind.name().to_owned()));
        attributes.push(ChainAttribute::Hook(vec![
            HookAttribute::Number(HookNumber::Inet(hook)),
            HookAttribute::Priority(base.priority.cast_unsigned()),
        ]));
    }
    ChainMessage { attributes }
}

pub(crate) fn rule(table: Table, chain: &str, rule: &Rule) -> RuleMessage {
    let exprs = rule.exprs.iter().map(|expr| expr.0.clone()).collect();
    let mut message = any_rule(table, chain);
    message.attributes.push(RuleAttribute::Expressions(exprs));
    message
}

/// A match of every rule of the chain.
pub(crate) fn any_rule(table: Table, chain: &str) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(table.name.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
        ],
    }
}

/// The flags of the set.
pub(crate) fn flags(set: &Set) -> SetFlags {
    let mut flags = SetFlags::empty();
    flags.set(SetFlags::Map, !set.value.is_empty());
    flags.set(SetFlags::Interval, set.interval);
    flags.set(SetFlags::Timeout, set.timeout);
    flags.set(SetFlags::Concat, set.interval && set.key.len() > 1);
    flags
}

/// `id` distinguishes the sets of one batch.
pub(crate) fn set(table: Table, set: &Set, id: u32) -> SetMessage {
    let flags = flags(set);
    let mut userdata = UserData::default();
    userdata.push(udata::SET_KEY_ORDER, &byte_order(set.key));
    let mut attributes = vec![
        SetAttribute::Table(table.name.to_owned()),
        SetAttribute::Name(set.name.to_owned()),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(type_of(set.key)),
        SetAttribute::KeyLen(size_of(set.key)),
        SetAttribute::Id(id),
    ];
    if !set.value.is_empty() {
        attributes.push(SetAttribute::DataType(type_of(set.value)));
        attributes.push(SetAttribute::DataLen(size_of(set.value)));
        userdata.push(udata::SET_VALUE_ORDER, &byte_order(set.value));
    }
    if flags.contains(SetFlags::Concat) {
        let fields =
            SetDescription::Concat(set.key.iter().map(|datum| field_len(*datum)).collect());
        attributes.push(SetAttribute::Description(vec![fields]));
    }
    attributes.push(SetAttribute::UserData(userdata.into_bytes()));
    SetMessage { attributes }
}

/// A set's name, without settings.
pub(crate) fn set_name(table: Table, name: &str) -> SetMessage {
    SetMessage {
        attributes: vec![
            SetAttribute::Table(table.name.to_owned()),
            SetAttribute::Name(name.to_owned()),
        ],
    }
}

/// The length of a field, for sets of ranges per field (`NFTA_SET_FIELD_LEN` in a list).
fn field_len(datum: Datum) -> DefaultNla {
    const LIST_ELEMENT: u16 = 1;
    const FIELD_LEN: u16 = 1;
    nested(LIST_ELEMENT, &[number(FIELD_LEN, datum.size())])
}

/// An attribute with nested ones.
pub(crate) fn nested<T: Nla>(kind: u16, parts: &[T]) -> DefaultNla {
    let mut value = vec![0; parts.buffer_len()];
    parts.emit(&mut value);
    DefaultNla::new(kind | NLA_F_NESTED, value)
}

/// The type's number: the field's own, or six bits for each field of a concatenation.
pub(crate) fn type_of(fields: &[Datum]) -> u32 {
    const BITS: u32 = 6;
    fields
        .iter()
        .fold(0, |sum, datum| (sum << BITS) | datum.number())
}

fn size_of(fields: &[Datum]) -> u32 {
    fields.iter().map(|datum| datum.size()).sum()
}

/// nft's byte order of the type, as a number in host order: 1 is host order, 2 network order, 0 a concatenation.
fn byte_order(fields: &[Datum]) -> [u8; 4] {
    let order: u32 = match fields {
        [one] if one.is_of_this_machine() => 1,
        [_one] => 2,
        _ => 0,
    };
    order.to_ne_bytes()
}

pub(crate) fn elements(table: Table, set: &str, elements: &[Element]) -> SetElementMessage {
    listed(
        table,
        set,
        elements.iter().map(|element| {
            let mut attributes = key(element);
            let value = element.value.as_ref();
            attributes.extend(value.map(|value| SetElementAttribute::Data(data(value))));
            if element.timeout > 0 {
                attributes.push(SetElementAttribute::Timeout(element.timeout));
            }
            let mut userdata = UserData::default();
            if !element.comment.is_empty() {
                userdata.push_text(udata::ELEMENT_COMMENT, &element.comment);
            }
            if !element.record.is_empty() {
                // The record is dropped where there is no room; see `Element::record`.
                userdata.push(udata::ELEMENT_RECORD, &element.record);
            }
            if !element.supplement.is_empty() {
                userdata.push(udata::ELEMENT_SUPPLEMENT, &element.supplement);
            }
            let userdata = userdata.into_bytes();
            if !userdata.is_empty() {
                attributes.push(SetElementAttribute::UserData(userdata));
            }
            attributes
        }),
    )
}

/// The elements' keys, for a deletion or a lookup.
pub(crate) fn keys(table: Table, set: &str, elements: &[Element]) -> SetElementMessage {
    listed(table, set, elements.iter().map(key))
}

/// All elements, for a dump.
pub(crate) fn any_element(table: Table, set: &str) -> SetElementMessage {
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(table.name.to_owned()),
            SetElementList::Set(set.to_owned()),
        ],
    }
}

fn listed(
    table: Table,
    set: &str,
    elements: impl Iterator<Item = Vec<SetElementAttribute>>,
) -> SetElementMessage {
    let mut message = any_element(table, set);
    let elements = elements.map(|attributes| whole(&attributes)).collect();
    message.attributes.push(SetElementList::Elements(elements));
    message
}

/// An element in its final form. As attributes, it would be measured anew for each level of the message around it.
fn whole(attributes: &[SetElementAttribute]) -> ListAttribute<SetElementAttribute> {
    /// `NFTA_LIST_ELEM`
    const ELEMENT: u16 = 1;
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    ListAttribute::Other(DefaultNla::new(ELEMENT | NLA_F_NESTED, bytes))
}

fn key(element: &Element) -> Vec<SetElementAttribute> {
    const VALUE: u16 = 1;
    let mut attributes = vec![SetElementAttribute::Key(data(&element.key))];
    if let Some(end) = &element.key_end {
        let end = DefaultNla::new(VALUE, end.0.clone());
        attributes.push(SetElementAttribute::KeyEnd(vec![end]));
    }
    attributes
}

fn data(fields: &Fields) -> DataAttribute {
    DataAttribute::Value(fields.0.clone())
}
