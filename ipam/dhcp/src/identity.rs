//! A client's identity to a server: option 61, and the identifiers of `DHCPv6`.

use linkspan_owner::hash;
use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::PerFamily;

/// Maximum length of an identifier after its type; the reference truncates there, too.
const LONGEST: usize = 254;
/// The type of an identifier other than a hardware address.
const OPAQUE: u8 = 0;
const ETHERNET: u8 = 1;
/// The type of an identifier with a DUID (RFC 4361).
const NODE: u8 = 255;

/// The names of an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Names {
    pub(crate) container: String,
    pub(crate) network: String,
    pub(crate) ifname: String,
}

impl Names {
    /// The reference's key of a lease.
    pub(crate) fn key(&self) -> String {
        let Self {
            container,
            network,
            ifname,
        } = self;
        format!("{container}/{network}/{ifname}")
    }
}

/// The form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientId {
    /// The reference's: container, network and interface.
    Reference,
    /// The hardware address.
    Mac,
    /// A DUID from the hardware address, and the interface's IAID (RFC 4361).
    Duid,
    /// Text with placeholders.
    Template(String),
}

impl ClientId {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Reference),
            "mac" => Ok(Self::Mac),
            "duid" => Ok(Self::Duid),
            template => {
                let left = ["containerID", "network", "ifname", "mac"]
                    .iter()
                    .fold(template.to_owned(), |text, word| {
                        text.replace(&format!("{{{word}}}"), "")
                    });
                if left.contains(['{', '}']) {
                    return Err(Failure::config(format!(
                        "ipam.clientID: unknown placeholder in {template:?}"
                    ))
                    .hint(
                        "use mac, duid, or words with {containerID}, {network}, {ifname} and {mac}",
                    ));
                }
                Ok(Self::Template(template.to_owned()))
            }
        }
    }

    /// Refuses identifiers that interfaces with one hardware address share: a server would give all of them one
    /// address. The identifiers of `DHCPv6`, where IPv6 is asked for, always derive from it.
    pub(crate) fn serves_siblings(
        &self,
        asked: PerFamily<bool>,
    ) -> std::result::Result<(), String> {
        let shared = match (self, asked.v6) {
            (client, _) if client.follows_from_mac() => "ipam.clientID follows from",
            (_, true) => "the client of DHCPv6 follows from",
            _ => return Ok(()),
        };
        Err(format!(
            "{shared} the MAC address, which the siblings of an ipvlan share: leave out ipam.clientID, and ask for IPv4 alone"
        ))
    }

    /// Returns whether clients with one hardware address, and interfaces of one name, have the same identifier.
    fn follows_from_mac(&self) -> bool {
        match self {
            Self::Reference => false,
            Self::Mac | Self::Duid => true,
            Self::Template(text) => text.contains("{mac}") && !text.contains("{containerID}"),
        }
    }

    /// The value of option 61.
    pub(crate) fn bytes(&self, names: &Names, mac: [u8; 6]) -> Vec<u8> {
        let opaque = |text: &str| {
            let text = text.bytes().take(LONGEST);
            [OPAQUE].into_iter().chain(text).collect()
        };
        match self {
            Self::Reference => opaque(&names.key()),
            Self::Mac => [ETHERNET].into_iter().chain(mac).collect(),
            Self::Duid => {
                let mut bytes = vec![NODE];
                bytes.extend(iaid(&names.ifname));
                bytes.extend(duid(mac));
                bytes
            }
            Self::Template(template) => {
                let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
                let text = template
                    .replace("{containerID}", &names.container)
                    .replace("{network}", &names.network)
                    .replace("{ifname}", &names.ifname)
                    .replace("{mac}", &mac);
                opaque(&text)
            }
        }
    }
}

/// The IAID of an interface: four bytes derived from its name.
pub(crate) fn iaid(ifname: &str) -> [u8; 4] {
    hash::number(ifname).to_be_bytes()
}

/// A DUID of type 3: the hardware address (RFC 8415, section 11.4).
pub(crate) fn duid(mac: [u8; 6]) -> Vec<u8> {
    [0, 3, 0, 1].into_iter().chain(mac).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_every_form() {
        let names = Names {
            container: "c".repeat(300),
            network: "net".to_owned(),
            ifname: "eth0".to_owned(),
        };
        let short = Names {
            container: "c".to_owned(),
            ..names.clone()
        };
        let mac = [2, 0, 0, 0, 0, 9];
        let bytes = |text: &str, names| ClientId::parse(text).unwrap().bytes(names, mac);
        assert_eq!(bytes("", &short), b"\0c/net/eth0");
        assert_eq!(bytes("", &names), [vec![0], vec![b'c'; 254]].concat());
        assert_eq!(bytes("mac", &short), [1, 2, 0, 0, 0, 0, 9]);
        assert_eq!(
            bytes("x-{mac}-{ifname}", &short),
            b"\0x-02:00:00:00:00:09-eth0"
        );
        let duid = bytes("duid", &short);
        assert_eq!((duid.len(), duid[0]), (15, 255));
        assert_eq!(duid[5..], [0, 3, 0, 1, 2, 0, 0, 0, 0, 9]);
        assert!(ClientId::parse("{pod}").is_err());
    }
}
