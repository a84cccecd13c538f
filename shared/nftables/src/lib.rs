//! The kernel's packet filter as values: tables, chains, rules, sets and elements, committed in one atomic batch, and
//! the connections that it tracks. Over netlink; no `nft`, `iptables` or `conntrack` is executed.
//!
//! - [`ruleset`]: what there can be; [`expr`]: what a rule is made of; [`datum`]: keys and values of sets and maps.
//! - [`batch`]: a transaction; [`socket`]: commits it, and reads back what [`decode`] makes values of. [`userdata`]: comments.
//! - [`look`]: several questions in one request; [`found`]: what there is; [`changes`]: waiting for others.
//! - [`survey`]: what stands there, whoever made it.
//! - [`conntrack`]: tracked connections, to be listed and deleted one by one.
//! - [`xtables`]: a look at the older packet filter; [`legacy`]: its table `nat`.
//! - [`forward`], [`legacy_forward`]: what decides on forwarded packets, in either packet filter.
//! - [`port_rule`]: rules about ports, as other suites write them to either; [`port_reading`] reads them.
//!
//! Attributes that `netlink-packet-netfilter` lacks (nat, masq, fib, ct) are written as its untyped ones in [`expr`].
//! Their numbers are those of `linux/netfilter/nf_tables.h`.

pub mod batch;
pub mod changes;
pub mod conntrack;
pub mod datum;
pub mod decode;
mod encode;
pub mod expr;
mod extension;
pub mod forward;
pub mod found;
pub mod legacy;
pub mod legacy_forward;
pub mod look;
pub mod port_reading;
pub mod port_rule;
pub mod ruleset;
pub mod socket;
pub mod survey;
pub mod userdata;
pub mod xtables;

pub use batch::Batch;
pub use linkspan_netlink::error::Error;
pub use socket::Netfilter;
