//! Claims as elements of our sets, and back.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use linkspan_filter::isolated::PORTS;
use linkspan_filter::table::{self, Elements, TABLE};
use linkspan_netlink::error::Error;
use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::{Owner, hash};
use linkspan_protocol::family::Family;

use crate::claim::{Claim, Member};
use crate::conf::Policy;
use crate::sets::{ADDRESSES, GUARDED, ISOLATED, MEMBERS, POLICIES, PUBLISHED, WITHIN};

/// Bits of a policy in the key of a member.
const ISOLATED_BIT: u32 = 1;
const PUBLISHED_BIT: u32 = 2;

/// The state of attachments, from one look.
#[derive(Debug, Default)]
pub(crate) struct Held {
    addresses: Vec<(Owner, IpAddr, Element)>,
    members: Vec<(Owner, Member, Element)>,
}

/// The state that is removed with some attachments.
#[derive(Debug, Default)]
pub(crate) struct Going {
    /// Addresses that no other attachment has.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Whether some other attachment has an address of theirs.
    pub(crate) is_shared: bool,
    /// Elements of theirs.
    pub(crate) elements: Elements<'static>,
}

/// The elements of a claim, without those of its bridge.
pub(crate) fn elements(claim: &Claim) -> Elements<'static> {
    let owner = claim.owner.line();
    let mark = hash::number(&owner);
    let element = |key: Fields| Element {
        comment: owner.clone(),
        ..Element::of(key)
    };
    let mut elements = Elements::new();
    for ip in &claim.addresses {
        let key = Fields::default().ip(*ip).mark(mark);
        elements.push((ADDRESSES.of(*ip), vec![element(key)]));
    }
    if let Some(member) = &claim.member {
        let key = Fields::default()
            .ifname(&member.bridge)
            .mark(mark)
            .mark(member.bits());
        elements.push((MEMBERS, vec![element(key)]));
    }
    elements
}

/// The elements of a bridge's policy. Its ports are isolated, or the packet filter alone isolates.
pub(crate) fn policy(member: &Member, by_port: bool) -> Elements<'static> {
    let bridge = || Fields::default().ifname(&member.bridge);
    let one = || vec![Element::of(bridge())];
    let pair = || vec![Element::of(bridge().ifname(&member.bridge))];
    let mut elements = vec![(GUARDED, one()), (WITHIN, pair())];
    if member.policy == Policy::Isolated {
        elements.push((ISOLATED, pair()));
    }
    if member.allow_published {
        elements.push((PUBLISHED, one()));
    }
    if by_port {
        elements.push((PORTS, one()));
    }
    elements
}

/// The elements of policies of a bridge that are there.
pub(crate) fn policies_of(
    netfilter: &Netfilter,
    bridges: &BTreeSet<String>,
) -> Result<Elements<'static>, Error> {
    if bridges.is_empty() {
        return Ok(Elements::new());
    }
    let is_theirs = |element: &Element| {
        let bridge = element.key.read().ifname();
        bridge.is_some_and(|bridge| bridges.contains(&bridge))
    };
    table::list(netfilter, TABLE, &POLICIES, is_theirs)
}

impl Held {
    pub(crate) fn read(netfilter: &Netfilter) -> Result<Self, Error> {
        let mut held = Self::default();
        for family in Family::BOTH {
            for element in netfilter.elements(TABLE, ADDRESSES.of_family(family))? {
                let owner = table::owner(&element).filter(|_| element.timeout == 0);
                let ip = element.key.read().ip(family);
                if let Some((owner, ip)) = owner.zip(ip) {
                    held.addresses.push((owner, ip, element));
                }
            }
        }
        for element in netfilter.elements(TABLE, MEMBERS)? {
            let owner = table::owner(&element).filter(|_| element.timeout == 0);
            if let Some((owner, member)) = owner.zip(Member::read(&element.key)) {
                held.members.push((owner, member, element));
            }
        }
        Ok(held)
    }

    /// The state to remove with the condemned. `strays` are their addresses from a result.
    pub(crate) fn going(
        &self,
        condemned: impl Fn(&Owner) -> bool,
        strays: &BTreeSet<IpAddr>,
    ) -> Going {
        let mut going = Going::default();
        going.addresses.extend(strays);
        let (mut addresses, mut members) = (Vec::new(), Vec::new());
        let mut others: HashSet<IpAddr> = HashSet::new();
        for (owner, ip, element) in &self.addresses {
            if condemned(owner) {
                going.addresses.insert(*ip);
                addresses.push((ADDRESSES.of(*ip), element.clone()));
            } else {
                others.insert(*ip);
            }
        }
        for (owner, _, element) in &self.members {
            if condemned(owner) {
                members.push((MEMBERS, element.clone()));
            }
        }
        let before = going.addresses.len();
        going.addresses.retain(|ip| !others.contains(ip));
        going.is_shared = before != going.addresses.len();
        let all = addresses.into_iter().chain(members);
        going.elements = all.map(|(set, element)| (set, vec![element])).collect();
        going
    }

    /// Whether anybody is on the bridge but those who are `condemned`.
    pub(crate) fn has_member(&self, bridge: &str, condemned: impl Fn(&Owner) -> bool) -> bool {
        let mut all = self.members.iter();
        all.any(|(owner, member, _)| member.bridge == bridge && !condemned(owner))
    }

    /// Whether any attachment has the address.
    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|(_, address, _)| *address == ip)
    }

    /// Whether an attachment other than `owner` has the address.
    pub(crate) fn is_shared(&self, ip: IpAddr, owner: &Owner) -> bool {
        let mut all = self.addresses.iter();
        all.any(|(other, address, _)| *address == ip && other != owner)
    }

    /// Whether the element is there.
    pub(crate) fn has(&self, set: &Set, wanted: &Element) -> bool {
        let of_addresses = self
            .addresses
            .iter()
            .map(|(_, ip, element)| (ADDRESSES.of(*ip), element));
        let of_members = self
            .members
            .iter()
            .map(|(_, _, element)| (MEMBERS, element));
        of_addresses.chain(of_members).any(|(of, element)| {
            of == set && element.key == wanted.key && element.comment == wanted.comment
        })
    }
}

impl Member {
    fn bits(&self) -> u32 {
        let isolated = if self.policy == Policy::Isolated {
            ISOLATED_BIT
        } else {
            0
        };
        isolated
            | if self.allow_published {
                PUBLISHED_BIT
            } else {
                0
            }
    }

    fn read(key: &Fields) -> Option<Self> {
        let mut key = key.read();
        let bridge = key.ifname()?;
        let _owner = key.mark()?;
        let bits = key.mark()?;
        Some(Self {
            bridge,
            policy: if bits & ISOLATED_BIT == 0 {
                Policy::SameBridge
            } else {
                Policy::Isolated
            },
            allow_published: bits & PUBLISHED_BIT != 0,
        })
    }
}
