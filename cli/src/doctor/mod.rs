//! `linkspan doctor`: examines the node, and names each fault with the command that mends it. It changes nothing.
//!
//! A check is a function of the [`Node`] in one of the tables below. A file has the checks of one subject.

mod bridges;
mod daemon;
mod finding;
mod host;
mod leases;
mod lists;
mod neighbours;
mod node;
mod pods;
mod ports;
mod ranges;
mod ready;
mod settings;
mod surroundings;

use std::collections::BTreeMap;
use std::io::Write;

use linkspan_runtime::Result;
use linkspan_runtime::cache::Cache;
use serde_json::Value;

use crate::attachments::{self, Wanted};
use crate::end::{End, Ended, NO};
use crate::output;
use crate::suite::Port;

use self::Check::{Asks, Sees};
use self::finding::{Finding, Severity};
use self::leases::Pool;
use self::node::Node;
pub(crate) use self::node::Places;

/// A check adds a finding for each fault that it sees.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// Looks only at data that was read already.
    Sees(fn(&Node<'_>, &mut Vec<Finding>)),
    /// Asks the kernel or plugins, and may fail.
    Asks(fn(&Node<'_>, &mut Vec<Finding>) -> Result<()>),
}

/// Returns whether a finding is about the requested subject.
type IsWanted = Box<dyn Fn(&Finding) -> bool>;

/// Every check with the subject of its failure, in the order of the output: causes come before their effects.
const CHECKS: &[(&str, Check)] = &[
    ("configurations", Sees(lists::broken)),
    ("names of networks", Sees(lists::twice)),
    ("order of configurations", Sees(lists::order)),
    ("plugins", Sees(lists::plugins)),
    ("capabilities", Sees(lists::ports_undeclared)),
    ("masters", Sees(lists::masters)),
    ("daemons", Sees(daemon::dhcp)),
    ("subnets", Sees(ranges::overlap)),
    ("store", Sees(host::store)),
    ("locks", Sees(surroundings::locks)),
    ("managers", Sees(surroundings::managers)),
    ("resolver", Sees(surroundings::resolver)),
    ("IPv6", Sees(bridges::ipv6_off)),
    ("bridges", Sees(bridges::state)),
    ("gateways", Asks(bridges::gateway)),
    ("forwarding", Sees(bridges::forward_off)),
    ("packet filters", Asks(bridges::obstacles)),
    ("pools", Asks(leases::pool)),
    ("namespaces", Sees(pods::gone)),
    ("leases", Sees(leases::of_pods)),
    ("interfaces", Sees(pods::interface)),
    ("routes of pods", Sees(pods::route)),
    ("host ends", Sees(pods::host_end)),
    ("MTU", Sees(pods::mtu)),
    ("limits of bandwidth", Asks(settings::bandwidth)),
    ("sysctls of pods", Asks(settings::tuning)),
    ("neighbours", Sees(neighbours::learned)),
    ("answers", Asks(neighbours::probed)),
    ("lost rules", Asks(ports::lost)),
    ("published ports", Asks(ports::gone)),
    ("stale ports", Asks(ports::stale)),
    ("other rules", Asks(ports::stolen)),
    ("listeners", Asks(ports::shadowed)),
    ("limits", Sees(host::limits)),
    ("default route", Sees(host::uplink)),
    ("readiness", Sees(ready::status)),
];

/// Prints the findings about the node, or those about a network or an attachment, and the host. The exit status is 1
/// if one of them is a failure.
pub(crate) fn run(
    out: &mut dyn Write,
    places: Places<'_>,
    subject: Option<&str>,
    as_json: bool,
) -> Ended {
    let Examined { node, mut found } = examine(places)?;
    if let Some(subject) = subject {
        let is_asked_for = filter(&node, subject)?;
        found.retain(is_asked_for);
    }
    let is_well = found.iter().all(|one| one.severity != Severity::Fail);
    if as_json {
        let all: Vec<Value> = found.iter().map(Finding::json).collect();
        output::rows(out, &all)?;
    } else {
        let text: String = found.iter().map(Finding::line).collect();
        output::text(out, &text)?;
    }
    Ok(if is_well { 0 } else { NO })
}

/// A node, and the faults that the checks have found.
#[derive(Debug)]
pub(crate) struct Examined<'a> {
    node: Node<'a>,
    found: Vec<Finding>,
}

impl Examined<'_> {
    /// The remembered attachments.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.node.places.cache_dir)
    }

    /// The published ports.
    pub(crate) fn ports(&self) -> Result<&[Port]> {
        self.node.ports()
    }

    /// The range sets of host-local.
    pub(crate) fn pools(&self) -> Result<Vec<Pool>> {
        leases::pools(&self.node)
    }

    /// How many findings there are of each kind and severity.
    pub(crate) fn counts(&self) -> BTreeMap<(&'static str, String), usize> {
        let mut counts = BTreeMap::new();
        for one in &self.found {
            *counts.entry((one.id, one.severity())).or_default() += 1;
        }
        counts
    }
}

/// Reads the node and makes every check.
pub(crate) fn examine(places: Places<'_>) -> Result<Examined<'_>> {
    let node = Node::read(places)?;
    let mut found = Vec::new();
    for (what, check) in CHECKS {
        let examined = match check {
            Sees(check) => {
                check(&node, &mut found);
                Ok(())
            }
            Asks(check) => check(&node, &mut found),
        };
        // A failed check does not stop the others.
        if let Err(failure) = examined {
            let what = format!(
                "{what} cannot be examined: {}",
                linkspan_runtime::sentence(&failure)
            );
            found.push(Finding::new(Severity::Warn, "unexamined", what));
        }
    }
    Ok(Examined { node, found })
}

/// The filter for findings about a network, or about the attachments of a name. Findings about the host always pass.
fn filter(node: &Node<'_>, subject: &str) -> std::result::Result<IsWanted, End> {
    let name = subject.to_owned();
    if node.lists.iter().any(|(_, list)| list.name == subject) {
        return Ok(Box::new(move |one| {
            one.network.as_ref().is_none_or(|own| *own == name)
        }));
    }
    let wanted = Wanted {
        word: subject,
        network: None,
        ifname: None,
    };
    let found = attachments::find_all(&Cache::new(node.places.cache_dir), wanted);
    let found = found.map_err(|end| End {
        failure: end.failure.detail(format!(
            "networks: {}",
            node.lists
                .iter()
                .map(|(_, list)| list.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        )),
        ..end
    })?;
    Ok(Box::new(move |one| {
        found.iter().any(|attached| {
            let (network, container) = (&attached.entry.network_name, &attached.entry.container_id);
            one.network.as_ref().is_none_or(|own| own == network)
                && one.container.as_ref().is_none_or(|own| own == container)
        })
    }))
}
