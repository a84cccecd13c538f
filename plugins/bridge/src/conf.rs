//! The configuration, and the plan that it comes to. Nothing is touched here; each refusal is code 7.

use linkspan_plugin::Result;
use linkspan_plugin::call::Call;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::args;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::json::Json;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the keys are the interface")]
pub(crate) struct Conf {
    bridge: Option<String>,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    mtu: i64,
    hairpin_mode: bool,
    promisc_mode: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    runtime_config: MacConf,
    args: ArgsConf,
    // Not served yet: turned on, they are refused.
    ip_masq: bool,
    vlan: i64,
    vlan_trunk: Option<Json>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgsConf {
    cni: MacConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MacConf {
    mac: String,
}

/// What to do, fully checked.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the keys are the interface")]
pub(crate) struct Plan {
    pub(crate) bridge: String,
    pub(crate) is_gateway: bool,
    pub(crate) is_default_gateway: bool,
    pub(crate) force_address: bool,
    /// In bytes; the kernel's default where absent.
    pub(crate) mtu: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) promiscuous: bool,
    pub(crate) dad: bool,
    pub(crate) leave_down: bool,
    pub(crate) isolated: bool,
    pub(crate) mac: Option<MacAddr>,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: Conf) -> Result<Self> {
        refuse_unserved(&conf)?;
        let layer3 = !call.netconf.ipam.kind.is_empty();
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
        let bridge = conf.bridge.unwrap_or_else(|| "cni0".to_owned());
        IfName::parse(&bridge).map_err(|failure| {
            let failure = failure.with_code(ErrorCode::INVALID_NETWORK_CONFIG);
            failure.context(format!("bridge {bridge:?}"))
        })?;
        let from_args = args::parse(&call.args, &["MAC"])?;
        let from_args = from_args.into_iter().next_back().map(|(_, mac)| mac);
        let mac = [conf.runtime_config.mac, conf.args.cni.mac];
        let mac = mac.into_iter().chain(from_args).find(|mac| !mac.is_empty());
        Ok(Self {
            bridge,
            is_gateway: conf.is_gateway || conf.is_default_gateway,
            is_default_gateway: conf.is_default_gateway,
            force_address: conf.force_address,
            mtu: u32::try_from(conf.mtu).ok().filter(|mtu| *mtu > 0),
            hairpin: conf.hairpin_mode,
            promiscuous: conf.promisc_mode,
            dad: conf.enabledad,
            leave_down: conf.disable_container_interface,
            isolated: conf.port_isolation,
            mac: mac.as_deref().map(unicast).transpose()?,
            layer3,
        })
    }
}

fn refuse_unserved(conf: &Conf) -> Result<()> {
    let keys = [
        ("ipMasq", conf.ip_masq),
        ("vlan", conf.vlan != 0),
        ("vlanTrunk", conf.vlan_trunk.is_some()),
        ("preserveDefaultVlan", conf.preserve_default_vlan),
        ("macspoofchk", conf.macspoofchk),
    ];
    match keys.into_iter().find(|(_, on)| *on) {
        None => Ok(()),
        Some((key, _)) => Err(Failure::config(format!("{key} is not implemented yet"))
            .hint(format!("remove {key:?} from the configuration"))),
    }
}

fn unicast(text: &str) -> Result<MacAddr> {
    let mac = MacAddr::parse(text).map_err(Failure::config)?;
    if mac.is_multicast() || mac.0 == [0; 6] {
        return Err(Failure::config(format!(
            "MAC address {mac} is not a station's"
        )));
    }
    Ok(mac)
}
