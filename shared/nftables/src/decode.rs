//! Decoding of netlink messages.
//!
//! This module walks the attributes itself. The parser of `netlink-packet-netfilter` 0.4 formats the whole list for an
//! unused error, once per element: 1.3 s for 3,000 elements, against 2 ms for the dump.

use netlink_packet_core::{
    ErrorBuffer, ErrorMessage, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator, Parseable,
};

use crate::Error;
use crate::datum::Fields;
use crate::encode::udata;
use crate::found::{FoundChain, FoundRule};
use crate::ruleset::Element;
use crate::userdata::{find, find_text};

/// One message of a reply.
#[derive(Debug)]
pub struct Message<'a> {
    /// Its flags.
    pub flags: u16,
    /// The sequence number of the request.
    pub number: u32,
    /// Its content.
    pub body: Body<'a>,
}

/// The content of a message.
#[derive(Debug)]
pub enum Body<'a> {
    /// Acknowledged.
    Done,
    /// Refused, with the kernel's error.
    Refused(ErrorMessage),
    /// The attributes of an object.
    Object(&'a [u8]),
}

/// The netfilter header before the attributes (`struct nfgenmsg`).
const NFGENMSG: usize = 4;

/// The messages of one reply.
pub fn messages(mut bytes: &[u8]) -> Result<Vec<Message<'_>>, Error> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let undecodable = || Error::new("decode", "an answer of netfilter", 0);
        let buffer = NetlinkBuffer::new_checked(bytes).map_err(|_short| undecodable())?;
        let body = match buffer.message_type() {
            NLMSG_DONE => Body::Done,
            NLMSG_ERROR => {
                let payload = buffer.payload();
                let error = ErrorBuffer::new_checked(&payload)
                    .and_then(|error| ErrorMessage::parse(&error))
                    .map_err(|_short| undecodable())?;
                match error.code {
                    Some(_) => Body::Refused(error),
                    None => Body::Done,
                }
            }
            _ => Body::Object(buffer.payload().get(NFGENMSG..).ok_or_else(undecodable)?),
        };
        found.push(Message {
            flags: buffer.flags(),
            number: buffer.sequence_number(),
            body,
        });
        let len = (buffer.length() as usize).next_multiple_of(4);
        bytes = bytes.get(len..).unwrap_or_default();
    }
    Ok(found)
}

/// Kinds and values of attributes, up to the first truncated one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    /// `NLA_HDRLEN`
    const HEADER: usize = 4;
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .filter_map(|attribute| {
            let (kind, len) = (attribute.kind(), usize::from(attribute.length()));
            let value = attribute.into_inner().get(HEADER..len)?;
            Some((kind, value))
        })
}

pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

pub(crate) fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attribute(bytes, kind)?;
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    String::from_utf8(value.to_vec()).ok()
}

/// Decodes a reply to `NFT_MSG_GETGEN`.
pub fn generation(object: &[u8]) -> Option<u32> {
    const ID: u16 = 1;
    big_endian(object, ID)
}

/// Decodes a reply to `NFT_MSG_GETSETELEM`.
pub fn elements(object: &[u8]) -> Vec<Element> {
    const ELEMENTS: u16 = 3;
    let list = attribute(object, ELEMENTS).unwrap_or_default();
    attributes(list).map(|(_, item)| element(item)).collect()
}

fn element(item: &[u8]) -> Element {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const TIMEOUT: u16 = 4;
    const USERDATA: u16 = 6;
    const KEY_END: u16 = 10;
    let mut element = Element::default();
    for (kind, value) in attributes(item) {
        match kind {
            KEY => element.key = fields(value).unwrap_or_default(),
            KEY_END => element.key_end = fields(value),
            DATA => element.value = fields(value),
            TIMEOUT => {
                let bytes = value.try_into().unwrap_or_default();
                element.timeout = u64::from_be_bytes(bytes);
            }
            USERDATA => {
                element.comment = find_text(value, udata::ELEMENT_COMMENT).unwrap_or_default();
                let record = find(value, udata::ELEMENT_RECORD);
                element.record = record.unwrap_or_default().to_vec();
                let supplement = find(value, udata::ELEMENT_SUPPLEMENT);
                element.supplement = supplement.unwrap_or_default().to_vec();
            }
            _ => {}
        }
    }
    element
}

fn fields(data: &[u8]) -> Option<Fields> {
    const VALUE: u16 = 1;
    attribute(data, VALUE).map(|bytes| Fields(bytes.to_vec()))
}

/// Decodes a reply to `NFT_MSG_GETRULE`.
pub fn rule(object: &[u8]) -> Option<FoundRule> {
    const CHAIN: u16 = 2;
    const HANDLE: u16 = 3;
    const EXPRESSIONS: u16 = 4;
    const USERDATA: u16 = 7;
    let comment = |data| find_text(data, udata::RULE_COMMENT);
    let list = attribute(object, EXPRESSIONS).unwrap_or_default();
    let mut expressions = attributes(list).map(|(_, expression)| expression);
    Some(FoundRule {
        chain: text(object, CHAIN)?,
        handle: u64::from_be_bytes(attribute(object, HANDLE)?.try_into().ok()?),
        comment: attribute(object, USERDATA)
            .and_then(comment)
            .or_else(|| expressions.clone().find_map(match_comment))
            .unwrap_or_default(),
        target: expressions.find_map(target),
    })
}

/// The comment in the form of `iptables-nft`: a match of iptables-legacy (`struct xt_comment_info`).
fn match_comment(expression: &[u8]) -> Option<String> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    const MATCH_NAME: u16 = 1;
    const MATCH_INFO: u16 = 3;
    if text(expression, NAME)? != "match" {
        return None;
    }
    let data = attribute(expression, DATA)?;
    if text(data, MATCH_NAME)? != "comment" {
        return None;
    }
    let info = attribute(data, MATCH_INFO)?;
    let text = info.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// The target chain of a jump expression.
fn target(expression: &[u8]) -> Option<String> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    const IMMEDIATE_DATA: u16 = 2;
    const VERDICT: u16 = 2;
    const CHAIN: u16 = 2;
    if text(expression, NAME)? != "immediate" {
        return None;
    }
    let immediate = attribute(attribute(expression, DATA)?, IMMEDIATE_DATA)?;
    text(attribute(immediate, VERDICT)?, CHAIN)
}

/// Decodes a reply to `NFT_MSG_GETCHAIN`. Returns `None` for chains of other tables.
pub fn chain(object: &[u8], table: &str) -> Option<FoundChain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const USE: u16 = 6;
    const USERDATA: u16 = 12;
    if text(object, TABLE)? != table {
        return None;
    }
    let comment = |data| find_text(data, udata::CHAIN_COMMENT);
    Some(FoundChain {
        name: text(object, NAME)?,
        uses: big_endian(object, USE).unwrap_or_default(),
        comment: attribute(object, USERDATA)
            .and_then(comment)
            .unwrap_or_default(),
    })
}

pub(crate) fn big_endian(bytes: &[u8], kind: u16) -> Option<u32> {
    let value = attribute(bytes, kind)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}
