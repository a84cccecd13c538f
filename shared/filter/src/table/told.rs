//! The elements of an attachment in words, for people.

use linkspan_nftables::ruleset::{Element, Set, Table};
use linkspan_owner::Owner;
use linkspan_plugin::Result;

use super::{Part, is_absent, list, open, owner};
use crate::kernel;

/// The attachment's elements in these parts, as `nft list ruleset` shows them: table, set and element.
pub fn told(parts: &[&'static Part], of: &Owner) -> Result<Vec<String>> {
    let Some(netfilter) = open()? else {
        return Ok(Vec::new());
    };
    let mut words = Vec::new();
    for part in parts {
        let own = |element: &Element| owner(element).as_ref() == Some(of);
        match list(&netfilter, part.table, part.sets, own) {
            // A set that is not there has no element.
            Err(err) if is_absent(&err) || err.is(nix::errno::Errno::ENOENT) => {}
            found => {
                for (set, elements) in found.map_err(kernel)? {
                    words.extend(elements.iter().map(|one| line(part.table, set, one)));
                }
            }
        }
    }
    Ok(words)
}

fn line(table: Table, set: &Set, element: &Element) -> String {
    let (family, name, set_name) = (table.family.name(), table.name, set.name);
    let mut text = match &element.key_end {
        Some(last) => element.key.range_text(last, set.key),
        None => element.key.text(set.key),
    };
    if let Some(value) = element.value.as_ref().filter(|_| !set.value.is_empty()) {
        text = format!("{text} : {}", value.text(set.value));
    }
    format!("{family} {name} {set_name} {{ {text} }}")
}
