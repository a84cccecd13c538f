//! The choice of the packet filter.

use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::Words;

/// A packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Our own table of nf_tables, over netlink.
    Nftables,
    /// The reference's chains, through `iptables-restore`.
    Iptables,
}

impl Words for Backend {
    const WORDS: &'static [&'static str] = &["nftables", "iptables"];
}

impl Backend {
    /// Parses the configuration's `key`. An absent key means nf_tables if the kernel has it, else iptables. Returns
    /// code 7 for any other word.
    pub fn parse(key: &str, word: Option<&str>) -> Result<Option<Self>> {
        match word {
            None => Ok(None),
            Some("nftables") => Ok(Some(Self::Nftables)),
            Some("iptables") => Ok(Some(Self::Iptables)),
            Some(other) => Err(Failure::config(format!("unknown {key} {other:?}"))
                .hint(format!("set \"{key}\" to \"nftables\" or \"iptables\""))),
        }
    }
}
