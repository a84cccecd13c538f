//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_attach::creation;
use linkspan_attach::wishes::Wanted;
use linkspan_filter::backend::Backend;
use linkspan_filter::masquerade::Masquerade;
use linkspan_plugin::Result;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::word;
use serde::Deserialize;

use crate::device::Device;

/// The IPAM plugin that needs an interface first.
const DHCP: &str = "dhcp";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The kind of the pair. A `netkit` pair takes BPF programs (Linux 6.8); where the kernel has none the pair is a
    /// `veth`, with a warning on stderr. Default: `veth`
    #[serde(deserialize_with = "word::<Device, _>")]
    device: Option<String>,
    /// Bytes, of both ends. Default: the kernel's
    mtu: i64,
    /// The world sees the host's address instead of the container's.
    ip_masq: bool,
    /// The packet filter for `ipMasq`. Default: nf_tables where the kernel has it, else iptables
    #[serde(deserialize_with = "word::<Backend, _>")]
    ip_masq_backend: Option<String>,
    /// Networks that see the container's own address, beside its own subnet: the rest of a cluster, such as
    /// `["10.0.0.0/8"]`.
    ip_masq_except: Vec<String>,
    /// Sysctls of the container's interface that are written before it is up, by their names, as
    /// `net.ipv6.conf.IFNAME.disable_ipv6`.
    sysctl: Wanted,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The kind of the pair.
    pub(crate) device: Device,
    /// Bytes, of both ends; absent: the kernel's default.
    pub(crate) mtu: Option<u32>,
    pub(crate) masquerade: Option<Masquerade>,
    pub(crate) sysctl: Wanted,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, conf: &Conf) -> Result<Self> {
        if netconf.ipam.kind.is_empty() {
            return Err(Failure::config("no plugin name provided")
                .hint("set \"ipam\": a point-to-point link needs an address and a gateway"));
        }
        if netconf.ipam.kind == DHCP {
            return Err(Failure::config(
                "ipam plugin dhcp: it asks by an interface, and ptp makes its own with the address",
            )
            .hint("use bridge, macvlan, ipvlan or host-device with dhcp"));
        }
        Ok(Self {
            device: Device::parse(conf.device.as_deref())?,
            mtu: creation::mtu(conf.mtu)?,
            masquerade: Masquerade::parse(
                conf.ip_masq,
                conf.ip_masq_backend.as_deref(),
                &conf.ip_masq_except,
            )?,
            sysctl: conf.sysctl.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    fn plan(keys: &str) -> Result<Plan> {
        let json = Json::parse(format!("{{\"name\":\"n\"{keys}}}").as_bytes())?;
        Plan::new(&NetConf::decode(&json)?, &json.decode()?)
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (keys, named) in [
            ("", "no plugin name provided"),
            (
                r#","ipMasq":true,"ipMasqBackend":"pf","ipam":{"type":"x"}"#,
                "pf",
            ),
            (r#","mtu":4294967296,"ipam":{"type":"x"}"#, "mtu 4294967296"),
            (r#","ipam":{"type":"dhcp"}"#, "ipam plugin dhcp"),
            (
                r#","device":"Netkit","ipam":{"type":"x"}"#,
                r#"unknown device "Netkit""#,
            ),
        ] {
            let failure = plan(keys).unwrap_err();
            assert!(failure.message().contains(named), "{}", failure.message());
        }
        assert_eq!(plan(r#","mtu":-1,"ipam":{"type":"x"}"#).unwrap().mtu, None);
        for (keys, device) in [
            ("", Device::Veth),
            (r#","device":"veth""#, Device::Veth),
            (r#","device":"netkit""#, Device::Netkit),
        ] {
            let plan = plan(&format!(r#"{keys},"ipam":{{"type":"x"}}"#)).unwrap();
            assert_eq!(plan.device, device);
        }
        assert_eq!(
            plan(r#","mtu":512,"ipam":{"type":"x"}"#).unwrap().mtu,
            Some(512)
        );
    }
}
