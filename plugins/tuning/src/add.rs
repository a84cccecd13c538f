//! ADD: writes sysctls, records the link's settings, and sets the link.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linkspan_attach::wishes::{self, Said, Wishes};
use linkspan_attach::{Side, kernel};
use linkspan_owner::home::Home;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, NetworkName};

use crate::check;
use crate::kept::{Kept, Store};
use crate::restore::{inherited, inside};
use linkspan_attach::device::Device;
use linkspan_attach::tuned::Tuned;

/// The contents of sysctl files.
type Saids = BTreeMap<PathBuf, String>;

/// Writes the sysctls. Returns the contents of their files where these differ from the written text.
pub(crate) fn sysctls(
    wishes: &Wishes,
    sandbox: &Side,
    netns: &NetnsPath,
    undo: &mut Undo,
) -> Result<Saids> {
    if wishes.is_empty() {
        return Ok(Saids::new());
    }
    let before = wishes.now(sandbox)?;
    let netns = netns.clone();
    undo.push("put back sysctls", move || put_back(&netns, &before));
    let said = wishes.apply(sandbox)?;
    let differs = |(path, value): &Said| {
        let mut files = wishes.files();
        files.any(|(file, wanted)| file == path && !check::is_same(wanted, value))
    };
    Ok(said.into_iter().filter(differs).collect())
}

fn put_back(netns: &NetnsPath, said: &[Said]) -> Result<()> {
    Side::unless_gone(netns, |sandbox| wishes::put_back(sandbox, said))
}

/// The attachment whose link is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) network: &'a NetworkName,
    pub(crate) attachment: &'a AttachmentId,
    pub(crate) netns: &'a NetnsPath,
    pub(crate) dir: &'a Path,
}

impl Subject<'_> {
    fn store(self) -> Store {
        Store::new(self.dir, self.network, self.attachment)
    }

    /// Records the sysctls for CHECK. An earlier ADD's record of the link stays.
    pub(crate) fn remember(self, said: Saids, undo: &mut Undo) -> Result<()> {
        let store = self.store();
        let earlier = store.memory();
        if earlier == Kept::default() {
            let store = self.store();
            undo.push("forget the sysctls", move || store.forget());
        }
        let home = earlier.home.clone().or_else(|| Home::of(self.netns));
        store.write(&Kept {
            home,
            said,
            ..earlier
        })
    }

    /// Records the link's settings, and then sets the link.
    pub(crate) fn tune(
        self,
        sandbox: &Side,
        wanted: Tuned,
        said: Saids,
        undo: &mut Undo,
    ) -> Result<()> {
        let (store, ifname) = (self.store(), self.attachment.ifname.as_str());
        let link = sandbox.find(ifname)?.ok_or_else(|| missing(ifname))?;
        let settings = link.settings().map_err(kernel)?;
        let settings = settings.ok_or_else(|| missing(ifname))?;
        let now = Tuned::of(&settings).within(wanted);
        let (earlier, backup) = (store.memory(), store.backup()?);
        let mut kept = Kept {
            home: Home::of(self.netns),
            index: Some(link.index),
            device: Device::of(&link, &settings),
            before: now,
            set: wanted,
            said,
        };
        let mut left = None;
        if earlier.is_about(&link, kept.home.as_ref()) {
            kept.before = earlier.before.or(now);
            kept.set = wanted.or(earlier.set);
        } else if let Some((before, of_the_dead)) = inherited(self.dir, &kept.device)? {
            kept.before = before.or(now);
            left = Some(of_the_dead);
        } else if let Some(backup) = backup {
            // This is the Go plugin's backup. A setting with the wanted value already was tuned by an earlier ADD.
            kept.before = backup.within(now.agreed(wanted)).or(now);
        }
        let back = if left.is_some() { kept.before } else { now };
        let is_first = earlier == Kept::default() && backup.is_none();
        self.push_undo(back, is_first, undo);
        store.write(&kept)?;
        wanted.apply(&link)?;
        left.map_or(Ok(()), |left| left.forget())
    }

    /// Undoes [`Subject::tune`]. The record of an earlier ADD is still true, and stays.
    fn push_undo(self, back: Tuned, is_first: bool, undo: &mut Undo) {
        let (store, netns) = (self.store(), self.netns.clone());
        let ifname = self.attachment.ifname.as_str().to_owned();
        undo.push("put back the settings of the link", move || {
            if let Some(link) = inside(&netns, &ifname)? {
                back.restore(&link)?;
            }
            if is_first { store.forget() } else { Ok(()) }
        });
    }
}

fn missing(ifname: &str) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("failed to get {ifname:?}: Link not found"),
    )
    .hint("put tuning after the plugin that makes the interface")
}
