//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_attach::child;
use linkspan_attach::conflict::ConflictCheck;
use linkspan_attach::mac::{self, ArgsMac, RuntimeMac};
use linkspan_attach::parent::{Choice, Parent};
use linkspan_attach::wishes::Wanted;
use linkspan_netlink::link::{Kind, QosMap, Vlan, VlanProtocol};
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::{Words, word};
use serde::Deserialize;

/// The largest VLAN number; 4095 is reserved (IEEE 802.1Q).
const LAST: u16 = 4094;
/// The largest priority in a tag, which has three bits.
const HIGHEST: u32 = 7;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The interface that the VLAN is on; required, unless `masterIndex` is set.
    master: String,
    /// The index of the master in `interfaces` of `prevResult`, instead of its name.
    master_index: Option<i64>,
    /// The master is in the container's namespace.
    link_in_container: bool,
    /// STATUS answers code 50 if the master is missing or down. Default: `true`
    check_master: Option<bool>,
    /// The VLAN's number, 0 to 4094; 0 is for frames with only a priority.
    vlan_id: i64,
    /// Tag format: `802.1Q`, or `802.1ad`, for tags in front of other tags. Default: `802.1Q`
    #[serde(deserialize_with = "word::<Protocols, _>")]
    protocol: Option<String>,
    /// Maps priorities of packets, `from`, to priorities in the tag, `to`, 0 to 7. Default: 0 for all
    egress_qos_map: Vec<Mapping>,
    /// Maps priorities in the tag, `from`, 0 to 7, to priorities of packets, `to`. Default: 0 for all
    ingress_qos_map: Vec<Mapping>,
    /// MTU in bytes, at most the master's. Default: the master's
    mtu: i64,
    /// The MAC address of the interface; the capability and `args.cni.mac` come first. Default: the master's
    mac: String,
    /// Source of the MAC address: `master`, or `ip` to derive it from the first IP address, so that it is the same on
    /// every node. Default: `master`
    #[serde(deserialize_with = "word::<Policies, _>")]
    mac_policy: Option<String>,
    /// Keeps IPv6 duplicate address detection, and waits for it.
    enabledad: bool,
    /// ADD first asks the other stations for its addresses, which takes 100 ms, and fails if one of them has such an
    /// address.
    conflict_check: bool,
    /// Sysctls of the container's interface that are written before it is up, such as
    /// `net.ipv6.conf.IFNAME.accept_ra`.
    sysctl: Wanted,
    /// The capability `mac`.
    runtime_config: RuntimeMac,
    /// The requests of an orchestrator.
    args: ArgsMac,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Mapping {
    /// The priority.
    from: u32,
    /// The new priority.
    to: u32,
}

struct Protocols;

impl Words for Protocols {
    const WORDS: &'static [&'static str] = &["802.1Q", "802.1ad"];
}

struct Policies;

impl Words for Policies {
    const WORDS: &'static [&'static str] = &["master", "ip"];
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) parent: Parent,
    pub(crate) vlan: Vlan,
    /// The configured MTU. The master limits it.
    pub(crate) mtu: i64,
    /// MAC address; default: the master's.
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mac_by_address: bool,
    pub(crate) dad: bool,
    pub(crate) conflicts: ConflictCheck,
    pub(crate) sysctl: Wanted,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, conf: Conf) -> Result<Self> {
        if conf.master.is_empty() && conf.master_index.is_none() {
            return Err(Failure::config(
                "\"master\" field is required. It specifies the host interface name to create the VLAN for",
            ));
        }
        let mac = mac::Asked {
            capability: &conf.runtime_config,
            args: &conf.args,
            cni_args: "",
            key: &conf.mac,
        };
        let mac = mac.first()?;
        let ipam = &netconf.ipam.kind;
        let policy = conf.mac_policy.as_deref();
        let by_address = child::mac_by_address(policy, Policies::WORDS, ipam)?;
        let (index, inside) = (conf.master_index, conf.link_in_container);
        let parent = Parent::new(&conf.master, index, inside, Choice::DefaultRoute)?;
        Ok(Self {
            parent: parent.checked(conf.check_master.unwrap_or(true)),
            vlan: Vlan {
                protocol: protocol(conf.protocol.as_deref().unwrap_or_default())?,
                egress: maps("egressQosMap", &conf.egress_qos_map, |map| map.to)?,
                ingress: maps("ingressQosMap", &conf.ingress_qos_map, |map| map.from)?,
                ..Vlan::of(id(conf.vlan_id)?)
            },
            mtu: conf.mtu,
            mac,
            mac_by_address: mac.is_none() && by_address,
            dad: conf.enabledad,
            conflicts: ConflictCheck::of(conf.conflict_check),
            sysctl: conf.sysctl,
            layer3: !ipam.is_empty(),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::Vlan(self.vlan.clone())
    }
}

fn id(key: i64) -> Result<u16> {
    let id = u16::try_from(key).ok().filter(|id| *id <= LAST);
    id.ok_or_else(|| {
        Failure::config(format!(
            "invalid VLAN ID {key} (must be between 0 and {LAST} inclusive)"
        ))
    })
}

fn protocol(word: &str) -> Result<VlanProtocol> {
    match word {
        "" | "802.1Q" => Ok(VlanProtocol::Q),
        "802.1ad" => Ok(VlanProtocol::Ad),
        other => Err(Failure::config(format!("unknown VLAN protocol {other:?}"))
            .hint("use 802.1Q or 802.1ad")),
    }
}

/// The mappings, each priority once, in order. `in_tag` selects the priority that is in the tag.
fn maps(key: &str, conf: &[Mapping], in_tag: fn(&QosMap) -> u32) -> Result<Vec<QosMap>> {
    let map = |map: &Mapping| QosMap {
        from: map.from,
        to: map.to,
    };
    let mut maps: Vec<QosMap> = conf.iter().map(map).collect();
    if let Some(high) = maps.iter().map(in_tag).find(|one| *one > HIGHEST) {
        return Err(Failure::config(format!(
            "{key}: priority {high} of a tag is more than {HIGHEST}"
        )));
    }
    maps.sort_by_key(|map| map.from);
    let twice = maps.windows(2).find_map(|pair| match pair {
        [one, other] if one.from == other.from => Some(one.from),
        _ => None,
    });
    match twice {
        Some(from) => Err(Failure::config(format!(
            "{key}: priority {from} is mapped twice"
        ))),
        None => Ok(maps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::error::ErrorCode;
    use linkspan_protocol::json::Json;

    fn plan(keys: &str) -> Result<Plan> {
        let json = Json::parse(format!("{{\"name\":\"n\"{keys}}}").as_bytes())?;
        Plan::new(&NetConf::decode(&json)?, json.decode()?)
    }

    #[test]
    fn a_master_is_enough() {
        let plan = plan(r#","master":"eth0""#).unwrap();
        assert_eq!(plan.parent.choice, Choice::Named("eth0".into()));
        assert_eq!((plan.vlan, plan.mac), (Vlan::of(0), None));
        assert!(plan.parent.is_checked && !plan.layer3 && !plan.dad && !plan.mac_by_address);
    }

    #[test]
    fn tags_and_priorities_are_as_they_are_asked_for() {
        let keys = r#","masterIndex":0,"vlanId":4094,"protocol":"802.1ad",
            "egressQosMap":[{"from":6,"to":7},{"from":1,"to":2}],"ingressQosMap":[{"from":7,"to":4000000}]"#;
        let vlan = plan(keys).unwrap().vlan;
        let egress = [QosMap { from: 1, to: 2 }, QosMap { from: 6, to: 7 }];
        assert_eq!((vlan.id, vlan.protocol), (4094, VlanProtocol::Ad));
        assert_eq!(vlan.egress, egress);
        let ingress = QosMap {
            from: 7,
            to: 4_000_000,
        };
        assert_eq!(vlan.ingress, [ingress]);
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, named) in [
            ("", "\"master\" field is required"),
            (r#","master":"a","vlanId":4095"#, "invalid VLAN ID 4095"),
            (r#","master":"a","vlanId":-1"#, "invalid VLAN ID -1"),
            (r#","master":"a","protocol":"ad""#, "VLAN protocol \"ad\""),
            (r#","master":"a","mac":"02:00""#, "mac: not a unicast"),
            (
                r#","master":"a","macPolicy":"random""#,
                "macPolicy \"random\"",
            ),
            (
                r#","master":"a","egressQosMap":[{"from":1,"to":8}]"#,
                "egressQosMap: priority 8",
            ),
            (
                r#","master":"a","ingressQosMap":[{"from":1,"to":8},{"from":1,"to":9}]"#,
                "priority 1 is mapped twice",
            ),
        ] {
            let failure = plan(keys).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{keys}");
            assert!(failure.message().contains(named), "{}", failure.message());
        }
    }
}
