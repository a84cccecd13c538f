//! Sockets for whole frames of a link (packet(7)).

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};

pub use socket2::SockFilter;

/// Opens a socket for frames of one kind, such as `ETH_P_ARP` of `linux/if_ether.h`, in the namespace that the thread is
/// in. With a filter, it never sees other frames. The error is of the kind `NotFound` if the link is missing.
pub fn socket(ifname: &str, ether: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    // The list includes each link's own address, in the form that bind(2) needs.
    let of_link = |found: InterfaceAddress| {
        let address = found.address.filter(|_| found.interface_name == ifname)?;
        address.as_link_addr().copied()
    };
    let missing = || io::Error::from(ErrorKind::NotFound);
    let link: LinkAddr = getifaddrs()?.find_map(of_link).ok_or_else(missing)?;
    let kind = Protocol::from(i32::from(ether.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(kind))?;
    if !filter.is_empty() {
        socket.attach_filter(filter)?;
    }
    bind(socket.as_raw_fd(), &link)?;
    Ok(socket)
}
