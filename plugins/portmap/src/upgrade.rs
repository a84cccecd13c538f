//! Converts elements of the first layout. The first layout lacked claims, timeouts, and the source for connections
//! from a loopback address to another address of the host.

use std::net::IpAddr;

use linkspan_attach::{Side, kernel};
use linkspan_filter::table::{Elements, Former, TABLE, elements_of};
use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;

use crate::elements::{claim, read};
use crate::sets::{CLAIMS, HAIRPIN, LOCALHOST_ADDR, PUBLISHED, SETS};

/// The replacements for elements of former sets, and the missing elements of each published port.
pub(crate) fn convert(netfilter: &Netfilter, former: &[Former]) -> Result<Elements<'static>> {
    let mut elements = elements_of(SETS, former);
    if former.is_empty() {
        return Ok(elements);
    }
    let present = present(netfilter, former, &elements)?;
    let has = |set: &Set, key: &Fields| {
        let mut of_set = present.iter().filter(|(of, _)| *of == set);
        of_set.any(|(_, all)| all.iter().any(|element| element.key == *key))
    };
    let mut needed = Vec::new();
    for map in PUBLISHED {
        let of_set = present.iter().filter(|(of, _)| *of == map.set);
        for element in of_set.flat_map(|(_, all)| all) {
            let Some((mapping, ip)) = read(element, map.by_addr, map.family) else {
                continue;
            };
            needed.push(claim(&mapping, &element.comment, map.family));
            let hairpin = Fields::default().ip(ip);
            let hairpin = hairpin.protocol(mapping.protocol.number());
            if map.by_addr && has(HAIRPIN.of(ip), &hairpin.port(mapping.host_port)) {
                needed.extend(source(element, ip)?);
            }
        }
    }
    needed.retain(|(set, element)| !has(set, &element.key));
    let sets = [CLAIMS, LOCALHOST_ADDR].map(|pair| [pair.v4, pair.v6]);
    for set in sets.as_flattened() {
        let own = needed.iter().filter(|(of, _)| of == set);
        elements.push((*set, own.map(|(_, element)| element.clone()).collect()));
    }
    Ok(elements)
}

/// All elements of the part after the conversion of former sets.
fn present(
    netfilter: &Netfilter,
    former: &[Former],
    converted: &Elements<'static>,
) -> Result<Elements<'static>> {
    let mut all = converted.clone();
    for set in SETS {
        if !former.iter().any(|former| former.set.name == set.name) {
            let elements = netfilter.elements(TABLE, set).map_err(kernel)?;
            all.push((*set, elements));
        }
    }
    Ok(all)
}

/// The source for connections from a loopback address to a port on one address, which leads to the container at `ip`.
fn source(published: &Element, ip: IpAddr) -> Result<Option<(&'static Set, Element)>> {
    let lookup = Side::host()?.rtnl.lookup(ip).map_err(kernel)?;
    let element = |source| Element {
        key: published.key.clone(),
        value: Some(Fields::default().ip(source)),
        comment: published.comment.clone(),
        ..Element::default()
    };
    let source = lookup.and_then(|lookup| lookup.src);
    Ok(source.map(|source| (LOCALHOST_ADDR.of(ip), element(source))))
}
