//! A lease of DHCPv6.

use linkspan_protocol::result::AddResult;

use crate::conf::Shape;
use crate::link::Spot;
use crate::trouble::Trouble;

/// A lease of DHCP for IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease6 {}

impl Lease6 {
    pub(crate) fn text(&self) -> String {
        String::new()
    }

    pub(crate) fn parse(_text: &str) -> Option<Self> {
        Some(Self {})
    }

    pub(crate) fn add_to(&self, _result: &mut AddResult, _shape: &Shape) {}

    pub(crate) fn release(&self, _spot: &Spot) -> Result<(), Trouble> {
        Ok(())
    }
}
