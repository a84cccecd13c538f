//! `DHCPv6` (RFC 8415): one address, and the router that advertises itself (RFC 4861).

pub(crate) mod advertisement;
mod client;
pub(crate) mod lease;
pub(crate) mod message;

pub(crate) use client::{acquire, renew};
