//! Expressions that `iptables-nft` adds to those of nf_tables.

use netlink_packet_core::DefaultNla;

use crate::expr::{Expr, number, other};

/// Counts packets and bytes from zero.
pub(crate) fn counter() -> Expr {
    other("counter", Vec::new())
}

/// A match of iptables-legacy with its own data, in the form of `iptables-nft`.
pub(crate) fn extension(name: &str, revision: u32, data: Vec<u8>) -> Expr {
    const NAME: u16 = 1;
    const REVISION: u16 = 2;
    const INFO: u16 = 3;
    let name = [name.as_bytes(), &[0]].concat();
    other(
        "match",
        vec![
            DefaultNla::new(NAME, name),
            number(REVISION, revision),
            DefaultNla::new(INFO, data),
        ],
    )
}
