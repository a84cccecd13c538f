//! GC of a whole list, as libcni does it: DEL of attachments that are remembered and no longer valid, then GC of every
//! plugin.

use std::path::{Path, PathBuf};

use linkspan_owner::life::Life;
use linkspan_protocol::command::Command;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::AttachmentId;

use crate::Result;
use crate::attachment::Attachment;
use crate::cache::Entry;
use crate::chain::Runtime;
use crate::conflist::NetworkList;
use crate::inject;
use crate::lives::Lives;

/// The outcome of GC, which goes on after a failure.
#[derive(Debug, Default)]
pub struct Collected {
    /// The attachments that were detached.
    pub deleted: Vec<AttachmentId>,
    /// The failures.
    pub failures: Vec<Failure>,
}

impl Runtime {
    /// Detaches the network's remembered attachments that are not in `valid`, then asks every plugin to collect
    /// everything without a valid attachment. Without a list nothing is valid, and plugins get no list.
    pub fn gc(&self, list: &NetworkList, valid: Option<&[AttachmentId]>) -> Collected {
        self.gc_telling(list, valid, &mut |_done, _all| {})
    }

    /// The same, and reports progress after each attachment.
    pub fn gc_telling(
        &self,
        list: &NetworkList,
        valid: Option<&[AttachmentId]>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Collected {
        let mut done = Collected::default();
        if list.disable_gc {
            return done;
        }
        match self.remembered(list) {
            Ok(remembered) => {
                let is_stale = |id: &AttachmentId| !valid.unwrap_or_default().contains(id);
                let lives = Lives::now(&self.cache);
                let stale = remembered.iter().filter(|(_, at)| is_stale(&at.id()));
                let stale: Vec<_> = stale.collect();
                for (count, (entry, at)) in stale.iter().enumerate() {
                    let is_gone = lives.of(entry) == Life::Gone;
                    self.del_stale(list, at, is_gone, &mut done);
                    progress(count.saturating_add(1), stale.len());
                }
            }
            Err(failure) => done.failures.push(failure),
        }
        if list.knows_gc_and_status() {
            for plugin in &list.plugins {
                let kind = plugin.kind();
                let collected = inject::stdin(list, plugin, inject::valid(valid))
                    .and_then(|stdin| self.exec(Command::Gc, kind, None, &stdin));
                done.failures.extend(
                    collected
                        .err()
                        .map(|err| err.context(format!("failed to GC plugin {kind}"))),
                );
            }
        }
        done
    }

    /// Detaches the attachments in `gone`, whose containers are gone according to their engine, and nothing else. No
    /// plugin is asked to collect, so this is safe while containers of the network start.
    pub fn detach(&self, list: &NetworkList, gone: &[AttachmentId]) -> Collected {
        let mut done = Collected::default();
        if list.disable_gc {
            return done;
        }
        let remembered = match self.remembered(list) {
            Ok(remembered) => remembered,
            Err(failure) => {
                done.failures.push(failure);
                return done;
            }
        };
        let lives = Lives::now(&self.cache);
        for id in gone {
            match remembered.iter().find(|(_, at)| at.id() == *id) {
                Some((entry, at)) => {
                    let is_gone = lives.of(entry) == Life::Gone;
                    self.del_stale(list, at, is_gone, &mut done);
                }
                // DEL needs no namespace: a killed ADD left leases or links, and no entry.
                None => match Attachment::new(id.container_id.as_str(), "", id.ifname.as_str()) {
                    Ok(at) => self.del_stale(list, &at, false, &mut done),
                    Err(failure) => done.failures.push(failure),
                },
            }
        }
        done
    }

    fn del_stale(&self, list: &NetworkList, at: &Attachment, is_gone: bool, done: &mut Collected) {
        let id = at.id();
        let mut at = at.clone();
        if is_gone && Path::new(&at.netns).exists() {
            // The namespace at its path is another one by now, so plugins do not get the path.
            at.netns.clear();
        }
        match self.del(list, &at) {
            Ok(()) => done.deleted.push(id),
            Err(err) => done.failures.push(err.context(format!(
                "failed to delete stale attachment {} {}",
                id.container_id, id.ifname
            ))),
        }
    }

    /// The network's remembered attachments that GC would detach.
    pub fn stale(&self, list: &NetworkList, valid: &[AttachmentId]) -> Result<Vec<AttachmentId>> {
        let remembered = self.remembered(list)?.into_iter();
        let ids = remembered.map(|(_, at)| at.id());
        Ok(ids.filter(|id| !valid.contains(id)).collect())
    }

    fn remembered(&self, list: &NetworkList) -> Result<Vec<(Entry, Attachment)>> {
        let entries = self.cache.all()?.entries.into_iter();
        entries
            .filter(|entry| entry.network_name == list.name)
            .map(|entry| Ok((entry.clone(), entry.attachment()?)))
            .collect()
    }

    /// The remembered attachments of the network whose namespaces are not certainly gone. An entry that cannot be read
    /// could be one of them, so it is an error.
    pub fn alive(&self, list: &NetworkList) -> Result<Vec<AttachmentId>> {
        let prefix = format!("{}-", list.network()?);
        let may_be_of_it = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(prefix.as_bytes())
        };
        let unreadable = self.cache.all()?.unreadable;
        if let Some(path) = unreadable.into_iter().find(may_be_of_it) {
            let told = format!("cannot tell which attachment {} is", path.display());
            return Err(Failure::new(ErrorCode::DECODING, told)
                .hint("detach that container, or remove the file when it is gone"));
        }
        let (lives, remembered) = (Lives::now(&self.cache), self.remembered(list)?.into_iter());
        Ok(remembered
            .filter(|(entry, _)| lives.of(entry) != Life::Gone)
            .map(|(_, at)| at.id())
            .collect())
    }
}
