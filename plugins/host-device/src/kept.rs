//! The memory of an attachment: the device, and its state on the host.
//!
//! It is written before the device is changed. The alias of the device is exactly its name on the host, because the
//! reference's DEL renames to it. So the rest is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use linkspan_attach::device::Device;
use linkspan_attach::tuned::Tuned;
use linkspan_netlink::link::Link;
use linkspan_netlink::settings::Settings;
use linkspan_owner::home::Home;
use linkspan_owner::memory::{Facts, Memory, attachments};
use linkspan_plugin::Result;
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, NetworkName};

use crate::network::{Fate, Network};

const DEVICE: &str = "host-device.device";
const ALIAS: &str = "host-device.alias";
const UP: &str = "host-device.up";
const BEFORE: &str = "host-device.before";
const NETWORK: &str = "host-device.network";
const FATE: &str = "host-device.fate";

/// The device of an attachment, and its state on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The container that has it.
    pub(crate) home: Option<Home>,
    /// The device, with its name on the host.
    pub(crate) device: Device,
    /// Its alias on the host.
    pub(crate) alias: String,
    /// Whether it was up.
    pub(crate) up: bool,
    /// Its settings.
    pub(crate) before: Tuned,
    /// The host's network on the device; kept only if needed later.
    pub(crate) network: Network,
    /// The treatment of that network.
    pub(crate) fate: Fate,
}

/// The memory of one attachment.
#[derive(Debug)]
pub(crate) struct Store(Memory);

/// One of the attachments that have a memory.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) network: NetworkName,
    pub(crate) attachment: AttachmentId,
    pub(crate) store: Store,
    pub(crate) kept: Kept,
}

impl Kept {
    /// The current state of a device on the host, without its network.
    pub(crate) fn of(link: &Link, settings: &Settings, netns: &NetnsPath) -> Self {
        Self {
            home: Home::of(netns),
            device: Device::of(link, settings).lent_by(&link.name),
            alias: link.alias.replace('\n', " "),
            up: link.up,
            before: Tuned::of(settings),
            network: Network::default(),
            fate: Fate::default(),
        }
    }

    /// A device of which only its name on the host is known: another suite lent it.
    pub(crate) fn foreign(
        (link, settings): (&Link, &Settings),
        host_name: &str,
        home: Option<Home>,
    ) -> Self {
        Self {
            home,
            device: Device::of(link, settings).lent_by(host_name),
            alias: String::new(),
            up: false,
            before: Tuned::default(),
            network: Network::default(),
            fate: Fate::default(),
        }
    }

    /// Its name on the host.
    pub(crate) fn host_name(&self) -> &str {
        self.device.host_name()
    }

    /// Returns whether the link is this device, with the alias of a loan that has ended.
    pub(crate) fn is_note_on(&self, link: &Link, settings: &Settings) -> bool {
        link.alias == self.host_name()
            && Device::of(link, settings)
                .lent_by(self.host_name())
                .is(&self.device)
    }
}

impl Store {
    pub(crate) fn new(dir: &Path, network: &NetworkName, attachment: &AttachmentId) -> Self {
        Self(Memory::new(dir, network, attachment))
    }

    /// The memory; `None` if it is missing or malformed.
    pub(crate) fn read(&self) -> Result<Option<Kept>> {
        let facts = self.0.try_read();
        let Facts { home, told } = facts.map_err(|err| failed("recall the device", &err))?;
        let fact = |key: &str| told.get(key).map_or("", String::as_str);
        let device = Device::parse(fact(DEVICE));
        let device = device.filter(|device| !device.host_name().is_empty());
        Ok(device.map(|device| Kept {
            home,
            device,
            alias: fact(ALIAS).to_owned(),
            up: fact(UP) == "1",
            before: Tuned::parse(fact(BEFORE)),
            network: Network::parse(fact(NETWORK)),
            fate: Fate::parse(fact(FATE)),
        }))
    }

    pub(crate) fn write(&self, kept: &Kept) -> Result<()> {
        let mut told = BTreeMap::from([
            (DEVICE.to_owned(), kept.device.text()),
            (ALIAS.to_owned(), kept.alias.clone()),
            (UP.to_owned(), u8::from(kept.up).to_string()),
            (BEFORE.to_owned(), kept.before.text()),
        ]);
        if kept.fate != Fate::default() {
            told.insert(NETWORK.to_owned(), kept.network.text());
            told.insert(FATE.to_owned(), kept.fate.text());
        }
        let home = kept.home.clone();
        let written = self.0.write(&Facts { home, told });
        written.map_err(|err| failed("remember the device", &err))
    }

    pub(crate) fn forget(&self) -> Result<()> {
        let forgotten = self.0.forget();
        forgotten.map_err(|err| failed("forget the device", &err))
    }
}

/// The attachments with a file below `dir`.
pub(crate) fn listed(dir: &Path) -> Result<BTreeSet<(NetworkName, AttachmentId)>> {
    attachments(dir).map_err(|err| failed("list the lent devices", &err))
}

/// Every valid memory below `dir`.
pub(crate) fn remembered(dir: &Path) -> Result<Vec<Remembered>> {
    let mut all = Vec::new();
    for (network, attachment) in listed(dir)? {
        let store = Store::new(dir, &network, &attachment);
        if let Some(kept) = store.read()? {
            all.push(Remembered {
                network,
                attachment,
                store,
                kept,
            });
        }
    }
    Ok(all)
}

fn failed(attempt: &str, err: &io::Error) -> Failure {
    Failure::new(ErrorCode::IO, format!("{attempt}: {err}"))
        .hint("make dataDir readable and writable")
}
