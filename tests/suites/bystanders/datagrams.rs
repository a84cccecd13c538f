//! Multicast and broadcast datagrams to a port that pods publish. They go to no address of the host's own, so they reach
//! the listeners on the link, and their source stays.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use linkspan_cli::traffic::at;
use linkspan_harness::server::once_free;
use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use crate::Kind;
use crate::answer::Answer;
use crate::conversation::got;
use crate::stage::Stage;

pub(crate) const KIND: Kind = Kind {
    build: |_| {},
    ask: |stage| lines().map(|line| answer(stage, line)).collect(),
};

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(3);

const WORD: &[u8; 4] = b"many";

/// Speaker, its address and link, destination, listener and its link.
const TABLE: &str = "
    # speaker  from                 by   to                    listener  on
    host       127.0.0.1:20009      lo   224.0.0.251:20007     host      lo
    host       127.0.0.1:9001       lo   224.0.0.251:20007     host      lo
    host       127.0.0.1:9001       lo   127.255.255.255:20007 host      lo
    host       127.0.0.1:9001       lo   255.255.255.255:20007 host      lo
    host       192.0.2.1:20009      up0  224.0.0.251:20007     host      up0
    host       192.0.2.1:20007      up0  224.0.0.251:20007     world     eth0
    host       192.0.2.1:20007      up0  192.0.2.255:20007     world     eth0
    world      192.0.2.2:20007      eth0 224.0.0.251:20007     host      up0
    world      192.0.2.2:20007      eth0 192.0.2.255:20007     host      up0
    host       [2001:db8::1]:20009  up0  [ff02::fb]:20007      host      up0
    host       [2001:db8::1]:20007  up0  [ff02::fb]:20007      world     eth0
    world      [2001:db8::2]:20007  eth0 [ff02::fb]:20007      host      up0
";

fn lines() -> impl Iterator<Item = &'static str> {
    let lines = TABLE.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn answer(stage: &Stage<'_>, line: &str) -> Answer {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [from, to] = [words[1], words[3]].map(|word| word.parse().expect("an address"));
    let speaker = End::new(stage, words[0], words[2], from);
    let listener = End::new(stage, words[4], words[5], to);
    Answer {
        what: format!("{} at {from} tells {to}", words[0]),
        right: format!("seen as {}", from.ip()),
        got: got(heard(&speaker, &listener)),
    }
}

/// A speaker or listener, and its link.
struct End<'a> {
    netns: &'a Netns,
    link: Link,
    address: SocketAddr,
}

impl<'a> End<'a> {
    fn new(stage: &'a Stage<'_>, name: &str, link: &str, address: SocketAddr) -> Self {
        let netns = stage.netns(name);
        let rtnl = Rtnl::open(netns).unwrap();
        let link = rtnl.link_by_name(link).unwrap().unwrap();
        Self {
            netns,
            link,
            address,
        }
    }

    fn socket(&self) -> io::Result<Socket> {
        at(self.netns, || {
            Socket::new(Domain::for_address(self.address), Type::DGRAM, None)
        })
    }
}

/// The source that the listener saw.
fn heard(speaker: &End<'_>, listener: &End<'_>) -> io::Result<IpAddr> {
    let (to, link) = (listener.address, listener.link.index);
    let hearing = listener.socket()?;
    let any = SocketAddr::new(Family::of(to.ip()).unspecified(), to.port());
    once_free(|| hearing.bind(&any.into()))?;
    match to.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            hearing.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(link))?;
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(group) => hearing.join_multicast_v6(&group, link)?,
    }
    hearing.set_read_timeout(Some(DEADLINE))?;
    let speaking = speaker.socket()?;
    speaking.set_broadcast(true)?;
    once_free(|| speaking.bind(&speaker.address.into()))?;
    speaking.bind_device(Some(speaker.link.name.as_bytes()))?;
    speaking.send_to(WORD, &to.into())?;
    let mut word = [MaybeUninit::new(0); WORD.len()];
    let (_, from) = hearing.recv_from(&mut word)?;
    let no_address = || io::Error::other("not an address of the internet");
    Ok(from.as_socket().ok_or_else(no_address)?.ip())
}
