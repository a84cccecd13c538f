//! The identity of a device, wherever its link is now. A device that host-device lent to a container is found again on
//! the host.

use crate::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_netlink::settings::Settings;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;

/// The properties that stay when a device is moved or renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Empty for hardware.
    kind: String,
    /// The hardware's own address.
    permanent_mac: Option<[u8; 6]>,
    /// Its name on the host, if host-device has noted it.
    alias: String,
}

impl Device {
    /// The device of a link.
    pub fn of(link: &Link, settings: &Settings) -> Self {
        Self {
            kind: link.kind.to_string(),
            permanent_mac: settings.permanent_mac,
            alias: link.alias.replace('\n', " "),
        }
    }

    /// The same device under its name on the host, as host-device would note it.
    #[must_use]
    pub fn lent_by(self, host_name: &str) -> Self {
        let alias = host_name.to_owned();
        Self { alias, ..self }
    }

    /// Its name on the host, as noted by host-device; empty without a note.
    pub fn host_name(&self) -> &str {
        &self.alias
    }

    /// Returns whether the device outlives the container. The kernel deletes other devices with their namespace.
    pub fn may_return(&self) -> bool {
        self.permanent_mac.is_some() || !self.alias.is_empty()
    }

    /// Returns whether `other` is the same device.
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind
            && match (self.permanent_mac, other.permanent_mac) {
                (Some(one), Some(other)) => one == other,
                (None, None) => !self.alias.is_empty() && self.alias == other.alias,
                _ => false,
            }
    }

    /// Finds the device on the host: by its permanent address, by its name there, or by host-device's note.
    pub fn find(&self, host: &Side) -> Result<Option<(Link, Settings)>> {
        if !self.may_return() {
            return Ok(None);
        }
        for link in host.rtnl.links().map_err(kernel)? {
            if link.kind != *self.kind {
                continue;
            }
            let is_named = link.name == self.alias || link.alias == self.alias;
            if self.permanent_mac.is_none() && !is_named {
                continue;
            }
            let settings = link.settings().map_err(kernel)?;
            let same = settings.filter(|now| now.permanent_mac == self.permanent_mac);
            if let Some(settings) = same {
                return Ok(Some((link, settings)));
            }
        }
        Ok(None)
    }

    /// Its form in the memory: one line.
    pub fn text(&self) -> String {
        let or_none = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        let mac = self.permanent_mac.map(|mac| MacAddr(mac).to_string());
        let mac = mac.unwrap_or_else(|| "-".to_owned());
        format!("{} {mac} {}", or_none(&self.kind), self.alias)
    }

    /// Reads [`Device::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (kind, mac, alias) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            kind: Some(kind)
                .filter(|kind| *kind != "-")
                .unwrap_or_default()
                .to_owned(),
            permanent_mac: MacAddr::parse(mac).ok().map(|mac| mac.0),
            alias: alias.to_owned(),
        })
    }
}
