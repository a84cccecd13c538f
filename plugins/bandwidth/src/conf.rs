//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::Failure;
use serde::Deserialize;

use crate::limit::{Limit, Source};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The rate of packets to the container, in bits per second. Default: no limit
    ingress_rate: Option<u64>,
    /// Bits that may go to the container at once; required with the rate.
    ingress_burst: Option<u64>,
    /// The rate of packets from the container, in bits per second. Default: no limit
    egress_rate: Option<u64>,
    /// Bits that may come from the container at once; required with the rate.
    egress_burst: Option<u64>,
    /// Peers in these networks have no limit.
    unshaped_subnets: Vec<Cidr>,
    /// Only peers in these networks have a limit; not with `unshapedSubnets`.
    shaped_subnets: Vec<Cidr>,
    /// Place of the queues: on the `host`, or in the `container`, for interfaces without an end on the host. Default:
    /// `host`
    shape_in: String,
    /// The capabilities that the runtime fills in; rates and bursts of the configuration replace them.
    runtime_config: RuntimeConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeConf {
    /// The capability `bandwidth`: rates and bursts of both directions.
    bandwidth: Rates,
}

/// Rates in bits per second, and bursts in bits, in the directions that the container sees.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rates {
    /// As `ingressRate`.
    ingress_rate: u64,
    /// As `ingressBurst`.
    ingress_burst: u64,
    /// As `egressRate`.
    egress_rate: u64,
    /// As `egressBurst`.
    egress_burst: u64,
}

/// The shaped packets, by the address of the container's peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All packets.
    #[default]
    All,
    /// All packets but those of these networks.
    AllBut(Vec<Cidr>),
    /// Only the packets of these networks.
    Only(Vec<Cidr>),
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Limit of packets to the container.
    pub(crate) ingress: Option<Limit>,
    /// Limit of packets from the container.
    pub(crate) egress: Option<Limit>,
    pub(crate) scope: Scope,
    pub(crate) in_container: bool,
}

impl Plan {
    pub(crate) fn new(conf: &Conf) -> Result<Self> {
        let own = [
            conf.ingress_rate,
            conf.ingress_burst,
            conf.egress_rate,
            conf.egress_burst,
        ];
        // A single key of the configuration replaces all of the runtime's.
        let (rates, source) = if own.iter().any(Option::is_some) {
            let [ingress_rate, ingress_burst, egress_rate, egress_burst] =
                own.map(Option::unwrap_or_default);
            let rates = Rates {
                ingress_rate,
                ingress_burst,
                egress_rate,
                egress_burst,
            };
            (rates, Source::Configuration)
        } else {
            (conf.runtime_config.bandwidth, Source::Runtime)
        };
        Ok(Self {
            ingress: Limit::new(rates.ingress_rate, rates.ingress_burst, source)?,
            egress: Limit::new(rates.egress_rate, rates.egress_burst, source)?,
            scope: scope(&conf.unshaped_subnets, &conf.shaped_subnets)?,
            in_container: in_container(conf)?,
        })
    }

    /// Returns whether nothing is shaped.
    pub(crate) fn is_empty(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

/// Returns whether packets are shaped in the container: the only key that DEL needs.
pub(crate) fn in_container(conf: &Conf) -> Result<bool> {
    match &*conf.shape_in {
        "" | "host" => Ok(false),
        "container" => Ok(true),
        other => Err(Failure::config(format!("shapeIn {other:?} is not a place"))
            .hint("set shapeIn to \"host\" or \"container\"")),
    }
}

fn scope(unshaped: &[Cidr], shaped: &[Cidr]) -> Result<Scope> {
    match (unshaped, shaped) {
        ([], []) => Ok(Scope::All),
        (unshaped, []) => Ok(Scope::AllBut(unshaped.to_vec())),
        ([], shaped) => Ok(Scope::Only(shaped.to_vec())),
        _ => Err(
            Failure::config("unshapedSubnets and shapedSubnets are both set")
                .hint("name the networks that are shaped, or those that are not"),
        ),
    }
}
