//! Any bytes as an answer of netfilter: elements, rules, chains and connections, and our records in elements.

use linkspan_nftables::conntrack::Flow;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::decode::{self, Body};
use linkspan_nftables::filter_reading;
use linkspan_nftables::forward;
use linkspan_nftables::legacy::NatRules;
use linkspan_nftables::legacy_filter::{self, LegacyFilter};
use linkspan_nftables::legacy_forward::LegacyForward;
use linkspan_nftables::port_reading;
use linkspan_nftables::ruleset::{Element, TableFamily};
use linkspan_owner::Owner;
use linkspan_owner::home::Home;
use linkspan_protocol::family::Family;

pub(crate) fn target(data: &[u8]) {
    match decode::messages(data) {
        Ok(messages) => {
            for message in messages {
                if let Body::Object(object) = message.body {
                    read(object);
                }
            }
        }
        Err(err) => assert_eq!(err.errno(), 0),
    }
    // A truncated header is not an answer, but may contain objects.
    read(data);
    for family in Family::BOTH {
        let table = NatRules::of(data.to_vec(), family);
        table.rules("CNI-HOSTPORT-DNAT");
    }
}

/// The attributes as any of the objects; the asker knows their kind.
fn read(object: &[u8]) {
    decode::elements(object).iter().for_each(used);
    decode::rule(object);
    for family in Family::BOTH {
        port_reading::decode(object, family);
    }
    filter_reading::decode(object);
    decode::chain(object, "linkspan");
    let _generation = decode::generation(object);
    let _flow = Flow::decode(object);
    let _rule = forward::Rule::decode(object);
    let _chain = forward::chain(object, TableFamily::Inet);
    for family in Family::BOTH {
        // A description of the table, followed by its entries.
        let (info, entries) = object.split_at(object.len().min(84));
        let _legacy = LegacyForward::decode(info, entries, family);
        let filter = LegacyFilter::of(info, entries.to_vec(), family);
        filter.is_effective();
        for chain in [legacy_filter::FORWARD, "CNI-FORWARD"] {
            filter.rules(chain);
        }
    }
}

fn used(element: &Element) {
    if let Some(owner) = Owner::parse(&element.comment) {
        assert_eq!(Owner::parse(&owner.line()), Some(owner));
    }
    if let Some(home) = Home::parse_bytes(&element.record, &element.supplement) {
        assert_eq!(home.to_bytes(), element.record);
    }
    let parts = [
        Some(&element.key),
        element.key_end.as_ref(),
        element.value.as_ref(),
    ];
    parts.into_iter().flatten().for_each(fields);
}

/// All readings of our sets.
fn fields(fields: &Fields) {
    for family in Family::BOTH {
        let mut read = fields.read();
        let found = (
            read.ip(family),
            read.protocol(),
            read.port(),
            read.ip(family),
        );
        if let (Some(ip), Some(protocol), Some(port), _) = found {
            let again = Fields::default().ip(ip).protocol(protocol).port(port);
            let mut again = again.read();
            let told = (again.ip(family), again.protocol(), again.port());
            assert_eq!(told, (Some(ip), Some(protocol), Some(port)));
        }
    }
    if let Some(name) = fields.read().ifname() {
        assert!(name.len() < 16 && !name.contains('\0'), "{name:?}");
    }
}
