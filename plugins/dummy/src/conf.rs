//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_attach::creation;
use linkspan_attach::mac::{self, ArgsMac, RuntimeMac};
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// MTU in bytes. Default: the kernel's
    mtu: i64,
    /// The MAC address of the interface. Default: a random one
    mac: String,
    /// The capability `mac`, which comes before the key.
    runtime_config: RuntimeMac,
    /// The requests of an orchestrator.
    args: ArgsMac,
}

/// The work, fully checked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// MTU in bytes; default: the kernel's.
    pub(crate) mtu: Option<u32>,
    /// MAC address; default: the kernel's choice.
    pub(crate) mac: Option<MacAddr>,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, conf: &Conf) -> Result<Self> {
        let mac = mac::Asked {
            capability: &conf.runtime_config,
            args: &conf.args,
            cni_args: "",
            key: &conf.mac,
        };
        Ok(Self {
            mtu: creation::mtu(conf.mtu)?,
            mac: mac.first()?,
            layer3: !netconf.ipam.kind.is_empty(),
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
    fn the_empty_configuration_is_an_interface_without_addresses() {
        let plan = plan("").unwrap();
        assert_eq!((plan.mtu, plan.mac, plan.layer3), (None, None, false));
    }

    #[test]
    fn the_runtimes_mac_wins_over_args_and_those_over_the_key() {
        let key = r#","mac":"02:00:00:00:00:03""#;
        let args = format!(r#"{key},"args":{{"cni":{{"mac":"02:00:00:00:00:02"}}}}"#);
        let all = format!(r#"{args},"runtimeConfig":{{"mac":"02:00:00:00:00:01"}}"#);
        for (keys, last) in [(all.as_str(), 1), (&args, 2), (key, 3)] {
            let plan = plan(keys).unwrap();
            assert_eq!(plan.mac, Some(MacAddr([2, 0, 0, 0, 0, last])));
        }
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, named) in [
            (r#","mtu":4294967296"#, "mtu 4294967296"),
            (r#","mac":"02:00""#, "mac: not a unicast"),
            (
                r#","runtimeConfig":{"mac":"01:00:5e:00:00:01"}"#,
                "runtimeConfig.mac",
            ),
            (
                r#","args":{"cni":{"mac":"00:00:00:00:00:00"}}"#,
                "args.cni.mac",
            ),
        ] {
            let failure = plan(keys).unwrap_err();
            assert!(failure.message().contains(named), "{}", failure.message());
        }
    }
}
