//! Base chains at the hook `forward` on the real kernel, created without a tool.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells loudly what it skips"
)]

use linkspan_netlink::netns::Netns;
use linkspan_nftables::expr::{MetaKey, equal, jump, meta};
use linkspan_nftables::forward::ForwardChain;
use linkspan_nftables::ruleset::{Chain, Rule, Table, TableFamily};
use linkspan_nftables::{Batch, Netfilter};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;

const TABLE: Table = Table {
    family: TableFamily::Inet,
    name: "test",
};

/// Adds a base chain to the table, in a separate transaction.
fn add_base_chain(netns: &Netns, name: &str, hook: InetHookNumber, policy: u32) {
    let control = |message_type| ControlMessage::Other {
        message_type,
        attributes: vec![],
    };
    let chain = NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.name.to_owned()),
            ChainAttribute::Name(name.to_owned()),
            ChainAttribute::Type("filter".to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Inet(hook)),
                Hook::Priority(0),
            ]),
            ChainAttribute::Policy(policy),
        ],
    });
    let (unspec, inet) = (NetfilterProtoFamily::Unspec, NetfilterProtoFamily::Inet);
    // The subsystem of nf_tables.
    let header = |family, subsystem| NetfilterHeader::new(family, 0, subsystem);
    let mut bytes = Vec::new();
    for message in [
        NetfilterMessage::new(header(unspec, 10), control(16)),
        NetfilterMessage::new(header(inet, 0), chain),
        NetfilterMessage::new(header(unspec, 10), control(17)),
    ] {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_CREATE;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(bytes.get_mut(start..).unwrap());
    }
    let socket = netns
        .scope(|| Socket::new(NETLINK_NETFILTER))
        .unwrap()
        .unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket.send(&bytes, 0).unwrap();
}

#[test]
fn chains_that_drop_and_the_interfaces_that_they_let_through() {
    const DROP: u32 = 0;
    const ACCEPT: u32 = 1;
    let netns = match Netns::create() {
        Err(err) if err.is(Errno::EPERM) => {
            eprintln!("SKIPPED: {err}; run the tests as root, or under `unshare -rn`");
            return;
        }
        made => made.unwrap(),
    };
    let netfilter = netns.scope(Netfilter::open).unwrap().unwrap();
    let chains = |rules: Vec<Rule>| {
        let chain = |name, rules| Chain {
            name,
            base: None,
            comment: "",
            rules,
        };
        vec![chain("zone", vec![]), chain("more", rules)]
    };
    let from = |name: &[u8]| Rule {
        exprs: vec![meta(MetaKey::Iifname, 0), equal(0, name), jump("zone")],
    };
    let mut batch = Batch::default();
    let rules = vec![from(b"cni0\0"), from(b"veth")];
    batch.ensure_table(TABLE, "");
    batch.ensure(TABLE, &[], &chains(rules));
    netfilter.commit(batch).unwrap();
    assert_eq!(netfilter.forward_chains(TableFamily::Inet).unwrap(), []);
    for (name, hook, policy) in [
        ("input", InetHookNumber::LocalIn, DROP),
        ("passing", InetHookNumber::Forward, ACCEPT),
        ("guard", InetHookNumber::Forward, DROP),
    ] {
        add_base_chain(&netns, name, hook, policy);
    }
    let chain = |name: &str, drops, passes: &[&str]| ForwardChain {
        family: TableFamily::Inet,
        table: TABLE.name.to_owned(),
        name: name.to_owned(),
        drops,
        passes: passes.iter().map(|name| (*name).to_owned()).collect(),
    };
    let expected = [
        chain("passing", false, &[]),
        chain("guard", true, &["cni0", "veth*"]),
    ];
    assert_eq!(
        netfilter.forward_chains(TableFamily::Inet).unwrap(),
        expected
    );
    assert_eq!(netfilter.forward_chains(TableFamily::Ip).unwrap(), []);
}
