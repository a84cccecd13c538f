//! The connection to netfilter.

use std::cell::RefCell;
use std::io::ErrorKind;

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR};
use netlink_packet_netfilter::nftables::{ChainMessage, GenMessage, NfTablesMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use nix::sys::socket::{setsockopt, sockopt};

use crate::batch::{Batch, append};
use crate::decode::{Body, messages};
use crate::filter_rule::FoundFilterRule;
use crate::found::FoundRule;
use crate::port_rule::PortRule;
use crate::ruleset::{Element, Set, Table, TableFamily};
use crate::{Error, decode, encode, filter_reading, port_reading};

/// Maximum number of attempts at a dump that changes interrupt.
const DUMP_ATTEMPTS: usize = 100;

/// Maximum number of attempts to receive an answer. A failed receive leaves the answer in the socket, and without the
/// answer the outcome is unknown.
const RECEIVE_ATTEMPTS: usize = 3;

/// Size of the receive buffer; the kernel's dumps come in pieces of at most 32 KiB.
const BUFFER: usize = 64 << 10;

/// Maximum size that is sent with the default send buffer, which is far larger.
const SMALL: usize = 64 << 10;

/// A connection. It acts on the namespace in which it was opened.
pub struct Netfilter {
    socket: Socket,
    /// Where answers arrive. It is kept, because the heap would give so large a piece back after each answer, and the kernel
    /// would clear its pages for the next one.
    buffer: RefCell<Vec<u8>>,
}

impl Netfilter {
    /// Opens a connection in the namespace of this thread.
    pub fn open() -> Result<Self, Error> {
        let fail = || Error::io("open", "a netfilter socket");
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(fail())?;
        socket.bind_auto().map_err(fail())?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(fail())?;
        socket.set_ext_ack(true).map_err(fail())?;
        socket.set_cap_ack(true).map_err(fail())?;
        Ok(Self {
            socket,
            buffer: RefCell::new(Vec::with_capacity(BUFFER)),
        })
    }

    /// Commits the batch. Returns the error of the first refused step.
    pub fn commit(&self, batch: Batch) -> Result<(), Error> {
        let (bytes, attempts) = batch.into_bytes();
        let whole = Error::io("commit", "a change of nf_tables");
        self.send(&bytes).map_err(whole)?;
        let (mut done, mut refused) = (attempts.is_empty(), None);
        let (action, object) = ("commit", "a change of nf_tables");
        let mut lost = None;
        // The kernel answers before the request returns, so reading does not wait. It answers each refused step, so all
        // answers must be read.
        loop {
            let answer = match self.receive(MSG_DONTWAIT, &mut lost) {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(err) => return Err(Error::lost(action, object, &err)),
            };
            for message in messages(&answer)? {
                let number = message.number as usize;
                match message.body {
                    Body::Refused(answer) => {
                        refused.get_or_insert((number, answer));
                    }
                    _ => done |= number == attempts.len(),
                }
            }
        }
        if let Some((number, answer)) = refused {
            let attempt = number.checked_sub(1).and_then(|at| attempts.get(at));
            let (action, object) = match attempt {
                Some((action, object)) => (*action, object.as_str()),
                None => (action, object),
            };
            return Err(Error::refused(action, object, &answer));
        }
        // The kernel acknowledges the last step even if it refused an earlier one. So a lost answer may have been a
        // refusal.
        match lost {
            Some(why) => Err(Error::lost(action, object, &why)),
            None if done => Ok(()),
            None => Err(Error::new(action, object, 0)),
        }
    }

    /// The generation of the ruleset, which every commit changes.
    pub fn generation(&self) -> Result<u32, Error> {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
        let request = NfTablesMessage::GetGen(GenMessage { attributes: vec![] });
        let attempt = ("read", "the generation of nf_tables");
        let message = NetfilterMessage::new(header, request);
        self.ask(attempt, 0, message, decode::generation)?
            .pop()
            .ok_or_else(|| Error::new(attempt.0, attempt.1, 0))
    }

    /// Every element of a set, by key; none if the set or its table is missing.
    ///
    /// A dump in several messages may repeat or miss elements without a mark of interruption: if the kernel enlarges a
    /// hash some time after it was filled (`nft_rhash_walk`), or if a listed range is deleted and the ones behind move
    /// up (`nft_pipapo_walk`). So a long dump counts once two in a row are equal.
    pub fn elements(&self, table: Table, set: &Set) -> Result<Vec<Element>, Error> {
        /// Maximum number of elements in one message.
        const ONE_ANSWER: usize = 64;
        let mut found = self.elements_once(table, set)?;
        for _ in 0..DUMP_ATTEMPTS {
            if found.len() <= ONE_ANSWER {
                return Ok(found);
            }
            let again = self.elements_once(table, set)?;
            if again == found {
                return Ok(found);
            }
            found = again;
        }
        Err(Error::new("list", set.describe(), Errno::EINTR as i32))
    }

    fn elements_once(&self, table: Table, set: &Set) -> Result<Vec<Element>, Error> {
        let request = NfTablesMessage::GetSetElement(encode::any_element(table, set.name));
        let read = |object: &[u8]| Some(decode::elements(object));
        let lists = self.list(("list", &set.describe()), table.family, request, read)?;
        let mut found = lists.concat();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.dedup_by(|a, b| a.key == b.key && a.key_end == b.key_end);
        Ok(found)
    }

    /// The element with this key, if any.
    pub fn element(
        &self,
        table: Table,
        set: &Set,
        key: &Element,
    ) -> Result<Option<Element>, Error> {
        let message = encode::keys(table, set.name, std::slice::from_ref(key));
        let header = NetfilterHeader::new(encode::family(table.family), 0, 0);
        let request = NetfilterMessage::new(header, NfTablesMessage::GetSetElement(message));
        let read = |object: &[u8]| decode::elements(object).pop();
        let attempt = ("look up in", &*set.describe());
        Ok(unless_missing(self.ask(attempt, 0, request, read))?.pop())
    }

    /// The rules of a chain; none if the chain or its table is missing.
    pub fn rules(&self, table: Table, chain: &str) -> Result<Vec<FoundRule>, Error> {
        let request = NfTablesMessage::GetRule(encode::any_rule(table, chain));
        self.list(
            ("list the rules of", chain),
            table.family,
            request,
            decode::rule,
        )
    }

    /// The rules of a chain, reduced to ports; none if the chain or its table is missing. The table must be of a single
    /// IP family.
    pub fn port_rules(&self, table: Table, chain: &str) -> Result<Vec<PortRule>, Error> {
        let request = NfTablesMessage::GetRule(encode::any_rule(table, chain));
        let family = table.family.of_addresses().unwrap_or(Family::V4);
        let read = |object: &[u8]| port_reading::decode(object, family);
        self.list(("list the rules of", chain), table.family, request, read)
    }

    /// The rules of a chain in the form of `iptables-nft`; none if the chain or its table is missing.
    pub fn filter_rules(&self, table: Table, chain: &str) -> Result<Vec<FoundFilterRule>, Error> {
        let request = NfTablesMessage::GetRule(encode::any_rule(table, chain));
        self.list(
            ("list the rules of", chain),
            table.family,
            request,
            filter_reading::decode,
        )
    }

    /// The first rules of such a chain, up to the size of one answer; none if the chain or its table is missing. The
    /// other answers stay unread, so the connection must not be used again.
    pub fn first_filter_rules(
        self,
        table: Table,
        chain: &str,
    ) -> Result<Vec<FoundFilterRule>, Error> {
        let (action, object) = ("list the first rules of", chain);
        let header = NetfilterHeader::new(encode::family(table.family), 0, 0);
        let request = NfTablesMessage::GetRule(encode::any_rule(table, chain));
        let mut bytes = Vec::new();
        let message = NetfilterMessage::new(header, request);
        append(&mut bytes, (NLM_F_DUMP, 0), message);
        self.send(&bytes).map_err(Error::io(action, object))?;
        let answer = self.receive(0, &mut None);
        let answer = answer.map_err(Error::io(action, object))?;
        let mut found = Vec::new();
        for message in messages(&answer.unwrap_or_default())? {
            match message.body {
                Body::Object(object) => found.extend(filter_reading::decode(object)),
                Body::Refused(answer) => {
                    let refused = Err(Error::refused(action, object, &answer));
                    return unless_missing(refused);
                }
                Body::Done => {}
            }
        }
        Ok(found)
    }

    /// The names of a table's chains.
    pub fn chains(&self, table: Table) -> Result<Vec<String>, Error> {
        let request = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
        let attempt = ("list the chains of", &*table.to_string());
        let read = |object: &[u8]| Some(decode::chain(object, table.name)?.name);
        self.list(attempt, table.family, request, read)
    }

    /// Returns whether a table has the chain.
    pub fn has_chain(&self, table: Table, chain: &str) -> Result<bool, Error> {
        let header = NetfilterHeader::new(encode::family(table.family), 0, 0);
        let request = NfTablesMessage::GetChain(encode::chain_name(table, chain));
        let request = NetfilterMessage::new(header, request);
        let read = |object: &[u8]| decode::chain(object, table.name);
        let found = unless_missing(self.ask(("look up chain", chain), 0, request, read))?;
        Ok(!found.is_empty())
    }

    pub(crate) fn list<T>(
        &self,
        attempt: (&'static str, &str),
        family: TableFamily,
        request: NfTablesMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let header = NetfilterHeader::new(encode::family(family), 0, 0);
        let message = NetfilterMessage::new(header, request);
        unless_missing(self.ask(attempt, NLM_F_DUMP, message, read))
    }

    /// Sends a request and reads the answers. Repeats an interrupted dump.
    pub(crate) fn ask<T>(
        &self,
        (action, object): (&'static str, &str),
        flags: u16,
        message: NetfilterMessage,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        // A dump has an end message. A single request asks for an acknowledgement as its end.
        let flags = if flags == 0 { NLM_F_ACK } else { flags };
        let mut request = Vec::new();
        append(&mut request, (flags, 0), message);
        for _ in 0..DUMP_ATTEMPTS {
            self.send(&request).map_err(Error::io(action, object))?;
            if let Some(found) = self.collect((action, object), &read)? {
                return Ok(found);
            }
        }
        Err(Error::new(action, object, Errno::EINTR as i32))
    }

    /// The answers up to the end of the dump; `None` if a change interrupted it.
    fn collect<T>(
        &self,
        (action, object): (&'static str, &str),
        read: &impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        let (mut found, mut whole) = (Vec::new(), true);
        let fail = || Error::io("receive", "an answer of netfilter");
        let mut lost = None;
        while let Some(answer) = self.receive(0, &mut lost).map_err(fail())? {
            if let Some(why) = lost {
                return Err(fail()(why));
            }
            for message in messages(&answer)? {
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.body {
                    Body::Object(object) => found.extend(read(object)),
                    Body::Refused(answer) => {
                        return Err(Error::refused(action, object, &answer));
                    }
                    Body::Done => return Ok(whole.then_some(found)),
                }
            }
        }
        Err(Error::new(action, object, 0))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.len() > SMALL {
            // A transaction is one message. Without CAP_NET_ADMIN in the initial user namespace, net.core.wmem_max
            // limits the buffer, and a larger transaction fails with EMSGSIZE.
            let room = bytes.len() * 2;
            if setsockopt(&self.socket, sockopt::SndBufForce, &room).is_err() {
                setsockopt(&self.socket, sockopt::SndBuf, &room)?;
            }
        }
        self.socket.send(bytes, 0).map(drop)
    }

    /// The next answer; `None` if `MSG_DONTWAIT` is set and there is none. `lost` reports an answer that the kernel
    /// dropped for lack of room. Any other error leaves the answer in the socket.
    pub(crate) fn receive(
        &self,
        flags: i32,
        lost: &mut Option<std::io::Error>,
    ) -> std::io::Result<Option<Vec<u8>>> {
        let mut attempts = 1..RECEIVE_ATTEMPTS;
        loop {
            match self.receive_once(flags) {
                Ok(answer) => return Ok(Some(answer)),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(err) if attempts.next().is_none() => return Err(err),
                Err(err) if err.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    lost.get_or_insert(err);
                    // The dropped answer will not come, so waiting is pointless.
                    return self.receive(MSG_DONTWAIT, &mut None);
                }
                Err(_) => {}
            }
        }
    }
}

impl Netfilter {
    fn receive_once(&self, flags: i32) -> std::io::Result<Vec<u8>> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        self.socket.recv(&mut *buffer, flags)?;
        Ok(buffer.clone())
    }
}

/// Treats a missing object as an empty result.
fn unless_missing<T: Default>(answer: Result<T, Error>) -> Result<T, Error> {
    match answer {
        Err(err) if err.is(Errno::ENOENT) => Ok(T::default()),
        answer => answer,
    }
}

impl std::fmt::Debug for Netfilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netfilter").finish_non_exhaustive()
    }
}
