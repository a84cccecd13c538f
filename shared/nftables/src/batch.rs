//! An atomic transaction.

use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_netfilter::nftables::{NfTablesMessage, RuleAttribute};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::encode;
use crate::filter_rule::FilterRule;
use crate::ruleset::{Chain, Element, Set, Table};

/// The action of the last step in a trial; see [`Batch::fail`].
pub(crate) const TRIAL: &str = "end the trial of";

/// Maximum number of elements per message: an attribute has at most 64 KiB, an element here about 400 bytes.
const ELEMENTS_PER_MESSAGE: usize = 128;

/// The changes to commit.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) steps: Vec<Step>,
    generation: Option<u32>,
    sets: u32,
}

/// An end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before every other rule.
    First,
    /// Behind every other rule.
    Last,
}

/// One message, with the action and object for its error.
#[derive(Debug)]
pub(crate) struct Step {
    flags: u16,
    table: Table,
    message: NfTablesMessage,
    pub(crate) action: &'static str,
    object: String,
}

impl Step {
    /// The step's object, for its error.
    pub(crate) fn object(&self) -> String {
        match self.object.as_str() {
            "" => self.table.to_string(),
            object => format!("{object} in {}", self.table),
        }
    }
}

impl Batch {
    /// Returns whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Commits only if the ruleset still has this generation (see [`crate::Netfilter::generation`]). Otherwise the
    /// commit fails with `ERESTART`.
    pub fn at(&mut self, generation: u32) {
        self.generation = Some(generation);
    }

    /// Creates the table if it is missing. An existing one keeps its comment.
    pub fn ensure_table(&mut self, table: Table, comment: &str) {
        let message = NfTablesMessage::NewTable(encode::table(table, comment));
        self.push(NLM_F_CREATE, table, message, ("create", String::new()));
    }

    /// Creates missing sets and chains, and gives the chains exactly these rules. Other objects and all elements stay.
    pub fn ensure(&mut self, table: Table, sets: &[&Set], chains: &[Chain]) {
        for set in sets {
            self.sets += 1;
            let message = NfTablesMessage::NewSet(encode::set(table, set, self.sets));
            self.push(NLM_F_CREATE, table, message, ("create", set.describe()));
        }
        for chain in chains {
            let message = NfTablesMessage::NewChain(encode::chain(table, chain));
            self.push(NLM_F_CREATE, table, message, ("create", of(chain.name)));
        }
        for chain in chains {
            self.flush_chain(table, chain.name);
            for rule in &chain.rules {
                let message = NfTablesMessage::NewRule(encode::rule(table, chain.name, rule));
                let flags = NLM_F_CREATE | NLM_F_APPEND;
                self.push(flags, table, message, ("add a rule to", of(chain.name)));
            }
        }
    }

    /// Adds elements. An element with the same value may exist, unless `exclusive`. `EEXIST` if an element has another
    /// value, `ENOENT` if the set is missing.
    pub fn add(&mut self, table: Table, set: &Set, elements: &[Element], exclusive: bool) {
        let flags = if exclusive {
            NLM_F_CREATE | NLM_F_EXCL
        } else {
            NLM_F_CREATE
        };
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let message = NfTablesMessage::NewSetElement(encode::elements(table, set.name, some));
            self.push(flags, table, message, ("add elements to", set.describe()));
        }
    }

    /// Deletes elements by key; `ENOENT` if one is missing.
    pub fn delete(&mut self, table: Table, set: &Set, elements: &[Element]) {
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let message = NfTablesMessage::DeleteSetElement(encode::keys(table, set.name, some));
            self.push(0, table, message, ("delete elements of", set.describe()));
        }
    }

    /// Deletes elements as found; `EEXIST` if one has another value. Ignores missing ones.
    pub fn take(&mut self, table: Table, set: &Set, elements: &[Element]) {
        let bare = elements.iter().map(|element| Element {
            comment: String::new(),
            record: Vec::new(),
            ..element.clone()
        });
        self.add(table, set, &bare.collect::<Vec<_>>(), false);
        self.delete(table, set, elements);
    }

    /// Lets elements expire within the kernel's next tick. `EEXIST` if an element does not have the given value. An
    /// element that is gone comes back for that tick.
    ///
    /// Linux 6.12 expires an element without the wait for concurrent readers that follows a deletion. Older kernels
    /// accept the request and ignore it.
    pub fn expire(&mut self, table: Table, set: &Set, elements: &[Element]) {
        let expiring: Vec<_> = elements
            .iter()
            .map(|element| Element {
                timeout: 1,
                ..element.clone()
            })
            .collect();
        self.add(table, set, &expiring, false);
    }

    /// Deletes a set that no rule uses, with its elements.
    pub fn delete_set(&mut self, table: Table, set: &str) {
        let message = NfTablesMessage::DeleteSet(encode::set_name(table, set));
        self.push(0, table, message, ("delete", format!("set {set}")));
    }

    /// Fails on purpose, with `EEXIST`, after all previous steps would have succeeded: a trial of the batch.
    pub fn fail(&mut self, table: Table) {
        let message = NfTablesMessage::NewTable(encode::table(table, ""));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.push(flags, table, message, (TRIAL, String::new()));
    }

    /// Creates the chain, a target for jumps, if it is missing.
    pub fn ensure_chain(&mut self, table: Table, chain: &str) {
        let message = NfTablesMessage::NewChain(encode::chain_name(table, chain));
        self.push(NLM_F_CREATE, table, message, ("create", of(chain)));
    }

    /// Adds a rule at one end of a chain, in the form of `iptables-nft`.
    pub fn add_filter_rule(&mut self, table: Table, chain: &str, rule: &FilterRule, end: End) {
        let message = encode::rule(table, chain, &rule.expressions());
        let flags = match end {
            End::First => NLM_F_CREATE,
            End::Last => NLM_F_CREATE | NLM_F_APPEND,
        };
        let message = NfTablesMessage::NewRule(message);
        self.push(flags, table, message, ("add a rule to", of(chain)));
    }

    /// Deletes every rule of a chain.
    pub fn flush_chain(&mut self, table: Table, chain: &str) {
        let message = NfTablesMessage::DeleteRule(encode::any_rule(table, chain));
        self.push(0, table, message, ("delete the rules of", of(chain)));
    }

    /// Deletes one rule.
    pub fn delete_rule(&mut self, table: Table, chain: &str, handle: u64) {
        let mut message = encode::any_rule(table, chain);
        message.attributes.push(RuleAttribute::Handle(handle));
        let message = NfTablesMessage::DeleteRule(message);
        self.push(0, table, message, ("delete a rule of", of(chain)));
    }

    /// Deletes an empty chain without jumps to it.
    pub fn delete_chain(&mut self, table: Table, chain: &str) {
        let message = NfTablesMessage::DeleteChain(encode::chain_name(table, chain));
        self.push(0, table, message, ("delete", of(chain)));
    }

    /// Deletes the table with its content.
    pub fn delete_table(&mut self, table: Table) {
        let message = NfTablesMessage::DeleteTable(encode::table(table, ""));
        self.push(0, table, message, ("delete", String::new()));
    }

    fn push(
        &mut self,
        flags: u16,
        table: Table,
        message: NfTablesMessage,
        (action, object): (&'static str, String),
    ) {
        self.steps.push(Step {
            flags,
            table,
            message,
            action,
            object,
        });
    }

    /// The messages in order. Message `n` belongs to step `n - 1`, and the last step is acknowledged.
    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<(&'static str, String)>) {
        /// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`
        const BEGIN: u8 = 16;
        const END: u8 = 17;
        /// `NFNL_BATCH_GENID`
        const GENERATION: u16 = 1;
        let control = |message_type, attributes| {
            NetfilterMessage::new(
                NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES),
                ControlMessage::Other {
                    message_type,
                    attributes,
                },
            )
        };
        let generation = self
            .generation
            .map(|n| DefaultNla::new(GENERATION, n.to_be_bytes().to_vec()));
        let mut bytes = Vec::new();
        let mut number = 0;
        append(
            &mut bytes,
            (0, number),
            control(BEGIN, generation.into_iter().collect()),
        );
        let last = self.steps.len();
        let mut attempts = Vec::new();
        for (index, step) in self.steps.into_iter().enumerate() {
            number += 1;
            attempts.push((step.action, step.object()));
            let header = NetfilterHeader::new(encode::family(step.table.family), 0, 0);
            let ack = if index + 1 == last { NLM_F_ACK } else { 0 };
            append(
                &mut bytes,
                (step.flags | ack, number),
                NetfilterMessage::new(header, step.message),
            );
        }
        append(&mut bytes, (0, number + 1), control(END, Vec::new()));
        (bytes, attempts)
    }
}

/// `NFNL_SUBSYS_NFTABLES`, the subsystem of the transaction.
const NFTABLES: u16 = 10;

fn of(chain: &str) -> String {
    format!("chain {chain}")
}

/// Appends a message with these flags and this sequence number.
pub(crate) fn append(bytes: &mut Vec<u8>, (flags, number): (u16, u32), message: NetfilterMessage) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = number;
    message.finalize();
    let start = bytes.len();
    // The next message begins at a multiple of four bytes (NLMSG_ALIGN).
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = bytes.get_mut(start..) {
        message.serialize(room);
    }
}
