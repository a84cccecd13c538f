//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use linkspan_plugin::Result;
use linkspan_plugin::call::Call;
use linkspan_protocol::addr::{Cidr, optional_cidr, optional_ip, parse_ip};
use linkspan_protocol::args;
use linkspan_protocol::conf::RouteConf;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::Route;
use linkspan_protocol::version::SpecVersion;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::range::RangeSet;
use crate::range_conf::{RangeConf, networks};

/// The longest file name on Linux.
const NAME_MAX: usize = 255;
const DATA_DIR: &str = "/var/lib/cni/networks";

/// Seconds. Kubelets and container runtimes allow an attachment two minutes or more, and both ADD and the DEL after its
/// failure may wait this long.
const LOCK_TIMEOUT: u32 = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The keys of `host-local` itself.
    ipam: Option<IpamConf>,
    /// The capabilities that the runtime fills in.
    runtime_config: RuntimeConf,
    /// The requests of an orchestrator.
    args: ArgsConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IpamConf {
    /// The subnet of one range, which comes before those of `ranges`.
    #[serde(deserialize_with = "optional_cidr")]
    subnet: Option<Cidr>,
    /// `rangeStart` of that range.
    #[serde(deserialize_with = "optional_ip")]
    range_start: Option<IpAddr>,
    /// `rangeEnd` of that range.
    #[serde(deserialize_with = "optional_ip")]
    range_end: Option<IpAddr>,
    /// `gateway` of that range.
    #[serde(deserialize_with = "optional_ip")]
    gateway: Option<IpAddr>,
    /// `exclude` of that range.
    #[serde(deserialize_with = "networks")]
    exclude: Vec<Cidr>,
    /// Range sets, each a list of ranges of one family. An attachment gets one address of each set.
    ranges: Vec<Vec<RangeConf>>,
    /// Routes for the result.
    routes: Vec<RouteConf>,
    /// The leases are in `<dataDir>/<network>`. Default: [`DATA_DIR`]
    data_dir: String,
    /// A file in the form of resolv.conf(5) for the result's `dns`.
    resolv_conf: String,
    /// An exhausted pool reclaims the addresses of dead containers. Default: `true`
    reclaim: Option<bool>,
    /// Seconds to wait while another process keeps the store locked; then code 11 names that process. 0 does not wait.
    /// Default: [`LOCK_TIMEOUT`]
    lock_timeout: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConf {
    /// The capability `ipRanges`: range sets, before those of `ipam`.
    ip_ranges: Vec<Vec<RangeConf>>,
    /// The capability `ips`: addresses to ask for.
    ips: Vec<Requested>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgsConf {
    /// By convention everything is below this key.
    cni: CniConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CniConf {
    /// Addresses to ask for, in addition to those of the capability and of `IP` in `CNI_ARGS`.
    ips: Vec<Requested>,
}

/// A requested address; absent where the text is empty. A prefix is accepted and ignored.
#[derive(Debug)]
struct Requested(Option<IpAddr>);

impl Requested {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let ip = if text.contains('/') {
            Cidr::parse(text).map(Cidr::ip)
        } else {
            parse_ip(text)
        };
        ip.map(|ip| Self(Some(ip)))
            .map_err(|_parse| format!("invalid IP address {text}"))
    }
}

impl<'de> Deserialize<'de> for Requested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The place of the leases: the only part of the configuration that DEL and GC need.
#[derive(Debug)]
pub(crate) struct Place {
    /// The network's own directory.
    pub(crate) dir: PathBuf,
    /// Whether addresses of dead attachments may be taken back without a DEL.
    pub(crate) reclaim: bool,
    /// The longest wait for the store's lock.
    pub(crate) lock_timeout: Duration,
}

impl Place {
    pub(crate) fn new(call: &Call, conf: &Conf) -> Result<Self> {
        match &conf.ipam {
            Some(ipam) => Self::of(call, ipam),
            None => Self::of(call, &IpamConf::default()),
        }
    }

    fn of(call: &Call, ipam: &IpamConf) -> Result<Self> {
        let data_dir = if ipam.data_dir.is_empty() {
            DATA_DIR
        } else {
            &ipam.data_dir
        };
        if call.network.as_str().len() > NAME_MAX {
            return Err(
                Failure::config("the network's name is too long for a directory")
                    .hint(format!("use at most {NAME_MAX} bytes")),
            );
        }
        if data_dir.contains('\0') {
            return Err(Failure::config(
                "ipam.dataDir has a NUL, which no path can have",
            ));
        }
        Ok(Self {
            dir: PathBuf::from(data_dir).join(call.network.as_str()),
            reclaim: ipam.reclaim.unwrap_or(true),
            lock_timeout: Duration::from_secs(ipam.lock_timeout.unwrap_or(LOCK_TIMEOUT).into()),
        })
    }
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// An attachment gets one address of each.
    pub(crate) sets: Vec<RangeSet>,
    pub(crate) requested: Vec<IpAddr>,
    pub(crate) routes: Vec<Route>,
    /// The network's own directory.
    pub(crate) dir: PathBuf,
    /// Whether addresses of dead attachments may be taken back without a DEL.
    pub(crate) reclaim: bool,
    /// The longest wait for the store's lock.
    pub(crate) lock_timeout: Duration,
    pub(crate) resolv_conf: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: Conf) -> Result<Self> {
        let ipam = conf
            .ipam
            .ok_or_else(|| Failure::config("IPAM config missing 'ipam' key"))?;
        let Place {
            dir,
            reclaim,
            lock_timeout,
        } = Place::of(call, &ipam)?;
        if ipam.resolv_conf.contains('\0') {
            return Err(Failure::config(
                "ipam.resolvConf has a NUL, which no path can have",
            ));
        }
        let mut requested = argument(&call.args)?;
        for ip in conf.args.cni.ips.into_iter().chain(conf.runtime_config.ips) {
            let unset = || Failure::config("cannot understand ip: IP <nil> not v4 nor v6");
            let ip = ip.0.ok_or_else(unset)?;
            if !requested.contains(&ip) {
                requested.push(ip);
            }
        }

        let single = ipam.subnet.map(|subnet| {
            vec![RangeConf {
                subnet: Some(subnet),
                range_start: ipam.range_start,
                range_end: ipam.range_end,
                gateway: ipam.gateway,
                exclude: ipam.exclude,
            }]
        });
        let sets = conf.runtime_config.ip_ranges.into_iter();
        let sets = range_sets(sets.chain(single).chain(ipam.ranges), call.version)?;
        Ok(Self {
            sets,
            requested,
            routes: ipam.routes.into_iter().map(RouteConf::into_route).collect(),
            dir,
            reclaim,
            lock_timeout,
            resolv_conf: (!ipam.resolv_conf.is_empty()).then(|| ipam.resolv_conf.into()),
        })
    }
}

/// The address requested in `CNI_ARGS`; the last one counts.
fn argument(text: &str) -> Result<Vec<IpAddr>> {
    let mut requested = None;
    for (_, value) in args::parse(text, &["IP"])? {
        let refuse = |_quotes_it| {
            let text = "ARGS: error parsing value of pair \"IP\": invalid IP address";
            Failure::new(ErrorCode::INVALID_ENVIRONMENT, text)
        };
        requested = Requested::parse(&value).map_err(refuse)?.0;
    }
    Ok(requested.into_iter().collect())
}

fn range_sets(
    confs: impl Iterator<Item = Vec<RangeConf>>,
    version: SpecVersion,
) -> Result<Vec<RangeSet>> {
    let mut sets: Vec<RangeSet> = Vec::new();
    for (at, ranges) in confs.enumerate() {
        let refuse = |reason| Failure::config(format!("invalid range set {at}: {reason}"));
        sets.push(RangeSet::new(&ranges).map_err(refuse)?);
    }
    if sets.is_empty() {
        return Err(Failure::config("no IP ranges specified")
            .hint("give ipam.ranges or ipam.subnet, or the capability ipRanges"));
    }
    let fours = sets.iter().filter(|set| set.is_of(Family::V4)).count();
    if version < SpecVersion::V0_3_0 && (fours > 1 || sets.len() - fours > 1) {
        return Err(Failure::config(format!(
            "CNI version {version} does not support more than 1 address per family"
        )));
    }
    for (at, one) in sets.iter().enumerate() {
        let mut later = sets.iter().enumerate().skip(at + 1);
        if let Some((other, _)) = later.find(|(_, other)| one.overlaps(other)) {
            return Err(Failure::config(format!(
                "range set {at} overlaps with {other}"
            )));
        }
    }
    Ok(sets)
}
