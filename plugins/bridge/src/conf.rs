//! The configuration, and the plan made of it. Pure; each refusal is code 7, or 4 for `CNI_ARGS`.

use linkspan_attach::mac::{self, ArgsMac, RuntimeMac};
use linkspan_attach::wishes::Wanted;
use linkspan_attach::{bridge, creation};
use linkspan_filter::backend::Backend;
use linkspan_filter::masquerade::{Ingress, Masquerade};
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::schema::word;
use serde::Deserialize;

use crate::trunk::Trunk;
use crate::vlan::{Keys, Vlans};

/// The default name of the bridge.
const BRIDGE: &str = "cni0";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the keys are the interface")]
pub(crate) struct Conf {
    /// The bridge; it is created if missing. Default: [`BRIDGE`]
    bridge: Option<String>,
    /// Gives the bridge the gateway addresses, and enables forwarding for the host and for the bridge.
    is_gateway: bool,
    /// Like `isGateway`, and adds default routes.
    is_default_gateway: bool,
    /// Replaces an address of the bridge that conflicts with a gateway address.
    force_address: bool,
    /// MTU of a new bridge and of both ends, in bytes. Default: the kernel's
    mtu: i64,
    /// The bridge may send a frame back by the port that it came from, so a container reaches its own published ports.
    hairpin_mode: bool,
    /// The bridge receives every frame.
    promisc_mode: bool,
    /// Keeps IPv6 duplicate address detection, and waits for it.
    enabledad: bool,
    /// Leaves the container's end down; not with IPAM.
    disable_container_interface: bool,
    /// Isolates the port: it exchanges frames with the bridge itself and with ports that are not isolated.
    port_isolation: bool,
    /// Sysctls of the container's interface that are written before it is up, such as
    /// `net.ipv6.conf.IFNAME.disable_ipv6`.
    sysctl: Wanted,
    /// The capability `mac`.
    runtime_config: RuntimeMac,
    /// The requests of an orchestrator.
    args: ArgsMac,
    /// Packets to the outside have the host's address instead of the container's.
    ip_masq: bool,
    /// The packet filter for `ipMasq`. Default: nf_tables if the kernel has it, else iptables
    #[serde(deserialize_with = "word::<Backend, _>")]
    ip_masq_backend: Option<String>,
    /// Networks that see the container's own address, besides its own subnet: the rest of a cluster, such as
    /// `["10.0.0.0/8"]`.
    ip_masq_except: Vec<String>,
    /// The VLAN of the container's untagged frames, from 1 to 4094, or 0 for none. With `isGateway` the gateway is an
    /// interface `BRIDGE.VLAN` on the host. A new bridge filters VLANs.
    vlan: i64,
    /// VLANs of the container's tagged frames: `[{"id": 7}, {"minID": 100, "maxID": 110}]`.
    vlan_trunk: Option<Vec<Trunk>>,
    /// Keeps the port in the bridge's default VLAN, too.
    preserve_default_vlan: bool,
    /// Refuses an existing bridge that does not filter VLANs, and keeps `vlan` for untagged frames even if `vlanTrunk`
    /// has it, too.
    strict_vlan: bool,
    /// Switches VLAN filtering on if an existing bridge does not filter. This affects all its ports.
    ensure_vlan_filtering: bool,
    /// Drops frames of the container whose source is not its own MAC address. Requires nf_tables.
    macspoofchk: bool,
}

impl Conf {
    /// Returns whether an ADD with these keys may create an interface of the host in a VLAN.
    pub(crate) fn may_have_vlan_gateway(&self) -> bool {
        self.vlan != 0 && (self.is_gateway || self.is_default_gateway)
    }
}

/// The checked plan of a call.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the keys are the interface")]
pub(crate) struct Plan {
    pub(crate) bridge: String,
    pub(crate) is_gateway: bool,
    pub(crate) is_default_gateway: bool,
    pub(crate) force_address: bool,
    /// Bytes; absent: the kernel's default.
    pub(crate) mtu: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) promiscuous: bool,
    pub(crate) dad: bool,
    pub(crate) leave_down: bool,
    pub(crate) sysctl: Wanted,
    pub(crate) isolated: bool,
    pub(crate) mac: Option<MacAddr>,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
    pub(crate) masquerade: Option<Masquerade>,
    /// Whether frames with another source than the container's MAC address are dropped.
    pub(crate) spoof_check: bool,
    pub(crate) vlans: Vlans,
}

impl Plan {
    /// The host's ingress for packets of the containers.
    pub(crate) fn ingress(&self) -> Ingress {
        Ingress::Link(self.gateway())
    }

    /// The wanted bridge.
    pub(crate) fn request(&self) -> bridge::Request<'_> {
        bridge::Request {
            name: &self.bridge,
            mtu: self.mtu,
            promiscuous: self.promiscuous,
            filtering: self.vlans.filtering(),
        }
    }

    /// The interface with the gateway addresses: the bridge, or its VLAN's interface.
    pub(crate) fn gateway(&self) -> String {
        self.vlan_gateway().unwrap_or_else(|| self.bridge.clone())
    }

    /// The VLAN's interface on the host, if any.
    pub(crate) fn vlan_gateway(&self) -> Option<String> {
        let is_needed = self.layer3 && self.is_gateway;
        let vlan = self.vlans.access.filter(|_| is_needed)?;
        Some(format!("{}.{vlan}", self.bridge))
    }
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, cni_args: &str, conf: Conf) -> Result<Self> {
        let layer3 = !netconf.ipam.kind.is_empty();
        if layer3 && conf.disable_container_interface {
            return Err(Failure::config(
                "cannot use IPAM when DisableContainerInterface flag is set",
            ));
        }
        if conf.hairpin_mode && conf.promisc_mode {
            return Err(Failure::config(
                "cannot set hairpin mode and promiscuous mode at the same time",
            ));
        }
        let bridge = conf.bridge.unwrap_or_else(|| BRIDGE.to_owned());
        check_name(&bridge)?;
        let vlans = Vlans::parse(&Keys {
            vlan: conf.vlan,
            trunk: conf.vlan_trunk,
            preserve_default: conf.preserve_default_vlan,
            strict: conf.strict_vlan,
            ensure_filtering: conf.ensure_vlan_filtering,
        })?;
        let mac = mac::Asked {
            capability: &conf.runtime_config,
            args: &conf.args,
            cni_args,
            key: "",
        };
        let mac = mac.first()?;
        let plan = Self {
            bridge,
            is_gateway: conf.is_gateway || conf.is_default_gateway,
            is_default_gateway: conf.is_default_gateway,
            force_address: conf.force_address,
            mtu: creation::mtu(conf.mtu)?,
            hairpin: conf.hairpin_mode,
            promiscuous: conf.promisc_mode,
            dad: conf.enabledad,
            leave_down: conf.disable_container_interface,
            sysctl: conf.sysctl,
            isolated: conf.port_isolation,
            mac,
            layer3,
            masquerade: Masquerade::parse(
                conf.ip_masq,
                conf.ip_masq_backend.as_deref(),
                &conf.ip_masq_except,
            )?,
            spoof_check: conf.macspoofchk,
            vlans,
        };
        if let Some(gateway) = plan.vlan_gateway() {
            check_gateway(&gateway)?;
        }
        Ok(plan)
    }
}

fn check_name(bridge: &str) -> Result<()> {
    let named = |failure: Failure| failure.context(format!("bridge {bridge:?}"));
    IfName::parse(bridge)
        .map_err(|failure| named(failure.with_code(ErrorCode::INVALID_NETWORK_CONFIG)))?;
    if bridge.contains('%') {
        let msg = "the kernel replaces % in an interface's name";
        return Err(named(Failure::config(msg)));
    }
    Ok(())
}

fn check_gateway(name: &str) -> Result<()> {
    IfName::parse(name).map(drop).map_err(|failure| {
        failure
            .with_code(ErrorCode::INVALID_NETWORK_CONFIG)
            .context(format!("gateway {name:?} of the VLAN"))
            .hint("set \"bridge\" to a shorter name: the gateway has the name BRIDGE.VLAN")
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    pub(crate) fn plan(keys: &str, cni_args: &str) -> Result<Plan> {
        let json = Json::parse(format!("{{\"name\":\"n\"{keys}}}").as_bytes())?;
        Plan::new(&NetConf::decode(&json)?, cni_args, json.decode()?)
    }

    #[test]
    fn the_empty_configuration_is_a_layer_2_port_of_cni0() {
        let plan = plan("", "").unwrap();
        assert_eq!((&*plan.bridge, plan.mtu, plan.mac), ("cni0", None, None));
        assert!(!plan.layer3 && !plan.is_gateway && !plan.leave_down && !plan.dad);
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (keys, named) in [
            (r#","ipMasq":true,"ipMasqBackend":"ebtables""#, "ebtables"),
            (
                r#","ipMasq":true,"ipMasqExcept":["10.0.0.0"]"#,
                "ipMasqExcept",
            ),
            (r#","vlan":-1"#, "VLAN ID -1"),
            (r#","vlanTrunk":[{"id":4095}]"#, "4095"),
            (
                r#","vlan":4000,"bridge":"eleven-long","isGateway":true,"ipam":{"type":"x"}"#,
                "eleven-long.4000",
            ),
            (r#","bridge":"""#, "bridge \"\""),
            (r#","bridge":"a/b""#, "a/b"),
            (r#","bridge":"br%d""#, "br%d"),
            (r#","mtu":4294967296"#, "mtu 4294967296"),
            (r#","hairpinMode":true,"promiscMode":true"#, "hairpin mode"),
            (
                r#","ipam":{"type":"x"},"disableContainerInterface":true"#,
                "IPAM",
            ),
            (
                r#","runtimeConfig":{"mac":"01:00:5e:00:00:01"}"#,
                "runtimeConfig.mac",
            ),
            (r#","args":{"cni":{"mac":"02:00"}}"#, "args.cni.mac"),
        ] {
            let failure = plan(keys, "").unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{keys}");
            assert!(failure.message().contains(named), "{}", failure.message());
        }
        let off = r#","ipMasq":false,"vlan":0,"vlanTrunk":null,"macspoofchk":false,"mtu":-1"#;
        assert_eq!(plan(off, "").unwrap().mtu, None);
    }

    #[test]
    fn the_runtimes_mac_wins_over_args_and_those_over_cni_args() {
        let cni = r#","args":{"cni":{"mac":"02:00:00:00:00:02"}}"#;
        let both = format!(r#"{cni},"runtimeConfig":{{"mac":"02:00:00:00:00:01"}}"#);
        for (keys, last) in [(both.as_str(), 1), (cni, 2), ("", 3)] {
            let plan = plan(keys, "MAC=02:00:00:00:00:03").unwrap();
            assert_eq!(plan.mac, Some(MacAddr([2, 0, 0, 0, 0, last])));
        }
    }
}
