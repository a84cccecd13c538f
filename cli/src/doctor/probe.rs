//! A question to everybody on a link: who has an address of IPv4 (ARP, RFC 826). Its sender has no address itself, so
//! nobody learns anything by it (RFC 5227).

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use linkspan_netlink::packet;
use linkspan_runtime::Result;

/// How long answers are waited for. Those of one machine come at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// `ETH_P_ARP`
const ARP: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];
const FRAME: usize = 42;

/// The hardware addresses that answer for `ip` on a link; each is in the list once.
pub(super) fn who_has(link: &str, own: [u8; 6], ip: Ipv4Addr) -> Result<Vec<[u8; 6]>> {
    ask(link, own, ip).map_err(linkspan_runtime::io(format!("ask for {ip} on {link}")))
}

fn ask(link: &str, own: [u8; 6], ip: Ipv4Addr) -> io::Result<Vec<[u8; 6]>> {
    let socket = packet::socket(link, ARP, &[])?;
    socket.send(&request(own, ip))?;
    let deadline = Instant::now() + PATIENCE;
    let mut answers = BTreeSet::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(answers.into_iter().collect());
        }
        socket.set_read_timeout(Some(left))?;
        let mut frame = [0; FRAME];
        match (&socket).read(&mut frame) {
            Ok(length) => answers.extend(answer(frame.get(..length).unwrap_or_default(), ip)),
            Err(err) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&err.kind()) => {}
            Err(err) => return Err(err),
        }
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

/// The sender of an answer about `ip`.
fn answer(frame: &[u8], ip: Ipv4Addr) -> Option<[u8; 6]> {
    let is = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    let is_it =
        is(12, &ARP.to_be_bytes()) && is(14, &KINDS) && is(20, &REPLY) && is(28, &ip.octets());
    is_it.then(|| frame.get(22..)?.first_chunk().copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_not_an_answer_and_an_answer_is_read() {
        let (own, ip) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 1, 0, 2));
        let mut frame = request(own, ip);
        assert_eq!(frame.len(), FRAME);
        assert_eq!(answer(&frame, ip), None);
        frame[20..22].copy_from_slice(&REPLY);
        frame[28..32].copy_from_slice(&ip.octets());
        assert_eq!(answer(&frame, ip), Some(own));
        assert_eq!(answer(&frame, Ipv4Addr::LOCALHOST), None);
        assert_eq!(answer(&frame[..30], ip), None);
    }
}
