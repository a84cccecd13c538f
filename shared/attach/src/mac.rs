//! The MAC address that a runtime, an orchestrator or the configuration asks for.

use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::args;
use linkspan_protocol::error::Failure;
use serde::Deserialize;

/// `runtimeConfig` with the capability `mac`, or the same key of an orchestrator.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RuntimeMac {
    /// The MAC address of the container's interface.
    mac: String,
}

/// `args` with the requests of an orchestrator.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ArgsMac {
    /// Like the capability, which comes first; `MAC` in `CNI_ARGS`, where the plugin takes it, comes after it.
    cni: RuntimeMac,
}

/// The places where a plugin looks, the first one first. An empty one asks for nothing.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The capability.
    pub capability: &'a RuntimeMac,
    /// `args` of the configuration.
    pub args: &'a ArgsMac,
    /// `CNI_ARGS`, of which it takes `MAC`.
    pub cni_args: &'a str,
    /// The key of the configuration.
    pub key: &'a str,
}

impl Asked<'_> {
    /// The first address that is asked for. The value may come from a pod's annotations, so the error names only the
    /// place. Returns code 7 for an address that is not a unicast one, and code 4 for a faulty `CNI_ARGS`.
    pub fn first(&self) -> Result<Option<MacAddr>> {
        let from_args = args::parse(self.cni_args, &["MAC"])?;
        let from_args = from_args.into_iter().next_back();
        let from_args = from_args.map(|(_, mac)| mac).unwrap_or_default();
        let places = [
            ("runtimeConfig.mac", &*self.capability.mac),
            ("args.cni.mac", &self.args.cni.mac),
            ("MAC in CNI_ARGS", &from_args),
            ("mac", self.key),
        ];
        let Some((place, text)) = places.iter().find(|(_, text)| !text.is_empty()) else {
            return Ok(None);
        };
        let mac = MacAddr::parse(text).ok();
        let mac = mac.filter(|mac| !mac.is_multicast() && mac.0 != [0; 6]);
        mac.map(Some).ok_or_else(|| {
            Failure::config(format!("{place}: not a unicast MAC address"))
                .hint("write it as 02:00:00:00:00:01, with an even first byte")
        })
    }
}
