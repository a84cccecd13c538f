//! What `linkspan status` warns of: something of the host's own that may keep packets from containers.

use std::io::{self, Write};

use crate::Result;
use crate::cli::Suite;
use crate::conflist::NetworkList;
use crate::inject::{self, Added};

/// The plugin that lets a network's packets through other packet filters.
const FIREWALL: &str = "firewall";

/// A warning, as the suite tells it.
#[derive(Debug, Clone)]
pub struct Warning {
    /// One sentence.
    pub what: String,
    /// Commands that a person may remove the cause with.
    pub remedies: Vec<String>,
}

/// Prints to stderr what may be in the way of the network's packets. Nothing where a plugin of the list sees to that.
pub(crate) fn print(list: &NetworkList, suite: Suite<'_>) -> Result<()> {
    if list.plugins.iter().any(|plugin| plugin.kind() == FIREWALL) {
        return Ok(());
    }
    for plugin in &list.plugins {
        let stdin = inject::stdin(list, plugin, Added::new())?;
        for warning in (suite.warnings)(plugin.kind(), &stdin)? {
            // Nobody is left to be told when stderr is closed.
            drop(io::stderr().write_all(text(&list.name, &warning).as_bytes()));
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
