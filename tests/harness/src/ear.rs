//! Listens for announced addresses on a wire.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_netlink::netns::Netns;
use socket2::{Domain, Protocol, Socket, Type};

/// The ARP and IPv6 packets that a namespace receives.
#[derive(Debug)]
pub struct Ear([Socket; 2]);

impl Ear {
    /// Listens for announcements to `netns`.
    #[must_use]
    pub fn of(netns: &Netns) -> Self {
        const ARP: u16 = 0x0806;
        const IPV6: u16 = 0x86dd;
        Self([ARP, IPV6].map(|ether| {
            let open = || {
                let kind = Protocol::from(i32::from(ether.to_be()));
                Socket::new(Domain::PACKET, Type::DGRAM, Some(kind)).unwrap()
            };
            let socket = netns.scope(open).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        }))
    }

    /// The addresses announced since then, once per announcement, without link-local ones.
    #[must_use]
    pub fn announced(&self) -> Vec<IpAddr> {
        let [arp, ipv6] = &self.0;
        let mut announced: Vec<IpAddr> = frames(arp)
            .iter()
            .filter_map(|frame| of_arp(frame))
            .collect();
        announced.extend(frames(ipv6).iter().filter_map(|frame| of_ipv6(frame)));
        announced.sort();
        announced
    }
}

fn frames(mut socket: &Socket) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut frame = [0; 2048];
    loop {
        match socket.read(&mut frame) {
            Ok(len) => frames.push(frame[..len].to_vec()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => return frames,
            Err(err) => assert_eq!(err.to_string(), ""),
        }
    }
}

/// An ARP announcement asks for its sender's address.
fn of_arp(frame: &[u8]) -> Option<IpAddr> {
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    };
    let (from, of) = (address(14)?, address(24)?);
    (from == of).then_some(from.into())
}

/// A neighbour advertisement to all nodes.
fn of_ipv6(packet: &[u8]) -> Option<IpAddr> {
    const ICMP: u8 = 58;
    const ADVERTISEMENT: u8 = 136;
    let is_one = packet.get(6) == Some(&ICMP) && packet.get(40) == Some(&ADVERTISEMENT);
    let is_to_all = packet.get(24) == Some(&0xff);
    let target: [u8; 16] = packet.get(48..64)?.try_into().ok()?;
    let target = Ipv6Addr::from(target);
    let is_told = is_one && is_to_all && !target.is_unicast_link_local();
    is_told.then_some(target.into())
}
