//! The holders of an address: asks the stations of a link. The question comes from a sender without an address, so no
//! station learns from it (RFC 5227 for ARP, RFC 4862 for IPv6).

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use crate::packet;

/// How often each question is sent, since frames may be lost.
const SENT: u32 = 3;

/// `ETH_P_ARP` and `ETH_P_IPV6`
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// The start of an ARP packet: Ethernet, IPv4, and the lengths of their addresses.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];

/// IPv6: the protocol, and the hop limit of packets that no router has forwarded.
const ICMP: u8 = 58;
const UNROUTED: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Relevant frames are not longer.
const LONGEST: usize = 128;

/// The most frames of one look at a socket.
const BATCH: usize = 256;

/// An address, and the hardware address of a station that answers for it.
type Holder = (IpAddr, [u8; 6]);

/// The stations that answer for `ips` within `patience` on a link of the namespace that the thread is in.
pub fn holders(
    ifname: &str,
    own: [u8; 6],
    ips: &[IpAddr],
    patience: Duration,
) -> io::Result<BTreeSet<Holder>> {
    let mut wires = Vec::new();
    for (is_v6, ether) in [(false, ARP), (true, IPV6)] {
        if ips.iter().any(|ip| ip.is_ipv6() == is_v6) {
            let socket = packet::socket(ifname, ether, &[])?;
            socket.set_nonblocking(true)?;
            wires.push((is_v6, socket));
        }
    }
    let begun = Instant::now();
    let mut found = BTreeSet::new();
    for number in 1..=SENT {
        for (is_v6, socket) in &wires {
            for ip in ips.iter().filter(|ip| ip.is_ipv6() == *is_v6) {
                socket.send(&question(own, *ip))?;
            }
        }
        listen(&wires, begun + patience * number / SENT, |frame| {
            found.extend(answer(frame).filter(|(ip, _)| ips.contains(ip)));
        })?;
    }
    Ok(found)
}

fn listen(wires: &[(bool, Socket)], until: Instant, mut hear: impl FnMut(&[u8])) -> io::Result<()> {
    const TICK: Duration = Duration::from_millis(1);
    let mut fds: Vec<PollFd<'_>> = wires
        .iter()
        .map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    loop {
        // A busy machine may run this process after the deadline only. The answers are there by then, so it still reads them.
        let left = until.saturating_duration_since(Instant::now());
        if !wires.is_empty() && !left.is_zero() {
            // The timeout has whole milliseconds.
            poll(
                &mut fds,
                PollTimeout::try_from(left + TICK).unwrap_or(PollTimeout::MAX),
            )?;
        }
        for (_, socket) in wires {
            read_all(socket, &mut hear)?;
        }
        if wires.is_empty() || left.is_zero() {
            return Ok(());
        }
    }
}

/// Reads the frames that are there, and no more than [`BATCH`], so a flood does not keep it.
fn read_all(mut socket: &Socket, hear: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut frame = [0; LONGEST];
    for _ in 0..BATCH {
        match socket.read(&mut frame) {
            Ok(length) => hear(frame.get(..length).unwrap_or_default()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

fn question(own: [u8; 6], ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => request(own, ip),
        IpAddr::V6(ip) => solicitation(own, ip),
    }
}

fn answer(frame: &[u8]) -> Option<Holder> {
    match frame.get(12..14)? {
        ether if ether == ARP.to_be_bytes() => claim(frame),
        ether if ether == IPV6.to_be_bytes() => advertisement(frame),
        _ => None,
    }
}

fn request(own: [u8; 6], ip: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(own);
    frame.extend(ARP.to_be_bytes());
    frame.extend(KINDS);
    frame.extend(REQUEST);
    frame.extend(own);
    frame.extend(Ipv4Addr::UNSPECIFIED.octets());
    frame.extend([0; 6]);
    frame.extend(ip.octets());
    frame
}

/// The sender of an ARP packet, question or answer, holds its sender address.
fn claim(frame: &[u8]) -> Option<Holder> {
    let (mac, ip) = (frame.get(22..28)?, frame.get(28..32)?);
    let ip: [u8; 4] = ip.try_into().ok()?;
    (frame.get(14..20)? == KINDS).then_some((ip.into(), mac.try_into().ok()?))
}

/// The question goes to the multicast group of stations whose addresses have the same end.
fn solicitation(own: [u8; 6], ip: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = ip.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ip.octets());
    let length = u8::try_from(message.len()).unwrap_or_default();
    let sum = checksum(&[&group.octets(), &[0, length, 0, ICMP], &message]);
    message.splice(2..4, sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0xff, a, b, c];
    frame.extend(own);
    frame.extend(IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0, 0, length, ICMP, UNROUTED]);
    frame.extend(Ipv6Addr::UNSPECIFIED.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// The internet checksum (RFC 1071) of parts of even lengths. Zeros do not change it.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.as_chunks().0);
    let sum = pairs.fold(0, |sum: u32, pair| {
        let sum = sum + u32::from(u16::from_be_bytes(*pair));
        (sum & 0xffff) + (sum >> 16)
    });
    !u16::try_from(sum).unwrap_or_default()
}

/// The target of a neighbour advertisement is its sender's address.
fn advertisement(frame: &[u8]) -> Option<Holder> {
    let is = |at: usize, byte: u8| frame.get(at) == Some(&byte);
    if !(is(20, ICMP) && is(21, UNROUTED) && is(54, ADVERTISEMENT)) {
        return None;
    }
    let target: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
    Some((target.into(), frame.get(6..12)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn an_arp_question_claims_nothing_and_a_claim_is_read() {
        let ip = Ipv4Addr::new(10, 1, 0, 2);
        let mut frame = request(OWN, ip);
        assert_eq!(frame.len(), 42);
        assert_eq!(answer(&frame), Some((Ipv4Addr::UNSPECIFIED.into(), OWN)));
        frame[28..32].copy_from_slice(&ip.octets());
        assert_eq!(answer(&frame), Some((ip.into(), OWN)));
        assert_eq!(answer(&frame[..30]), None);
        frame[15] = 6;
        assert_eq!(answer(&frame), None);
    }

    #[test]
    fn a_solicitation_is_whole_and_an_advertisement_is_read() {
        let ip: Ipv6Addr = "fd00:1::ab:cdef".parse().unwrap();
        let mut frame = solicitation(OWN, ip);
        assert_eq!(frame.len(), 14 + 40 + 24);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0xab, 0xcd, 0xef]);
        // The sum over the packet and its checksum is zero.
        let sum = checksum(&[&frame[38..54], &[0, 24, 0, ICMP], &frame[54..]]);
        assert_eq!(sum, 0);
        assert_eq!(answer(&frame), None);
        frame[54] = ADVERTISEMENT;
        assert_eq!(answer(&frame), Some((ip.into(), OWN)));
        assert_eq!(answer(&frame[..70]), None);
        frame[21] = 64;
        assert_eq!(answer(&frame), None);
    }
}
