//! The state of the node: attachments, addresses, ports, leftovers, and the findings of `doctor`.

use std::collections::BTreeMap;

use linkspan_runtime::Result;

use super::text::Family;
use crate::attachments::{self, state};
use crate::doctor::Examined;
use crate::ports;

pub(super) fn families(examined: &Examined<'_>) -> Result<Vec<Family>> {
    let mut stale = Family::gauge(
        "linkspan_stale",
        "What is left of pods that are gone; `linkspan gc --all` removes it.",
    );
    let attachments = of_attachments(examined, &mut stale)?;
    let addresses = of_addresses(examined)?;
    let ports = of_ports(examined, &mut stale)?;
    Ok(vec![
        attachments,
        addresses,
        ports,
        stale,
        of_findings(examined),
    ])
}

fn of_attachments(examined: &Examined<'_>, stale: &mut Family) -> Result<Family> {
    let mut family = Family::gauge(
        "linkspan_attachments",
        "Attachments by network and state: alive, gone or unknown.",
    );
    let mut counted: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let (all, _) = attachments::all(&examined.cache())?;
    for one in &all {
        let key = (one.entry.network_name.clone(), state(one.life));
        *counted.entry(key).or_default() += 1;
    }
    let gone = counted.iter().filter(|((_, state), _)| *state == "gone");
    stale.add(
        &[("kind", "attachment")],
        gone.map(|(_, count)| count).sum::<usize>(),
    );
    for ((network, state), count) in &counted {
        family.add(&[("network", network), ("state", state)], count);
    }
    Ok(family)
}

fn of_addresses(examined: &Examined<'_>) -> Result<Family> {
    let mut family = Family::gauge(
        "linkspan_addresses",
        "Addresses of host-local's range sets by state: free, leased, or leased to pods that are gone.",
    );
    for pool in examined.pools()? {
        let labels = |state| {
            [
                ("network", &*pool.network),
                ("range", &*pool.range),
                ("state", state),
            ]
        };
        family.add(&labels("free"), pool.size.saturating_sub(pool.taken));
        family.add(&labels("gone"), pool.gone);
        family.add(&labels("leased"), pool.taken.saturating_sub(pool.gone));
    }
    Ok(family)
}

fn of_ports(examined: &Examined<'_>, stale: &mut Family) -> Result<Family> {
    let mut family = Family::gauge(
        "linkspan_published_ports",
        "Ports of the host that lead to pods, by network and protocol.",
    );
    let mut counted: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let published = examined.ports()?;
    for port in published {
        let [network, ..] = &port.owner;
        *counted.entry((network, port.protocol)).or_default() += 1;
    }
    for ((network, protocol), count) in counted {
        family.add(&[("network", network), ("protocol", protocol)], count);
    }
    let gone = published.iter().filter(|port| ports::is_gone(port)).count();
    stale.add(&[("kind", "port")], gone);
    Ok(family)
}

fn of_findings(examined: &Examined<'_>) -> Family {
    let mut family = Family::gauge(
        "linkspan_doctor_findings",
        "Faults that `linkspan doctor` finds, by their kind.",
    );
    for ((id, severity), count) in examined.counts() {
        family.add(&[("id", id), ("severity", &severity)], count);
    }
    family
}
