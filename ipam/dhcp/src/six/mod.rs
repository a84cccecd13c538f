//! DHCPv6: one address (IA_NA), and the router that advertises itself.

pub(crate) mod lease;

use crate::exchange::{Client, Patience};
use crate::trouble::Trouble;
use lease::Lease6;

/// An address, by as many attempts as there is time for.
pub(crate) async fn acquire(_client: &Client, _patience: Patience) -> Result<Lease6, Trouble> {
    Err(Trouble::NoTries)
}
