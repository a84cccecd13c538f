//! The configuration, and the plan made of it. Pure; each refusal is code 7, or 4 for `CNI_ARGS`.

use linkspan_attach::child;
use linkspan_attach::conflict::ConflictCheck;
use linkspan_attach::mac::{self, ArgsMac, RuntimeMac};
use linkspan_attach::parent::{Choice, Parent};
use linkspan_attach::wishes::Wanted;
use linkspan_netlink::link::{Kind, Macvlan, MacvlanMode};
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::{Words, word};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The interface on which the container's one is created. Default: that of the default route
    master: String,
    /// The index of the master in `interfaces` of `prevResult`, instead of its name.
    master_index: Option<i64>,
    /// The master is in the container's namespace.
    link_in_container: bool,
    /// STATUS answers code 50 if the master is missing or down. Default: `true`
    check_master: Option<bool>,
    /// The containers on the same master that a container reaches: `bridge`, all; `private`, none; `vepa`, all, if the
    /// switch behind the master sends frames back; `passthru`, the master has one container only. Default: `bridge`
    #[serde(deserialize_with = "word::<Modes, _>")]
    mode: Option<String>,
    /// MTU in bytes, at most the master's. Default: the master's
    mtu: i64,
    /// The MAC address of the interface; the capability, `args.cni.mac`, and `MAC` in `CNI_ARGS` come first. Default:
    /// by `macPolicy`
    mac: String,
    /// Source of the MAC address: `random`, or `ip` to derive it from the first IP address, so that it is the same on
    /// every node. Default: `random`
    #[serde(deserialize_with = "word::<Policies, _>")]
    mac_policy: Option<String>,
    /// Maximum number of the master's broadcasts that are queued for its containers. Default: the kernel's
    bcqueuelen: u32,
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

struct Modes;

impl Words for Modes {
    const WORDS: &'static [&'static str] = &["bridge", "private", "vepa", "passthru"];
}

struct Policies;

impl Words for Policies {
    const WORDS: &'static [&'static str] = &["random", "ip"];
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) parent: Parent,
    pub(crate) macvlan: Macvlan,
    /// The configured MTU. The master limits it.
    pub(crate) mtu: i64,
    /// MAC address; default: the kernel's choice.
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mac_by_address: bool,
    pub(crate) dad: bool,
    pub(crate) conflicts: ConflictCheck,
    pub(crate) sysctl: Wanted,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, cni_args: &str, conf: Conf) -> Result<Self> {
        let mac = mac::Asked {
            capability: &conf.runtime_config,
            args: &conf.args,
            cni_args,
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
            macvlan: Macvlan {
                mode: mode(conf.mode.as_deref().unwrap_or_default())?,
                broadcast_queue: Some(conf.bcqueuelen).filter(|len| *len > 0),
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
        Kind::Macvlan(self.macvlan)
    }
}

fn mode(word: &str) -> Result<MacvlanMode> {
    let mut modes = MacvlanMode::ALL.into_iter();
    let is_asked = |mode: &MacvlanMode| mode.name() == word && Modes::WORDS.contains(&word);
    match modes.find(is_asked) {
        Some(mode) => Ok(mode),
        None if word.is_empty() => Ok(MacvlanMode::Bridge),
        None => Err(Failure::config(format!("unknown macvlan mode: {word:?}"))
            .hint("use bridge, private, vepa or passthru")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::error::ErrorCode;
    use linkspan_protocol::json::Json;

    fn plan(keys: &str, cni_args: &str) -> Result<Plan> {
        let json = Json::parse(format!("{{\"name\":\"n\"{keys}}}").as_bytes())?;
        Plan::new(&NetConf::decode(&json)?, cni_args, json.decode()?)
    }

    #[test]
    fn the_empty_configuration_is_a_bridge_on_the_default_routes_interface() {
        let plan = plan("", "").unwrap();
        assert_eq!(plan.parent.choice, Choice::DefaultRoute);
        assert_eq!(plan.macvlan.mode, MacvlanMode::Bridge);
        assert_eq!((plan.macvlan.broadcast_queue, plan.mac), (None, None));
        assert!(plan.parent.is_checked && !plan.layer3 && !plan.dad);
    }

    #[test]
    fn every_mode_has_a_word() {
        for word in Modes::WORDS {
            let plan = plan(&format!(r#","mode":"{word}""#), "").unwrap();
            assert_eq!(plan.macvlan.mode.name(), *word);
        }
    }

    #[test]
    fn the_runtimes_mac_wins_over_args_over_cni_args_over_the_key() {
        let key = r#","mac":"02:00:00:00:00:04","macPolicy":"ip","ipam":{"type":"x"}"#;
        let args = format!(r#"{key},"args":{{"cni":{{"mac":"02:00:00:00:00:02"}}}}"#);
        let all = format!(r#"{args},"runtimeConfig":{{"mac":"02:00:00:00:00:01"}}"#);
        let of_call = "MAC=02:00:00:00:00:03";
        for (keys, cni_args, last) in [
            (all.as_str(), of_call, 1),
            (&args, of_call, 2),
            (key, of_call, 3),
            (key, "", 4),
        ] {
            let plan = plan(keys, cni_args).unwrap();
            assert_eq!(plan.mac, Some(MacAddr([2, 0, 0, 0, 0, last])));
            assert!(!plan.mac_by_address);
        }
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, named) in [
            (r#","mode":"source""#, "unknown macvlan mode: \"source\""),
            (r#","mode":"Bridge""#, "unknown macvlan mode: \"Bridge\""),
            (r#","mac":"02:00""#, "mac: not a unicast"),
            (r#","macPolicy":"ip""#, "macPolicy \"ip\""),
            (r#","master":"eth0","masterIndex":0"#, "both master"),
        ] {
            let failure = plan(keys, "").unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{keys}");
            assert!(failure.message().contains(named), "{}", failure.message());
        }
        assert!(plan("", "MAC=02:00:00:00:00:03;").is_err());
    }
}
