//! Messages of `DHCPv6`: a kind, a number and options.

use std::net::Ipv6Addr;

use crate::random;
use crate::wire::number;

/// Option 1: the client's identifier.
pub(crate) const CLIENT: u16 = 1;
/// Option 2: the server's identifier.
pub(crate) const SERVER: u16 = 2;
/// Option 3: the addresses of an interface.
pub(crate) const IA_NA: u16 = 3;
/// Option 5: one address.
pub(crate) const ADDRESS: u16 = 5;
/// Option 6: the requested options.
pub(crate) const ASKED: u16 = 6;
/// Option 8: time since the client's first attempt.
pub(crate) const ELAPSED: u16 = 8;
/// Option 13: status code.
pub(crate) const STATUS: u16 = 13;
/// Option 23: name servers.
pub(crate) const DNS: u16 = 23;
/// Option 24: domains to search.
pub(crate) const SEARCH: u16 = 24;

/// The kinds of messages, with the numbers of RFC 8415.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Solicit = 1,
    Advertise = 2,
    Request = 3,
    Renew = 5,
    Rebind = 6,
    Reply = 7,
    Release = 8,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) xid: [u8; 3],
    pub(crate) options: Options,
}

/// Options in order. An option may occur twice.
pub(crate) type Options = Vec<(u16, Vec<u8>)>;

/// The address in an `IA_NA`, and its times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) address: Ipv6Addr,
    pub(crate) valid: u32,
    pub(crate) t1: u32,
    pub(crate) t2: u32,
}

/// The first option with this code.
pub(crate) fn find(options: &Options, code: u16) -> Option<&[u8]> {
    let found = options.iter().find(|(known, _)| *known == code);
    found.map(|(_, value)| value.as_slice())
}

fn write(options: &Options, out: &mut Vec<u8>) {
    for (code, value) in options {
        out.extend(code.to_be_bytes());
        out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(value);
    }
}

/// Decodes options; `None` if an option is truncated.
fn read(mut rest: &[u8]) -> Option<Options> {
    let mut options = Options::new();
    while !rest.is_empty() {
        let (code, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let (value, after) = rest.get(4..)?.split_at_checked(length)?;
        options.push((code, value.to_vec()));
        rest = after;
    }
    Some(options)
}

fn four(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

impl Message {
    /// A client's message, with a new number.
    pub(crate) fn new(kind: Kind, options: Options) -> Self {
        let [_, xid @ ..] = random::number().to_be_bytes();
        Self {
            kind: kind as u8,
            xid,
            options,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        out.extend(self.xid);
        write(&self.options, &mut out);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let ([kind, xid @ ..], options) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            kind: *kind,
            xid: *xid,
            options: read(options)?,
        })
    }

    /// The server's refusal, if the message contains one.
    pub(crate) fn refusal(&self) -> Option<String> {
        let of_all = find(&self.options, STATUS).and_then(refusal);
        let of_interface = || {
            let options = read(find(&self.options, IA_NA)?.get(12..)?)?;
            refusal(find(&options, STATUS)?)
        };
        of_all.or_else(of_interface)
    }

    /// The address of the interface `iaid`.
    pub(crate) fn given(&self, iaid: [u8; 4]) -> Option<Given> {
        let value = find(&self.options, IA_NA).filter(|value| value.starts_with(&iaid))?;
        let options = read(value.get(12..)?)?;
        let of_address = find(&options, ADDRESS)?;
        let address: [u8; 16] = *of_address.first_chunk()?;
        let address = Ipv6Addr::from(address);
        let valid = four(of_address, 20).filter(|valid| *valid > 0)?;
        let is_usable =
            !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
        is_usable.then_some(Given {
            address,
            valid,
            t1: four(value, 4)?,
            t2: four(value, 8)?,
        })
    }
}

/// The text of a status other than success.
fn refusal(status: &[u8]) -> Option<String> {
    let code = number(status, 0).filter(|code| *code != 0)?;
    let words = String::from_utf8_lossy(status.get(2..)?).into_owned();
    let words: String = words.chars().filter(|c| !c.is_control()).collect();
    Some(format!("status {code}: {words}"))
}

/// The option that requests an address, or the address `wanted`.
pub(crate) fn interface(iaid: [u8; 4], wanted: Option<Ipv6Addr>) -> (u16, Vec<u8>) {
    let mut value = iaid.to_vec();
    value.extend([0; 8]);
    if let Some(wanted) = wanted {
        let mut address = wanted.octets().to_vec();
        address.extend([0; 8]);
        write(&vec![(ADDRESS, address)], &mut value);
    }
    (IA_NA, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Message {
        let iaid = [1, 2, 3, 4];
        let (code, mut value) = interface(iaid, Some("fd00::9".parse().unwrap()));
        value[7] = 10;
        value[11] = 20;
        let end = value.len() - 1;
        value[end] = 60;
        Message {
            kind: Kind::Reply as u8,
            xid: [7, 8, 9],
            options: vec![(CLIENT, b"c".to_vec()), (code, value)],
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_a_cut_one_is_none() {
        let bytes = reply().encode();
        let read = Message::parse(&bytes).unwrap();
        assert_eq!(read, reply());
        let given = read.given([1, 2, 3, 4]).unwrap();
        assert_eq!(given.address.to_string(), "fd00::9");
        assert_eq!((given.valid, given.t1, given.t2), (60, 10, 20));
        assert_eq!(read.given([1, 2, 3, 5]), None);
        assert_eq!(read.refusal(), None);
        for cut in 0..bytes.len() {
            let part = Message::parse(&bytes[..cut]);
            assert!(
                part.is_none_or(|part| part.given([1, 2, 3, 4]).is_none()),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let mut refused = reply();
        refused
            .options
            .push((STATUS, b"\0\x02no\n addresses".to_vec()));
        assert_eq!(refused.refusal().as_deref(), Some("status 2: no addresses"));
    }
}
