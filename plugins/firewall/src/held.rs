//! Claims as elements of our sets, and back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use linkspan_filter::isolated::PORTS;
use linkspan_filter::kernel;
use linkspan_filter::table::{self, Elements, TABLE};
use linkspan_netlink::error::Error;
use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::Element;
use linkspan_owner::{Owner, hash};
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::claim::{Claim, Member};
use crate::conf::Policy;
use crate::sets::{
    ADDRESSES, GUARDED, HOLDERS, ISOLATED, MEMBERS, POLICIES, PUBLISHED, SEVERAL, WITHIN,
};

/// Bits of a policy in the key of a member.
const ISOLATED_BIT: u32 = 1;
const PUBLISHED_BIT: u32 = 2;

/// The state of attachments, from one look.
#[derive(Debug, Default)]
pub(crate) struct Held {
    addresses: Vec<(Owner, IpAddr, Element)>,
    members: Vec<(Owner, Member, Element)>,
    holders: Vec<(IpAddr, Element)>,
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
    let owner = &claim.owner;
    let each = claim.addresses.iter();
    let mut elements: Elements<'static> = each
        .map(|ip| {
            (
                ADDRESSES.of(*ip),
                vec![address(*ip, owner, &claim.addresses)],
            )
        })
        .collect();
    if let Some(member) = &claim.member {
        let key = Fields::default()
            .ifname(&member.bridge)
            .mark(mark(owner))
            .mark(member.bits());
        let element = Element {
            comment: owner.line(),
            ..Element::of(key)
        };
        elements.push((MEMBERS, vec![element]));
    }
    elements
}

fn mark(owner: &Owner) -> u32 {
    hash::number(&owner.line())
}

/// The element of an address that the owner has. Its record is how many it has in `all`.
fn address(ip: IpAddr, owner: &Owner, all: &BTreeSet<IpAddr>) -> Element {
    let many = u32::try_from(all.len()).unwrap_or(u32::MAX);
    Element {
        comment: owner.line(),
        record: many.to_be_bytes().to_vec(),
        ..Element::of(Fields::default().ip(ip).mark(mark(owner)))
    }
}

/// The element that says whose the address is.
pub(crate) fn holder(ip: IpAddr, mark: u32) -> Element {
    Element {
        value: Some(Fields::default().mark(mark)),
        ..Element::of(Fields::default().ip(ip))
    }
}

/// The same where only `owner` has the address.
pub(crate) fn sole(ip: IpAddr, owner: &Owner) -> Element {
    holder(ip, mark(owner))
}

/// The holders of addresses, which an earlier layout lacks.
pub(crate) fn holders(netfilter: &Netfilter) -> Result<Elements<'static>> {
    let held = Held::read(netfilter).map_err(kernel)?;
    let mut marks: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for (owner, ip, _) in &held.addresses {
        let own = mark(owner);
        let first = marks.entry(*ip).or_insert(own);
        if *first != own {
            *first = SEVERAL;
        }
    }
    for (ip, _) in &held.holders {
        marks.remove(ip);
    }
    let each = marks.into_iter();
    Ok(each
        .map(|(ip, mark)| (HOLDERS.of(ip), vec![holder(ip, mark)]))
        .collect())
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
) -> std::result::Result<Elements<'static>, Error> {
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
    /// Everybody's.
    pub(crate) fn read(netfilter: &Netfilter) -> std::result::Result<Self, Error> {
        let mut held = Self::default();
        for family in Family::BOTH {
            held.addresses.extend(addresses(netfilter, family)?);
            for element in netfilter.elements(TABLE, HOLDERS.of_family(family))? {
                let ip = element.key.read().ip(family);
                let ip = ip.filter(|_| element.timeout == 0);
                held.holders.extend(ip.map(|ip| (ip, element)));
            }
        }
        held.read_members(netfilter)?;
        Ok(held)
    }

    /// The elements of `owner`, looked up by their keys, and all members. `None` if `told` lacks one of its addresses, or if
    /// another owner has one of them.
    pub(crate) fn of(
        netfilter: &Netfilter,
        owner: &Owner,
        told: &BTreeSet<IpAddr>,
    ) -> std::result::Result<Option<Self>, Error> {
        let own = told.iter().map(|ip| (*ip, address(*ip, owner, told)));
        let own: Vec<_> = own.collect();
        let sole: Vec<_> = told.iter().map(|ip| (*ip, sole(*ip, owner))).collect();
        let addresses = own
            .iter()
            .map(|(ip, one)| Question::Element(TABLE, ADDRESSES.of(*ip), one));
        let holders = sole
            .iter()
            .map(|(ip, one)| Question::Element(TABLE, HOLDERS.of(*ip), one));
        let questions: Vec<_> = addresses.chain(holders).collect();
        let answers = netfilter.look(&questions)?;
        let as_told = answers
            .iter()
            .zip(own.iter().chain(&sole))
            .all(|(answer, (_, wanted))| {
                answer.element().is_some_and(|found| {
                    (&found.value, &found.comment, &found.record, found.timeout)
                        == (&wanted.value, &wanted.comment, &wanted.record, 0)
                })
            });
        if told.is_empty() || !as_told {
            return Ok(None);
        }
        let whose = |(ip, element)| (owner.clone(), ip, element);
        let mut held = Self {
            addresses: own.into_iter().map(whose).collect(),
            holders: sole,
            members: Vec::new(),
        };
        held.read_members(netfilter)?;
        Ok(Some(held))
    }

    fn read_members(&mut self, netfilter: &Netfilter) -> std::result::Result<(), Error> {
        for element in netfilter.elements(TABLE, MEMBERS)? {
            let owner = table::owner(&element).filter(|_| element.timeout == 0);
            if let Some((owner, member)) = owner.zip(Member::read(&element.key)) {
                self.members.push((owner, member, element));
            }
        }
        Ok(())
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
        let holders = self.holders.iter();
        let holders = holders.filter(|(ip, _)| going.addresses.contains(ip));
        let holders = holders.map(|(ip, element)| (HOLDERS.of(*ip), element.clone()));
        let all = addresses.into_iter().chain(members).chain(holders);
        going.elements = all.map(|(set, element)| (set, vec![element])).collect();
        going
    }

    /// Whether anybody is on the bridge but those who are `condemned`.
    pub(crate) fn has_member(&self, bridge: &str, condemned: impl Fn(&Owner) -> bool) -> bool {
        let mut all = self.members.iter();
        all.any(|(owner, member, _)| member.bridge == bridge && !condemned(owner))
    }
}

/// Everybody's addresses of the family.
pub(crate) fn addresses(
    netfilter: &Netfilter,
    family: Family,
) -> std::result::Result<Vec<(Owner, IpAddr, Element)>, Error> {
    let elements = netfilter.elements(TABLE, ADDRESSES.of_family(family))?;
    let read = |element: Element| {
        let owner = table::owner(&element).filter(|_| element.timeout == 0)?;
        let ip = element.key.read().ip(family)?;
        Some((owner, ip, element))
    };
    Ok(elements.into_iter().filter_map(read).collect())
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
