//! `linkspan restore`: puts back the state of living attachments in the packet filter that others removed.
//!
//! Each plugin of an attachment's list is asked by a verb of our own (`Command::Restore`), with the input of CHECK. A
//! plugin of another suite does not know the verb.

use linkspan_owner::life::Life;
use linkspan_protocol::command::Command;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, NetworkName};

use crate::Result;
use crate::cache::Entry;
use crate::chain::Runtime;
use crate::conflist::PluginConf;
use crate::inject::Known;
use crate::lives::Lives;

/// The outcome of a restore, which goes on after a failure.
#[derive(Debug, Default)]
pub struct Restored {
    /// The attachments that are complete.
    pub whole: Vec<Entry>,
    /// The failures, also for files that could not be read.
    pub failures: Vec<Failure>,
}

impl Runtime {
    /// Restores the remembered attachments of one network or of all, except those whose namespace is gone. If `only`
    /// is given, restores only those in it.
    pub fn restore(
        &self,
        network: Option<&NetworkName>,
        only: Option<&[AttachmentId]>,
    ) -> Result<Restored> {
        let listing = self.cache.all()?;
        let lives = Lives::now(&self.cache);
        let mut restored = Restored::default();
        let wanted = |entry: &Entry| network.is_none_or(|name| entry.network_name == name.as_str());
        let is_meant = |entry: &Entry| {
            let is_in =
                |only: &[AttachmentId]| entry.attachment().is_ok_and(|at| only.contains(&at.id()));
            only.is_none_or(is_in)
        };
        for entry in listing.entries.into_iter().filter(wanted) {
            if !is_meant(&entry) || lives.of(&entry) == Life::Gone {
                continue;
            }
            match self.restore_one(&entry) {
                Ok(()) => restored.whole.push(entry),
                Err(failure) => {
                    let (id, ifname) = (&entry.container_id, &entry.if_name);
                    let of = format!(
                        "container {id}, interface {ifname}, network {}",
                        entry.network_name
                    );
                    restored.failures.push(failure.context(of));
                }
            }
        }
        if network.is_none() && only.is_none() {
            let unreadable = |path: std::path::PathBuf| {
                let told = format!("not a remembered attachment: {}", path.display());
                Failure::new(ErrorCode::DECODING, told).hint("remove the file if it is not needed")
            };
            restored
                .failures
                .extend(listing.unreadable.into_iter().map(unreadable));
        }
        Ok(restored)
    }

    fn restore_one(&self, entry: &Entry) -> Result<()> {
        let (list, at) = (entry.network()?, entry.attachment()?);
        let result = self.cached(&list, &at)?;
        for plugin in &list.plugins {
            let asked = self.run(
                Command::Restore,
                &list,
                plugin,
                Known::of(&at, result.as_ref()),
            );
            if let Err(failure) = asked
                && !is_unknown(&failure)
            {
                return Err(describe(failure, plugin));
            }
        }
        Ok(())
    }
}

/// Whether a plugin of another suite answered.
fn is_unknown(failure: &Failure) -> bool {
    let unknown = format!("unknown CNI_COMMAND: {}", Command::Restore.name());
    failure.message().ends_with(&unknown)
}

fn describe(failure: Failure, plugin: &PluginConf) -> Failure {
    failure.context(format!("{} failed (restore)", plugin.describe()))
}
