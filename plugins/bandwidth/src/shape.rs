//! Shapes the packets of one link: by a bucket at its root, or by filters that redirect through an ifb with a bucket.
//!
//! An ifb has the attachment's line as its alias. Its group tells whether the discipline of the filters was created
//! with it, so that DEL removes what ADD created and leaves what ADD found.

use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::qdisc::{Bucket, Qdisc};
use linkspan_netlink::tc_filter::{FilterSpec, Hook, Match};
use linkspan_owner::line::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};

use crate::conf::Scope;
use crate::names::Names;

/// The group of an ifb whose filters are in a discipline that ADD created.
pub(crate) const WITH_QDISC: u32 = 1;
/// The group of an ifb whose filters are in a discipline that ADD found.
const GUEST: u32 = 0;

/// Matches packets of peers in the network, by source or by destination.
pub(crate) type Peer = fn(Cidr) -> Match;

/// The work: the link, the packets and the owner.
#[derive(Debug)]
pub(crate) struct Point<'a> {
    pub(crate) side: &'a Side,
    pub(crate) link: &'a Link,
    pub(crate) owner: &'a Owner,
    pub(crate) names: &'a Names,
}

/// The direction of packets through the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

impl Point<'_> {
    /// Shapes all outgoing packets of the link.
    pub(crate) fn shape_all(&self, bucket: Bucket) -> Result<()> {
        let root = self.link.root_qdisc().map_err(kernel)?;
        if let Some(root) = root.filter(|root| root.handle != 0) {
            return Err(taken(self.link, &root));
        }
        self.link.add_bucket(bucket).map_err(kernel)
    }

    /// Shapes packets by redirecting them through an ifb, which it returns.
    pub(crate) fn lead(
        &self,
        way: Way,
        bucket: Bucket,
        (scope, peer): (&Scope, Peer),
    ) -> Result<Link> {
        let there = self.link.ingress_qdisc().map_err(kernel)?;
        let with_qdisc = there.is_none();
        let both_ways = way == Way::Out || *scope != Scope::All;
        let hook = match (way, &there) {
            (Way::Out, Some(there)) if there.kind != "clsact" => {
                return Err(taken(self.link, there));
            }
            (Way::Out, _) => Hook::ClsactEgress,
            (Way::In, Some(there)) if there.kind == "clsact" => Hook::ClsactIngress,
            (Way::In, None) if both_ways => Hook::ClsactIngress,
            (Way::In, _) => Hook::Ingress,
        };
        let ifb = self.make(&self.name(way)?, with_qdisc)?;
        ifb.add_bucket(bucket).map_err(kernel)?;
        ifb.set_up().map_err(kernel)?;
        if with_qdisc {
            self.link.add_filter_qdisc(both_ways).map_err(kernel)?;
        }
        // Our filters come after existing ones: a redirected packet meets no further filter of this link.
        let others = self.link.filters(hook).map_err(kernel)?;
        let last = others.iter().map(|filter| filter.priority).max();
        let first = last.unwrap_or(0).saturating_add(1);
        for filter in filters(scope, peer, (hook, first, ifb.index)) {
            self.link.add_filter(filter).map_err(kernel)?;
        }
        self.side.link(&ifb.name)
    }

    /// The name of the ifb; another one if another interface of the container has the first.
    fn name(&self, way: Way) -> Result<String> {
        if way == Way::Out {
            return Ok(self.names.leaving.clone());
        }
        let taken = self.side.find(&self.names.first)?;
        let is_free = taken.is_none_or(|link| !is_of_another(&link, self.owner));
        let name = if is_free {
            &self.names.first
        } else {
            &self.names.second
        };
        Ok(name.clone())
    }

    /// Creates an ifb.
    fn make(&self, name: &str, with_qdisc: bool) -> Result<Link> {
        let spec = LinkSpec {
            mtu: Some(self.link.mtu),
            group: Some(self.owner.group()),
            // Packets are queued in the bucket alone.
            queue_length: Some(0),
            ..LinkSpec::new(name, Kind::Ifb)
        };
        self.side.rtnl.create(&spec).map_err(kernel)?;
        let ifb = self.side.link(name)?;
        let group = if with_qdisc { WITH_QDISC } else { GUEST };
        ifb.tag(&self.owner.line(), group).map_err(kernel)?;
        Ok(ifb)
    }
}

/// The filters that redirect packets to the link with index `through`.
fn filters(scope: &Scope, peer: Peer, (hook, first, through): (Hook, u16, u32)) -> Vec<FilterSpec> {
    // All filters of one priority are of one family.
    let place = |network: Cidr| first.saturating_add(u16::from(network.ip().is_ipv6()));
    let spec = |priority: u16, packets: Match, through: Option<u32>| FilterSpec {
        hook,
        priority,
        packets,
        through,
    };
    let each = |networks: &[Cidr], through: Option<u32>| -> Vec<FilterSpec> {
        let each = networks
            .iter()
            .map(|net| spec(place(*net), peer(*net), through));
        each.collect()
    };
    match scope {
        Scope::All => vec![spec(first, Match::All, Some(through))],
        Scope::Only(networks) => each(networks, Some(through)),
        Scope::AllBut(networks) => {
            let mut filters = each(networks, None);
            filters.push(spec(first.saturating_add(2), Match::All, Some(through)));
            filters
        }
    }
}

/// Returns whether a link is another attachment's. One without an alias has no owner, or is the Go plugin's.
pub(crate) fn is_of_another(link: &Link, owner: &Owner) -> bool {
    !link.alias.is_empty() && link.alias != owner.line()
}

fn taken(link: &Link, there: &Qdisc) -> Failure {
    let text = format!(
        "create qdisc: file exists: {} has {}",
        link.name, there.kind
    );
    Failure::new(ErrorCode::INTERNAL, text)
        .hint("another program shapes that link; leave it to that one, or remove it there")
}
