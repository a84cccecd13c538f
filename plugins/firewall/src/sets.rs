//! The state in our table: the addresses and bridges of attachments, and the policies of bridges. Pure.
//!
//! - An address has an element for each attachment that has it. Its rules in iptables, and its place in a zone of firewalld,
//!   stay as long as one of them is there. So a late DEL takes nothing from the address's new owner.
//! - An address that only one attachment has says whose it is, so ADD and DEL ask by its key and list nobody else's.
//! - A bridge with a policy has an element for each attachment. The policy goes with the last one.
//! - A packet from a guarded bridge to another guarded one is dropped, and so is one from an isolated bridge to
//!   itself. A drop is final, whichever tables accept the packet. A connection to a published port, with its answers,
//!   is exempt if the bridge of its server allows it.

use linkspan_filter::isolated::PORTS;
use linkspan_nftables::datum::Datum;
use linkspan_nftables::ruleset::Set;
use linkspan_protocol::family::PerFamily;

use Datum::{IfName, Ipv4, Ipv6, Mark};

/// Address and attachment.
pub(crate) const ADDRESSES: PerFamily<&Set> = PerFamily {
    v4: &Set::of("firewall_v4", &[Ipv4, Mark]).expiring(),
    v6: &Set::of("firewall_v6", &[Ipv6, Mark]).expiring(),
};

/// Address, and whose it is: the mark of its one attachment, or [`SEVERAL`].
pub(crate) const HOLDERS: PerFamily<&Set> = PerFamily {
    v4: &Set::of("firewall_holders_v4", &[Ipv4])
        .to(&[Mark])
        .expiring(),
    v6: &Set::of("firewall_holders_v6", &[Ipv6])
        .to(&[Mark])
        .expiring(),
};

/// More than one attachment has had the address, so a list has to tell whose it is.
pub(crate) const SEVERAL: u32 = 0;

/// Bridge, attachment and policy.
pub(crate) const MEMBERS: &Set = &Set::of("firewall_members", &[IfName, Mark, Mark]).expiring();

/// Bridges with a policy.
pub(crate) const GUARDED: &Set = &Set::of("firewall_guarded", &[IfName]).expiring();

/// The same bridges, each concatenated with itself: a rule cannot compare two names of a packet.
pub(crate) const WITHIN: &Set = &Set::of("firewall_within", &[IfName, IfName]).expiring();

/// Isolated bridges, each concatenated with itself.
pub(crate) const ISOLATED: &Set = &Set::of("firewall_isolated", &[IfName, IfName]).expiring();

/// Bridges whose published ports stay reachable.
pub(crate) const PUBLISHED: &Set = &Set::of("firewall_published", &[IfName]).expiring();

/// Every set of policies.
pub(crate) const POLICIES: [&Set; 5] = [GUARDED, WITHIN, ISOLATED, PUBLISHED, PORTS];
