//! Routes and rules in the form of one word of text each, to be kept in files. The word is the kernel's message in
//! hexadecimal digits.

use linkspan_protocol::family::Family;
use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::rule::Rule;
use crate::stored::Stored;

impl Stored {
    /// The form in a file: one word.
    pub fn text(&self) -> String {
        written(&self.message)
    }

    /// Reads [`Stored::text`]; `None` if malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let message = RouteMessage::parse(&bytes(text)?).ok()?;
        let family = family(message.header.address_family)?;
        Self::of(RouteNetlinkMessage::NewRoute(message), family)
    }
}

impl Rule {
    /// The form in a file: one word.
    pub fn text(&self) -> String {
        written(&self.message())
    }

    /// Reads [`Rule::text`]; `None` if malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let message = RuleMessage::parse(&bytes(text)?).ok()?;
        let family = family(message.header.family)?;
        Self::of(RouteNetlinkMessage::NewRule(message), family)
    }
}

fn family(of_kernel: AddressFamily) -> Option<Family> {
    match of_kernel {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}

fn written(message: &impl Emitable) -> String {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    let words: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    words.concat()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        (pair.len() == 2).then_some(())?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        let mut rule = Rule::of_table(Family::V6, 1077);
        rule.priority = Some(0);
        rule.src = Some(("fd07::".parse().unwrap(), 64));
        assert_eq!(Rule::parse(&rule.text()), Some(rule.clone()));
        for broken in ["", "0", "zz", "0a", &rule.text()[2..]] {
            assert_eq!(Rule::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_malformed_route_is_none() {
        for broken in ["", "0", "zz", "02", "ff000000000000000000000000"] {
            assert_eq!(Stored::parse(broken), None, "{broken}");
        }
    }
}
