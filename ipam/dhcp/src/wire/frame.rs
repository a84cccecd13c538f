//! Ethernet, IPv4 and UDP around a message.

use std::net::Ipv4Addr;

use super::number;

/// The servers' port.
pub(crate) const SERVER: u16 = 67;
/// The clients' port.
pub(crate) const CLIENT: u16 = 68;

/// The broadcast hardware address.
pub(crate) const EVERYBODY: [u8; 6] = [0xff; 6];

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
const PROTOCOL_UDP: u8 = 17;
/// Bits of a fragment: more to come, or not the first one.
const FRAGMENT: u16 = 0x3fff;

/// The addresses of a datagram to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// Hardware address of the sender.
    pub(crate) from: [u8; 6],
    /// Hardware address of the receiver.
    pub(crate) to: [u8; 6],
    /// IP address of the sender.
    pub(crate) source: Ipv4Addr,
    /// IP address of the receiver.
    pub(crate) destination: Ipv4Addr,
}

/// A received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    /// Hardware address of the sender.
    pub(crate) from: [u8; 6],
    /// The UDP payload.
    pub(crate) payload: &'a [u8],
}

/// The frame of a datagram from the client's port to the server's.
pub(crate) fn build(way: &Way, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(UDP + payload.len());
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    udp.extend(CLIENT.to_be_bytes());
    udp.extend(SERVER.to_be_bytes());
    udp.extend(length(UDP + payload.len()));
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut pseudo = Vec::new();
    pseudo.extend(way.source.octets());
    pseudo.extend(way.destination.octets());
    pseudo.extend([0, PROTOCOL_UDP]);
    pseudo.extend(length(udp.len()));
    pseudo.extend(&udp);
    // A checksum of zero would mean that there is none.
    let sum = match checksum(&pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    write(&mut udp, 6, sum);
    let mut ip = vec![0x45, 0];
    ip.extend(length(IPV4 + udp.len()));
    // Identification, flags, time to live.
    ip.extend([0, 0, 0, 0, 64, PROTOCOL_UDP, 0, 0]);
    ip.extend(way.source.octets());
    ip.extend(way.destination.octets());
    let sum = checksum(&ip);
    write(&mut ip, 10, sum);
    let mut frame = Vec::with_capacity(ETHERNET + ip.len() + udp.len());
    frame.extend(way.to);
    frame.extend(way.from);
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    frame.extend(udp);
    frame
}

fn write(bytes: &mut [u8], at: usize, number: u16) {
    let place = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>);
    if let Some(place) = place {
        *place = number.to_be_bytes();
    }
}

/// The checksum of the internet protocols.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Decodes a frame with a datagram to the clients' port; `None` for anything else.
///
/// Ignores the UDP checksum, which frames from this machine lack.
pub(crate) fn parse(frame: &[u8]) -> Option<Received<'_>> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    let [_, _, _, _, _, _, from @ .., high, low] = ethernet;
    let (version, header) = packet
        .first()
        .map(|byte| (byte >> 4, usize::from(byte & 0xf) * 4))?;
    if (*high, *low) != (0x08, 0x00) || version != 4 || header < IPV4 {
        return None;
    }
    // An Ethernet frame may be longer than its packet, but not shorter.
    let packet = packet.get(..usize::from(number(packet, 2)?))?;
    if number(packet, 6)? & FRAGMENT != 0 || *packet.get(9)? != PROTOCOL_UDP {
        return None;
    }
    let udp = packet.get(header..)?;
    let payload = udp.get(UDP..usize::from(number(udp, 4)?))?;
    (number(udp, 2)? == CLIENT).then_some(Received {
        from: *from,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way {
            from: [2, 0, 0, 0, 0, 1],
            to: EVERYBODY,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
        }
    }

    /// A frame to the client, made from one to the server.
    fn answer(payload: &[u8]) -> Vec<u8> {
        let mut frame = build(&way(), payload);
        write(&mut frame, ETHERNET + IPV4 + 2, CLIENT);
        frame
    }

    #[test]
    fn a_frame_is_read_as_it_was_built_and_its_checksums_are_right() {
        let frame = answer(b"hello");
        let padded = [frame.clone(), vec![0; 20]].concat();
        for frame in [&frame, &padded] {
            let received = parse(frame).unwrap();
            assert_eq!(
                (received.from, received.payload),
                (way().from, &b"hello"[..])
            );
        }
        assert_eq!(checksum(&frame[ETHERNET..ETHERNET + IPV4]), 0);
        assert_eq!(parse(&build(&way(), b"hello")), None);
    }

    /// The reference's daemon crashes on a total length from 20 to 27.
    #[test]
    fn lengths_that_cannot_be_and_cut_frames_are_nothing() {
        let frame = answer(&[7; 300]);
        for length in 0..28_u16 {
            let mut bad = frame.clone();
            write(&mut bad, ETHERNET + 2, length);
            assert_eq!(parse(&bad), None, "total length {length}");
        }
        for length in 0..8_u16 {
            let mut bad = frame.clone();
            write(&mut bad, ETHERNET + IPV4 + 4, length);
            assert_eq!(parse(&bad), None, "UDP length {length}");
        }
        for cut in 0..frame.len() {
            assert_eq!(parse(&frame[..cut]), None, "cut at {cut}");
        }
        for (at, byte) in [
            (14, 0x65),
            (14, 0x44),
            (20, 0x20),
            (21, 1),
            (23, 6),
            (12, 0x86),
        ] {
            let mut bad = frame.clone();
            bad[at] = byte;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
    }
}
