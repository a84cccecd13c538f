//! The keys of a network's plugins that concern the host, read leniently: `validate` judges them.

use std::net::IpAddr;
use std::path::PathBuf;

use linkspan_protocol::addr::{Cidr, address, number};
use linkspan_protocol::family::Family;
use linkspan_runtime::conflist::{NetworkList, PluginConf};
use serde_json::{Map, Value};

/// Where host-local keeps leases by default.
const LEASES: &str = "/var/lib/cni/networks";

/// A network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conf<'a>(pub(crate) &'a NetworkList);

/// A range of addresses of host-local.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) subnet: Cidr,
    pub(crate) gateway: IpAddr,
    first: u128,
    last: u128,
}

impl<'a> Conf<'a> {
    pub(crate) fn name(self) -> &'a str {
        &self.0.name
    }

    pub(crate) fn has(self, kinds: &[&str]) -> bool {
        self.0.plugins.iter().any(|one| kinds.contains(&one.kind()))
    }

    /// The bridge of the network and its plugin.
    pub(crate) fn bridge(self) -> Option<(&'a str, &'a PluginConf)> {
        let plugin = self.0.plugins.iter().find(|one| one.kind() == "bridge")?;
        let name = plugin.keys.get("bridge").and_then(Value::as_str);
        Some((
            name.filter(|name| !name.is_empty()).unwrap_or("cni0"),
            plugin,
        ))
    }

    /// Whether the bridge is the gateway of its pods.
    pub(crate) fn is_gateway(self) -> bool {
        let on =
            |plugin: &PluginConf, key| plugin.keys.get(key).and_then(Value::as_bool) == Some(true);
        self.bridge()
            .is_some_and(|(_, plugin)| on(plugin, "isGateway") || on(plugin, "isDefaultGateway"))
    }

    /// The link that has the gateway's addresses: the bridge, or the host's own interface in the VLAN.
    pub(crate) fn gateway_link(self) -> Option<String> {
        let (bridge, plugin) = self.bridge()?;
        let vlan = plugin.keys.get("vlan").and_then(Value::as_u64);
        let vlan = vlan.filter(|vlan| *vlan != 0);
        Some(vlan.map_or_else(|| bridge.to_owned(), |vlan| format!("{bridge}.{vlan}")))
    }

    /// Whether the host forwards packets of the pods.
    pub(crate) fn is_routed(self) -> bool {
        self.is_gateway() || self.has(&["ptp", "veth"])
    }

    fn ipam(self) -> Option<&'a Map<String, Value>> {
        let mut sections = self
            .0
            .plugins
            .iter()
            .filter_map(|one| one.keys.get("ipam")?.as_object());
        sections.find(|ipam| ipam.get("type").and_then(Value::as_str) == Some("host-local"))
    }

    /// The directory of the leases; `None` where the network has none.
    pub(crate) fn leases(self) -> Option<PathBuf> {
        let dir = self.ipam()?.get("dataDir").and_then(Value::as_str);
        let dir = dir.filter(|dir| !dir.is_empty()).unwrap_or(LEASES);
        Some(PathBuf::from(dir).join(self.name()))
    }

    /// The ranges of the network, by range set.
    pub(crate) fn sets(self) -> Vec<Vec<Range>> {
        let Some(ipam) = self.ipam() else {
            return Vec::new();
        };
        let all = ipam
            .get("ranges")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let sets = all.filter_map(Value::as_array);
        let mut sets: Vec<Vec<Range>> = sets
            .map(|set| {
                set.iter()
                    .filter_map(|one| range(one.as_object()?))
                    .collect()
            })
            .collect();
        sets.extend(range(ipam).map(|one| vec![one]));
        sets
    }

    pub(crate) fn ranges(self) -> Vec<Range> {
        self.sets().concat()
    }

    pub(crate) fn has_family(self, family: Family) -> bool {
        let ranges = self.ranges();
        ranges.iter().any(|one| Family::of(one.gateway) == family)
    }
}

impl Range {
    /// The number of addresses for pods.
    pub(crate) fn size(&self) -> u128 {
        let gateway = number(self.gateway);
        let is_inside = (self.first..=self.last).contains(&gateway);
        (self.last - self.first)
            .saturating_add(1)
            .saturating_sub(u128::from(is_inside))
    }

    /// Whether the ranges have an address in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let is_one_family = Family::of(self.gateway) == Family::of(other.gateway);
        is_one_family && self.first <= other.last && other.first <= self.last
    }

    pub(crate) fn holds(&self, ip: IpAddr) -> bool {
        Family::of(ip) == Family::of(self.gateway) && (self.first..=self.last).contains(&number(ip))
    }
}

fn range(keys: &Map<String, Value>) -> Option<Range> {
    let text = |key| keys.get(key).and_then(Value::as_str);
    let ip = |key| text(key).and_then(|text| text.parse::<IpAddr>().ok());
    let subnet = Cidr::parse(text("subnet")?).ok()?;
    let (base, end) = (number(subnet.network()), number(subnet.last()));
    // The last address of an IPv4 subnet is the broadcast address.
    let end = end.checked_sub(u128::from(subnet.ip().is_ipv4()))?;
    let after = base.checked_add(1)?;
    let range = Range {
        subnet,
        gateway: ip("gateway").unwrap_or_else(|| address(after)),
        first: ip("rangeStart").map_or(after, number),
        last: ip("rangeEnd").map_or(end, number),
    };
    (range.first <= range.last).then_some(range)
}
