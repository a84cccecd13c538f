//! An attachment's part of the packet filter. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use crate::conf::{Plan, Policy};

/// The claim of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    /// Every address of the result, whatever its interface is.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// The bridge whose policy it needs.
    pub(crate) member: Option<Member>,
}

/// A place on a bridge with a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(crate) bridge: String,
    pub(crate) policy: Policy,
    /// Whether published ports stay reachable.
    pub(crate) allow_published: bool,
}

impl Claim {
    pub(crate) fn new(owner: Owner, plan: &Plan, result: &AddResult) -> Result<Self> {
        let member = |policy| -> Result<Member> {
            Ok(Member {
                bridge: bridge(policy, result)?,
                policy,
                allow_published: plan.allow_published,
            })
        };
        Ok(Self {
            owner,
            addresses: addresses(result),
            member: plan.policy.map(member).transpose()?,
        })
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let mut families = Family::BOTH.to_vec();
        let has = |family: Family| self.addresses.iter().any(|ip| Family::of(*ip) == family);
        families.retain(|family| has(*family));
        families
    }
}

pub(crate) fn addresses(result: &AddResult) -> BTreeSet<IpAddr> {
    result.ips.iter().map(|ip| ip.address.ip()).collect()
}

/// The first interface, which is the bridge where the plugin before is `bridge`.
fn bridge(policy: Policy, result: &AddResult) -> Result<String> {
    let first = result.interfaces.first().ok_or_else(|| {
        Failure::config(format!(
            "interface needs to be set for ingress policy {:?}, make sure to chain \"firewall\" plugin with \"bridge\"",
            policy.word()
        ))
        .hint("put firewall behind bridge in the list")
    })?;
    if first.name.is_empty() {
        return Err(Failure::config("got empty bridge name")
            .hint("the result of bridge names the bridge as its first interface"));
    }
    // The following values go into rules.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\!/".contains(&byte);
    if first.name.len() > 15 || !first.name.bytes().all(is_plain) || first.name.starts_with('-') {
        return Err(Failure::config(format!(
            "the bridge of prevResult, {:?}, is not the name of an interface",
            first.name
        )));
    }
    Ok(first.name.clone())
}
