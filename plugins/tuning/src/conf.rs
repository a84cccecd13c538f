//! The configuration, and the plan made of it. Pure.

use std::path::PathBuf;

use linkspan_attach::wishes::{Wanted, Wishes};
use linkspan_plugin::Result;
use linkspan_plugin::call::Call;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::args;
use linkspan_protocol::error::{ErrorCode, Failure};
use serde::Deserialize;

use linkspan_attach::tuned::Tuned;

const DATA_DIR: &str = "/run/cni/tuning";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conf {
    /// Sysctls below `net` in the container, by their names. The first `IFNAME` in a name means the interface.
    sysctl: Wanted,
    /// The MAC address of the interface.
    mac: String,
    /// The interface receives every frame. `false` changes nothing.
    promisc: bool,
    /// The MTU of the interface, in bytes; 0 keeps it.
    mtu: i64,
    /// The length of the interface's queue, in packets. Default: unchanged
    #[serde(rename = "txQLen")]
    tx_q_len: Option<i64>,
    /// Whether the interface receives every multicast frame. Default: unchanged
    allmulti: Option<bool>,
    /// Directory for the settings before ADD, which DEL needs. Default: `/run/cni/tuning`
    #[serde(rename = "dataDir")]
    data_dir: String,
    /// The capabilities that the runtime fills in.
    #[serde(rename = "runtimeConfig")]
    runtime_config: RuntimeConf,
    /// The requests of the orchestrator.
    args: ArgsConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeConf {
    /// The capability `mac`: the MAC address of the interface.
    mac: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgsConf {
    /// Takes precedence over every other source.
    cni: CniConf,
}

/// The requests of the orchestrator; they take precedence over the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CniConf {
    /// Sysctls in addition to those of `sysctl`, which they override.
    sysctl: Wanted,
    /// Replaces `mac`.
    mac: Option<String>,
    /// Replaces `promisc`.
    promisc: Option<bool>,
    /// Replaces `mtu`.
    mtu: Option<i64>,
    /// Replaces `txQLen`.
    #[serde(rename = "txQLen")]
    tx_q_len: Option<i64>,
    /// Replaces `allmulti`.
    allmulti: Option<bool>,
}

/// The checked plan of a call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) wishes: Wishes,
    /// The wanted settings of the link.
    pub(crate) tuned: Tuned,
    /// The hardware address as written in the configuration; the result repeats it.
    pub(crate) mac_text: String,
    /// The directory of backups.
    pub(crate) dir: PathBuf,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: Conf) -> Result<Self> {
        let dir = data_dir(&conf)?;
        // STATUS has no interface.
        let ifname = match call.ifname() {
            "" => "IFNAME",
            named => named,
        };
        let cni = conf.args.cni;
        let wishes = Wishes::new(conf.sysctl, cni.sysctl, ifname)?;
        let mut from_args = args::parse(&call.args, &["MAC"])?.into_iter();
        let from_args = from_args.next_back().map(|(_, mac)| mac);
        let mut asked = vec![
            ("runtimeConfig.mac", conf.runtime_config.mac),
            ("MAC of CNI_ARGS", from_args.unwrap_or_default()),
            ("mac", conf.mac),
        ];
        if let Some(mac) = cni.mac {
            asked = vec![("args.cni.mac", mac)];
        }
        let mac = asked.into_iter().find(|(_, mac)| !mac.is_empty());
        let (key, mac_text) = mac.unwrap_or_default();
        let mac = (!mac_text.is_empty()).then(|| unicast(key, &mac_text));
        let mtu = cni.mtu.unwrap_or(conf.mtu);
        let promisc = cni.promisc.unwrap_or(conf.promisc);
        let queue_length = cni.tx_q_len.or(conf.tx_q_len);
        Ok(Self {
            wishes,
            tuned: Tuned {
                mac: mac.transpose()?,
                mtu: (mtu != 0).then(|| count("mtu", mtu)).transpose()?,
                promisc: promisc.then_some(true),
                allmulti: cni.allmulti.or(conf.allmulti),
                tx_q_len: queue_length.map(|n| count("txQLen", n)).transpose()?,
            },
            mac_text,
            dir,
        })
    }

    /// Returns whether the container stays unchanged.
    pub(crate) fn is_empty(&self) -> bool {
        self.wishes.is_empty() && self.tuned.is_empty()
    }
}

/// The directory of backups: the only part of the configuration that DEL and GC need.
pub(crate) fn data_dir(conf: &Conf) -> Result<PathBuf> {
    if conf.data_dir.contains('\0') {
        return Err(Failure::config("dataDir has a NUL, which no path can have"));
    }
    Ok(if conf.data_dir.is_empty() {
        DATA_DIR.into()
    } else {
        (&conf.data_dir).into()
    })
}

/// The error does not quote a wrong value, which may be a misplaced secret.
fn unicast(key: &str, text: &str) -> Result<[u8; 6]> {
    let mac = MacAddr::parse(text).ok();
    let mac = mac.filter(|mac| !mac.is_multicast() && mac.0 != [0; 6]);
    let mac = mac.ok_or_else(|| {
        let code = if key.contains("CNI_ARGS") {
            ErrorCode::INVALID_ENVIRONMENT
        } else {
            ErrorCode::INVALID_NETWORK_CONFIG
        };
        Failure::new(code, format!("{key}: not a unicast MAC address"))
            .hint("write it as 02:00:00:00:00:01")
    });
    mac.map(|mac| mac.0)
}

fn count(key: &str, number: i64) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_range| Failure::config(format!("{key} {number} is not a number of 32 bits")))
}
