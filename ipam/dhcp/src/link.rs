//! An attachment's interface in its namespace. A visit is short and synchronous, and leaves only the requested socket
//! behind.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;

use linkspan_attach::Side;
use linkspan_netlink::link::{Kind, Link};
use linkspan_netlink::netns::{Netns, NetnsId};
use linkspan_netlink::packet;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::addr::Cidr;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::trouble::Trouble;
use crate::wire::frame;

/// The location of an interface.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The namespace's path in this process's view.
    pub(crate) path: PathBuf,
    pub(crate) ifname: String,
    /// The expected namespace, if known.
    pub(crate) id: Option<NetnsId>,
}

/// An interface as a visit found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mac: [u8; 6],
    pub(crate) kind: Kind,
    pub(crate) index: u32,
    /// Its namespace.
    pub(crate) id: NetnsId,
}

/// An `EtherType` of `linux/if_ether.h`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ether {
    V4 = 0x0800,
    V6 = 0x86dd,
}

impl Spot {
    /// Runs `visit` in the namespace, with the interface, after setting the interface up.
    pub(crate) fn visit<T>(
        &self,
        visit: impl FnOnce(&Facts) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.look(|link, facts| {
            if !link.up {
                link.set_up()?;
            }
            visit(facts)
        })
    }

    /// Returns an error unless the interface exists.
    pub(crate) fn is_there(&self) -> Result<(), Trouble> {
        self.look(|_link, _facts| Ok(()))
    }

    /// Sets the interface down, since its address may belong to another station now.
    pub(crate) fn set_down(&self) -> Result<(), Trouble> {
        self.look(|link, _facts| Ok(link.set_down()?))
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&Link, &Facts) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let netns = Netns::open(&self.path).map_err(|err| {
            if err.is_gone() {
                Trouble::NoNamespace(err.to_string())
            } else {
                Trouble::Kernel(err.to_string())
            }
        })?;
        let id = netns.id()?;
        if self.id.is_some_and(|known| known != id) {
            let path = self.path.display();
            return Err(Trouble::NoNamespace(format!(
                "{path} leads to another namespace"
            )));
        }
        let looked = netns.scope(|| {
            let rtnl = Rtnl::here()?;
            let link = rtnl.link_by_name(&self.ifname)?;
            Ok::<_, linkspan_netlink::error::Error>(link.map(|link| {
                let facts = Facts {
                    mac: link.mac,
                    kind: link.kind.clone(),
                    index: link.index,
                    id,
                };
                look(&link, &facts)
            }))
        });
        looked??.unwrap_or_else(|| Err(Trouble::NoLink(self.ifname.clone())))
    }

    /// A socket for whole frames of the interface. Received frames must pass `filter`.
    pub(crate) fn packets(
        &self,
        ether: Ether,
        filter: &[SockFilter],
    ) -> Result<(Facts, Socket), Trouble> {
        self.visit(|facts| Ok((facts.clone(), packet_socket(&self.ifname, ether, filter)?)))
    }

    /// A socket for `DHCPv6` messages.
    pub(crate) fn messages(&self) -> Result<(Facts, Socket), Trouble> {
        self.visit(|facts| Ok((facts.clone(), message_socket(&self.ifname)?)))
    }

    /// Sends one message to all `DHCPv6` servers.
    pub(crate) fn send_to_servers(&self, payload: &[u8]) -> Result<(), Trouble> {
        self.visit(|facts| {
            let socket = message_socket(&self.ifname)?;
            socket.send_to(payload, &servers(facts.index).into())?;
            Ok(())
        })
    }

    /// Makes the kernel ignore router advertisements: two default routes of one router would conflict. If that fails,
    /// the plugin that adds our route reports the problem.
    pub(crate) fn refuse_advertisements(&self) {
        drop(self.look(|link, _facts| {
            // The thread is in the container's namespace, so "host" means the container here.
            let side = Side::host();
            drop(side.and_then(|side| {
                side.sysctl(|sysctls| sysctls.refuse_router_advertisements(&link.name))
            }));
            Ok(())
        }));
    }

    /// Removes an address from the interface.
    pub(crate) fn take(&self, address: Cidr) -> Result<(), Trouble> {
        self.look(|link, _facts| Ok(link.del_addr(address.ip(), address.prefix())?))
    }

    /// Sends one datagram through the kernel, from an address of the container.
    pub(crate) fn send_from(
        &self,
        source: Ipv4Addr,
        server: Ipv4Addr,
        payload: &[u8],
    ) -> Result<(), Trouble> {
        self.visit(|_facts| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            let from = SocketAddrV4::new(source, frame::CLIENT);
            socket.bind(&from.into())?;
            let to = SocketAddrV4::new(server, frame::SERVER);
            socket.send_to(payload, &to.into())?;
            Ok(())
        })
    }
}

/// The address of all `DHCPv6` servers on a link.
pub(crate) fn servers(link: u32) -> SocketAddrV6 {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    SocketAddrV6::new(all, 547, 0, link)
}

fn message_socket(ifname: &str) -> Result<Socket, Trouble> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(ifname.as_bytes()))?;
    let from = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 546, 0, 0);
    socket.bind(&from.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn packet_socket(ifname: &str, ether: Ether, filter: &[SockFilter]) -> Result<Socket, Trouble> {
    let opened = packet::socket(ifname, ether as u16, filter);
    let socket = opened.map_err(|err| match err.kind() {
        ErrorKind::NotFound => Trouble::NoLink(ifname.to_owned()),
        _ => err.into(),
    })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
