//! Frames as bytes that ordinary sockets cannot send: with a forged source or a VLAN tag.

use std::io::{self, Read};
use std::time::Duration;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::packet;
use socket2::Socket;

/// An `EtherType` without a protocol (IEEE 802, for experiments).
pub const EXPERIMENT: u16 = 0x88b5;

/// The broadcast hardware address.
pub const EVERYBODY: [u8; 6] = [0xff; 6];

/// Bytes before the payload: destination, source, type.
const HEADER: usize = 14;

/// Time limit for a frame that was sent.
const DEADLINE: Duration = Duration::from_secs(20);

/// A packet socket on one link, for frames of [`EXPERIMENT`].
#[derive(Debug)]
pub struct Wire(Socket);

impl Wire {
    /// On the link `ifname` of the namespace.
    pub fn at(netns: &Netns, ifname: &str) -> Self {
        Self(netns.scope(|| open(ifname)).unwrap().unwrap())
    }

    /// Sends a frame from `source`, with the VLAN `tag` if given.
    pub fn send(&self, source: [u8; 6], tag: Option<u16>, payload: &[u8]) {
        const TAGGED: u16 = 0x8100;
        let tag = tag.map(|vlan| [TAGGED.to_be_bytes(), vlan.to_be_bytes()].concat());
        let frame = [
            &EVERYBODY[..],
            &source,
            &tag.unwrap_or_default(),
            &EXPERIMENT.to_be_bytes(),
            payload,
        ];
        self.0.send(&frame.concat()).unwrap();
    }

    /// The payload of the next incoming frame.
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let len = (&self.0).read(&mut buffer).unwrap();
        buffer[HEADER..len].to_vec()
    }
}

fn open(ifname: &str) -> io::Result<Socket> {
    let socket = packet::socket(ifname, EXPERIMENT, &[])?;
    socket.set_read_timeout(Some(DEADLINE))?;
    Ok(socket)
}
