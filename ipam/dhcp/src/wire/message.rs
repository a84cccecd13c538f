//! A DHCP message: the header of BOOTP and the options (RFC 2131, section 2).

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::number;
use super::option::{self, Options};

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS_AT: usize = 240;
/// Minimum length for BOOTP servers (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
/// Flag of a client that cannot yet receive unicast.
const BROADCAST: u16 = 0x8000;

/// Option 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client looks for servers.
    Discover,
    /// A server offers an address.
    Offer,
    /// The client requests an address, or its renewal.
    Request,
    /// The server grants the address.
    Ack,
    /// The server refuses the address.
    Nak,
    /// The client gives the address back.
    Release,
}

impl Kind {
    const ALL: [(Self, u8); 6] = [
        (Self::Discover, 1),
        (Self::Offer, 2),
        (Self::Request, 3),
        (Self::Ack, 5),
        (Self::Nak, 6),
        (Self::Release, 7),
    ];

    /// Its number.
    pub(crate) fn code(self) -> u8 {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or(0, |(_, code)| *code)
    }

    fn of(code: u8) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == code);
        found.map(|(kind, _)| *kind)
    }
}

/// A message to or from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Whether a server sent it.
    pub(crate) reply: bool,
    /// The number of the exchange.
    pub(crate) xid: u32,
    /// Whether the client requests broadcast answers.
    pub(crate) broadcast: bool,
    /// The client's current address.
    pub(crate) client: Ipv4Addr,
    /// The address from the server.
    pub(crate) yours: Ipv4Addr,
    /// The hardware address of the client.
    pub(crate) hardware: [u8; 6],
    /// The options.
    pub(crate) options: Options,
}

impl Message {
    /// A client's message.
    pub(crate) fn new(kind: Kind, xid: u32, hardware: [u8; 6], options: Options) -> Self {
        let mut message = Self {
            reply: false,
            xid,
            broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            yours: Ipv4Addr::UNSPECIFIED,
            hardware,
            options,
        };
        message.options.insert(option::KIND, vec![kind.code()]);
        message
    }

    /// The bytes of the message.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.reply { REPLY } else { REQUEST }, ETHERNET, 6, 0];
        out.extend(self.xid.to_be_bytes());
        let flags = if self.broadcast { BROADCAST } else { 0 };
        out.extend([0, 0]);
        out.extend(flags.to_be_bytes());
        out.extend(self.client.octets());
        out.extend(self.yours.octets());
        // The next server and the relay are empty.
        out.extend([0; 8]);
        out.extend(self.hardware);
        // The rest of the hardware address, the server's name and the file.
        out.extend([0; 10 + 64 + 128]);
        out.extend(COOKIE);
        option::write(&self.options, &mut out);
        if out.len() < SHORTEST {
            out.resize(SHORTEST, 0);
        }
        out
    }

    /// Decodes a message; `None` unless it is DHCP over Ethernet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<4>()?;
        let reply = match header {
            [REPLY, ETHERNET, 6, _] => true,
            [REQUEST, ETHERNET, 6, _] => false,
            _ => return None,
        };
        if bytes.get(OPTIONS_AT - COOKIE.len()..OPTIONS_AT)? != COOKIE {
            return None;
        }
        let four = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
        let mut options = Options::new();
        option::read(bytes.get(OPTIONS_AT..)?, &mut options).then_some(())?;
        let overloaded = options
            .get(&option::OVERLOAD)
            .and_then(|value| value.first());
        let file = overloaded.is_some_and(|which| which & 1 == 1);
        let name = overloaded.is_some_and(|which| which & 2 == 2);
        for (is_used, field) in [(file, 108..=235_usize), (name, 44..=107)] {
            let field: RangeInclusive<usize> = field;
            // A field in use to its last byte has no room for the end option.
            if is_used {
                option::read(bytes.get(field)?, &mut options);
            }
        }
        Some(Self {
            reply,
            xid: u32::from_be_bytes(four(4)?),
            broadcast: number(bytes, 10)? & BROADCAST != 0,
            client: four(12)?.into(),
            yours: four(16)?.into(),
            hardware: *bytes.get(28..)?.first_chunk::<6>()?,
            options,
        })
    }

    /// Option 53.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.options.get(&option::KIND)?.as_slice() {
            [code] => Kind::of(*code),
            _ => None,
        }
    }

    /// The address in an option.
    pub(crate) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let four: [u8; 4] = self.options.get(&code)?.as_slice().try_into().ok()?;
        Some(four.into())
    }

    /// The addresses in an option, without an incomplete last one.
    pub(crate) fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self
            .options
            .get(&code)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let fours = value.chunks_exact(4);
        let fours = fours.filter_map(|four| <[u8; 4]>::try_from(four).ok());
        fours.map(Ipv4Addr::from).collect()
    }

    /// The seconds in an option.
    pub(crate) fn seconds(&self, code: u8) -> Option<u32> {
        let four: [u8; 4] = self.options.get(&code)?.as_slice().try_into().ok()?;
        Some(u32::from_be_bytes(four))
    }

    /// The text in an option, as one printable line.
    pub(crate) fn text(&self, code: u8) -> Option<String> {
        let value = self.options.get(&code)?;
        let text = String::from_utf8_lossy(value);
        let text = text.trim_end_matches('\0').chars();
        Some(text.filter(|c| !c.is_control()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Message {
        let options = Options::from([
            (option::MASK, vec![255, 255, 255, 0]),
            (option::ROUTERS, vec![10, 0, 0, 1, 10, 0, 0, 2, 9]),
            (option::LEASE, vec![0, 0, 1, 0]),
            (option::WORDS, b"no\n more\0".to_vec()),
        ]);
        Message {
            reply: true,
            broadcast: true,
            yours: [10, 0, 0, 9].into(),
            ..Message::new(Kind::Offer, 7, [2, 0, 0, 0, 0, 1], options)
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let bytes = offer().encode();
        assert_eq!(bytes.len(), 300);
        let read = Message::parse(&bytes).unwrap();
        assert_eq!(read, offer());
        assert_eq!(read.kind(), Some(Kind::Offer));
        assert_eq!(read.addresses(option::ROUTERS).len(), 2);
        assert_eq!(read.address(option::ROUTERS), None);
        assert_eq!(read.seconds(option::LEASE), Some(256));
        assert_eq!(read.text(option::WORDS).as_deref(), Some("no more"));
    }

    #[test]
    fn options_go_on_in_the_fields_of_the_header() {
        let mut message = offer();
        message.options.insert(option::OVERLOAD, vec![3]);
        let mut bytes = message.encode();
        bytes[108..112].copy_from_slice(&[option::DOMAIN, 2, b'l', b'a']);
        bytes[44..48].copy_from_slice(&[option::DOMAIN, 1, b'n', 255]);
        let read = Message::parse(&bytes).unwrap();
        assert_eq!(read.text(option::DOMAIN).as_deref(), Some("lan"));
    }

    #[test]
    fn what_is_cut_or_no_message_is_nothing() {
        let bytes = offer().encode();
        let end = bytes.iter().rposition(|byte| *byte == 255).unwrap();
        for cut in 0..=end {
            assert_eq!(Message::parse(&bytes[..cut]), None, "{cut}");
        }
        for at in [0, 1, 2, 236, 239] {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert_eq!(Message::parse(&bad), None, "{at}");
        }
        let bare = Message::parse(&[&bytes[..OPTIONS_AT], &[255]].concat()).unwrap();
        assert_eq!(bare.kind(), None);
    }
}
