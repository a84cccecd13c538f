//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_attach::conflict::ConflictCheck;
use linkspan_attach::creation;
use linkspan_attach::parent::{Choice, Parent};
use linkspan_attach::wishes::Wanted;
use linkspan_netlink::link::{Ipvlan, IpvlanMode, IpvlanReach, Kind};
use linkspan_plugin::{Result, delegate};
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::{Words, word};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the keys are the interface")]
pub(crate) struct Conf {
    /// The interface on which the container's one is created. Default: the only interface of `prevResult`, or else
    /// that of the default route
    master: String,
    /// The index of the master in `interfaces` of `prevResult`, instead of its name.
    master_index: Option<i64>,
    /// The master is in the container's namespace.
    link_in_container: bool,
    /// STATUS answers code 50 if the master is missing or down. Default: `true`
    check_master: Option<bool>,
    /// Forwarding mode: `l2`, by frames; `l3`, by routes of the master's namespace; `l3s`, the same with its packet
    /// filter and connection tracking. Default: `l2`
    #[serde(deserialize_with = "word::<Modes, _>")]
    mode: Option<String>,
    /// MTU in bytes. A larger one than the master's causes a warning on stderr. Default: the master's
    mtu: i64,
    /// Refuses an `mtu` that is larger than the master's.
    strict_mtu: bool,
    /// Keeps IPv6 duplicate address detection, and waits for it.
    enabledad: bool,
    /// ADD first asks the other stations for its addresses, which takes 100 ms, and fails if one of them has such an
    /// address.
    conflict_check: bool,
    /// Sysctls of the container's interface that are written before it is up, such as
    /// `net.ipv6.conf.IFNAME.accept_ra`.
    sysctl: Wanted,
}

struct Modes;

impl Words for Modes {
    const WORDS: &'static [&'static str] = &["l2", "l3", "l3s"];
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) parent: Parent,
    pub(crate) ipvlan: Ipvlan,
    /// The configured MTU. A strict plan refuses more than the master's.
    pub(crate) mtu: i64,
    pub(crate) strict_mtu: bool,
    pub(crate) dad: bool,
    pub(crate) conflicts: ConflictCheck,
    pub(crate) sysctl: Wanted,
    /// Whether an IPAM plugin gives addresses; otherwise they are in the previous result.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, conf: Conf) -> Result<Self> {
        let (index, inside) = (conf.master_index, conf.link_in_container);
        let ipam = &netconf.ipam.kind;
        let ipvlan = Ipvlan {
            mode: mode(conf.mode.as_deref().unwrap_or_default())?,
            reach: IpvlanReach::Bridge,
        };
        if delegate::is_over_the_interface(ipam) && ipvlan.mode != IpvlanMode::L2 {
            let name = ipvlan.mode.name();
            return Err(Failure::config(format!(
                "mode {name} is not possible with {ipam}: its broadcasts need frames"
            ))
            .hint("set \"mode\" to l2, or choose another IPAM plugin"));
        }
        if conf.conflict_check && ipvlan.mode != IpvlanMode::L2 {
            let name = ipvlan.mode.name();
            return Err(Failure::config(format!(
                "conflictCheck is not possible in mode {name}: its questions need frames"
            ))
            .hint("set \"mode\" to l2, or leave out \"conflictCheck\""));
        }
        let otherwise = if netconf.prev_result.is_some() {
            Choice::Only
        } else {
            Choice::DefaultRoute
        };
        let parent = Parent::new(&conf.master, index, inside, otherwise)?;
        // Only an ADD knows an interface of a previous result.
        let is_chained = ipam.is_empty() && parent.choice == Choice::DefaultRoute;
        let is_checked = conf.check_master.unwrap_or(true) && !is_chained;
        if !conf.strict_mtu {
            creation::mtu(conf.mtu)?;
        }
        Ok(Self {
            parent: parent.checked(is_checked),
            ipvlan,
            mtu: conf.mtu,
            strict_mtu: conf.strict_mtu,
            dad: conf.enabledad,
            conflicts: ConflictCheck::of(conf.conflict_check),
            sysctl: conf.sysctl,
            layer3: !ipam.is_empty(),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::Ipvlan(self.ipvlan)
    }
}

fn mode(word: &str) -> Result<IpvlanMode> {
    let mut modes = IpvlanMode::ALL.into_iter();
    match modes.find(|mode| mode.name() == word) {
        Some(mode) => Ok(mode),
        None if word.is_empty() => Ok(IpvlanMode::L2),
        None => {
            Err(Failure::config(format!("unknown ipvlan mode: {word:?}")).hint("use l2, l3 or l3s"))
        }
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
    fn the_master_is_that_of_the_result_before_or_of_the_default_route() {
        for (keys, choice, is_checked) in [
            ("", Choice::DefaultRoute, false),
            (r#","ipam":{"type":"x"}"#, Choice::DefaultRoute, true),
            (r#","prevResult":{}"#, Choice::Only, true),
            (r#","prevResult":{},"masterIndex":1"#, Choice::At(1), true),
            (r#","master":"a""#, Choice::Named("a".into()), true),
        ] {
            let plan = plan(keys).unwrap();
            let parent = plan.parent;
            assert_eq!((parent.choice, parent.is_checked), (choice, is_checked));
        }
    }

    #[test]
    fn every_mode_has_a_word() {
        assert_eq!(plan("").unwrap().ipvlan.mode, IpvlanMode::L2);
        for word in Modes::WORDS {
            let plan = plan(&format!(r#","mode":"{word}""#)).unwrap();
            assert_eq!(plan.ipvlan.mode.name(), *word);
        }
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, named) in [
            (r#","mode":"L2""#, "unknown ipvlan mode: \"L2\""),
            (
                r#","mode":"l3","ipam":{"type":"dhcp"}"#,
                "mode l3 is not possible with dhcp",
            ),
            (r#","mtu":4294967296"#, "mtu 4294967296"),
            (r#","master":"a","masterIndex":0"#, "both master"),
        ] {
            let failure = plan(keys).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{keys}");
            assert!(failure.message().contains(named), "{}", failure.message());
        }
    }
}
