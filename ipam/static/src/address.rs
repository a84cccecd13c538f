//! Addresses with the length of their prefix, and the failures of those without one.

use std::borrow::Cow;

use linkspan_plugin::Result;
use linkspan_protocol::addr::{Cidr, parse_ip};
use linkspan_protocol::error::{ErrorCode, Failure};

/// The prefix lengths of addresses that have none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefixes {
    v4: Option<u8>,
    v6: Option<u8>,
}

/// A text that is not an address with a prefix length.
#[derive(Debug)]
pub(crate) struct Unfit<'a>(&'a str);

impl Prefixes {
    /// Refuses lengths that no address has.
    pub(crate) fn new(v4: Option<u8>, v6: Option<u8>) -> Result<Self> {
        for (key, length, most) in [("defaultPrefix", v4, 32), ("defaultPrefix6", v6, 128)] {
            if length.is_some_and(|length| length > most) {
                let text = format!("ipam.{key} is more than {most}");
                return Err(Failure::config(text));
            }
        }
        Ok(Self { v4, v6 })
    }

    pub(crate) fn read(self, text: &str) -> std::result::Result<Cidr, Unfit<'_>> {
        if let Ok(address) = Cidr::parse(text) {
            return Ok(address);
        }
        let ip = parse_ip(text).map_err(|_parse| Unfit(text))?;
        let length = if ip.is_ipv4() { self.v4 } else { self.v6 };
        let address = length.and_then(|length| Cidr::new(ip, length));
        address.ok_or(Unfit(text))
    }
}

impl Unfit<'_> {
    /// It is in the configuration.
    pub(crate) fn config(&self, says: &str) -> Failure {
        self.told(ErrorCode::INVALID_NETWORK_CONFIG, says)
    }

    /// It is in `CNI_ARGS`.
    pub(crate) fn argument(&self, says: &str) -> Failure {
        self.told(ErrorCode::INVALID_ENVIRONMENT, says)
    }

    fn told(&self, code: ErrorCode, says: &str) -> Failure {
        let Self(text) = self;
        let failure = Failure::new(code, format!("{says}, got: '{}'", quoted(text)));
        let Ok(ip) = parse_ip(text) else {
            return failure.hint("write ADDRESS/LENGTH");
        };
        let (usual, key) = if ip.is_ipv4() {
            (24, "defaultPrefix")
        } else {
            (64, "defaultPrefix6")
        };
        failure.hint(format!(
            "add the prefix length of the subnet, as in {ip}/{usual}, or set ipam.{key}"
        ))
    }
}

/// The text where it can only be meant as an address. Any other text may be a misplaced secret.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let of_address = |c: char| c.is_ascii_hexdigit() || ".:/, ".contains(c);
    if text.len() <= 64 && text.chars().all(of_address) {
        text.into()
    } else {
        "...".into()
    }
}
