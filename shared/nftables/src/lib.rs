//! The kernel's packet filter as values (tables, chains, rules, sets, elements, committed in one atomic batch), and
//! tracked connections. Uses netlink, and executes neither `nft` nor `iptables` nor `conntrack`.
//!
//! - [`ruleset`]: the objects; [`expr`]: expressions of rules; [`datum`]: keys and values of sets and maps.
//! - [`batch`]: a transaction; [`socket`]: commits it and reads objects; [`decode`]: replies; [`userdata`]: comments.
//! - [`look`]: several questions in one request; [`found`]: objects found; [`changes`]: waiting for other writers.
//! - [`survey`]: the whole content, of all owners.
//! - [`conntrack`]: listing tracked connections, and deleting single ones.
//! - [`xtables`]: reading iptables-legacy; [`legacy`]: its table `nat`.
//! - [`forward`], [`legacy_forward`]: the chains for forwarded packets in nf_tables and iptables-legacy.
//! - [`filter_rule`]: rules of the table `filter` in the form of iptables; [`filter_reading`] and [`legacy_filter`] read
//!   such rules.
//! - [`port_rule`]: rules about ports in the form of other suites; [`port_reading`] reads such rules.
//! - [`translation`]: the rules among them that translate destinations, in either packet filter.
//!
//! `netlink-packet-netfilter` lacks the attributes of nat, masq, fib and ct, so [`expr`] writes untyped ones, with the
//! numbers of `linux/netfilter/nf_tables.h`.

pub mod batch;
pub mod changes;
pub mod conntrack;
pub mod datum;
pub mod decode;
mod encode;
pub mod expr;
mod expression;
mod extended;
mod extension;
pub mod filter_reading;
pub mod filter_rule;
pub mod forward;
pub mod found;
pub mod legacy;
pub mod legacy_filter;
pub mod legacy_forward;
pub mod look;
pub mod port_reading;
pub mod port_rule;
pub mod ruleset;
pub mod socket;
pub mod survey;
pub mod translation;
pub mod userdata;
pub mod xtables;

pub use batch::Batch;
pub use linkspan_netlink::error::Error;
pub use socket::Netfilter;
