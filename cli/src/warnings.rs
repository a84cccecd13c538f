//! The warnings of `linkspan status`: rules and switches of the host that may keep packets from containers, and state
//! of living containers that others removed.

use linkspan_owner::life::Life;
use linkspan_protocol::error::Failure;
use linkspan_runtime::Result;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::inject::{self, Added};
use linkspan_runtime::lives::Lives;

use crate::complain::complain;
use crate::suite::{Suite, Warning};

/// The number of attachments that are checked. A sample is enough, because a flush of the packet filter affects all of
/// them.
const SAMPLE: usize = 20;

/// The command in CHECK's hint for removed state.
pub(crate) const RESTORE: &str = "linkspan restore";

/// The plugin that lets a network's packets through other packet filters.
const FIREWALL: &str = "firewall";

/// Reports each obstacle to the network's packets, except those that a plugin of the list removes.
pub(crate) fn obstacles(
    list: &NetworkList,
    suite: Suite<'_>,
    mut tell: impl FnMut(Warning),
) -> Result<()> {
    let has_firewall = list.plugins.iter().any(|plugin| plugin.kind() == FIREWALL);
    for plugin in &list.plugins {
        let stdin = inject::stdin(list, plugin, Added::new())?;
        let found = (suite.warnings)(plugin.kind(), &stdin)?.into_iter();
        let standing = found.filter(|warning| !(has_firewall && warning.is_for_firewall()));
        standing.for_each(&mut tell);
    }
    Ok(())
}

/// Returns whether CHECK failed because others removed state of the packet filter.
pub(crate) fn is_lost(failure: &Failure) -> bool {
    failure.to_wire().details.contains(RESTORE)
}

/// Prints obstacles to the network's packets to stderr.
pub(crate) fn print(list: &NetworkList, suite: Suite<'_>) -> Result<()> {
    obstacles(list, suite, |warning| complain(&text(&list.name, &warning)))
}

/// Prints to stderr that living attachments have lost state in the packet filter, where CHECK reports it.
pub(crate) fn print_lost(list: &NetworkList, runtime: &Runtime) -> Result<()> {
    let entries = runtime.cache.all()?.entries;
    let lives = Lives::now(&runtime.cache);
    let living = entries
        .iter()
        .filter(|entry| entry.network_name == list.name && lives.of(entry) != Life::Gone);
    for entry in living.take(SAMPLE) {
        let Err(failure) = runtime.check(&entry.network()?, &entry.attachment()?) else {
            continue;
        };
        if is_lost(&failure) {
            let warning = Warning {
                id: "rules-gone",
                what: format!("container {}: {}", entry.container_id, failure.message()),
                remedies: vec![format!("{RESTORE} {}", list.name)],
            };
            complain(&text(&list.name, &warning));
            break;
        }
    }
    Ok(())
}

fn text(network: &str, warning: &Warning) -> String {
    let mut text = format!("linkspan: warning: {network}: {}\n", warning.what);
    for remedy in &warning.remedies {
        text.push_str("  ");
        text.push_str(remedy);
        text.push('\n');
    }
    text
}
