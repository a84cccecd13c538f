//! Elements out of the first layout, which had no claims and let nothing expire.

use linkspan_attach::kernel;
use linkspan_attach::table::{Elements, Former, TABLE, elements_of};
use linkspan_nftables::Netfilter;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;

use crate::elements::{claim, read};
use crate::sets::{CLAIMS, PUBLISHED, SETS};

/// The elements that take the place of those of former sets, and a claim for each published port that has none.
pub(crate) fn convert(netfilter: &Netfilter, former: &[Former]) -> Result<Elements<'static>> {
    let mut elements = elements_of(SETS, former);
    if former.is_empty() {
        return Ok(elements);
    }
    let is_former = |set: &Set| former.iter().any(|former| former.set.name == set.name);
    let stays = |set: &Set| {
        if is_former(set) {
            return Ok(Vec::new());
        }
        netfilter.elements(TABLE, set).map_err(kernel)
    };
    let mut claims = Vec::new();
    for (set, by_addr, six) in PUBLISHED {
        let converted = elements.iter().filter(|(of, _)| *of == set);
        let mut published: Vec<_> = converted.flat_map(|(_, all)| all.clone()).collect();
        published.extend(stays(set)?);
        for element in published {
            let Some((mapping, _)) = read(&element, by_addr, six) else {
                continue;
            };
            let (set, mut claim) = claim(&mapping, six);
            if claim.comment.is_empty() {
                claim.comment = element.comment;
            }
            claims.push((set, claim));
        }
    }
    for set in [CLAIMS.v4, CLAIMS.v6] {
        let there = stays(set)?;
        let is_new = |claim: &Element| there.iter().all(|there| there.key != claim.key);
        let own = claims.iter().filter(|(of, _)| *of == set);
        let own = own.map(|(_, claim)| claim.clone()).filter(is_new);
        elements.push((set, own.collect()));
    }
    Ok(elements)
}
