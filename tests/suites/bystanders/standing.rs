//! Connections from before the first pod that last while ports are published and withdrawn: from and to ports that are
//! not published yet. A server on such a port keeps its connections when a pod publishes the port.
//!
//! A UDP flow to a published port moves to the pod on purpose, so the table has none.

use std::net::SocketAddr;

use linkspan_harness::world::set_sysctl;
use linkspan_nftables::expr;
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule};

use crate::Kind;
use crate::answer::Answer;
use crate::conversation::{Conversation, First, Row, Transport, got, rows};
use crate::stage::Stage;

/// On a host that tracks its connections, as for a firewall.
pub(crate) const TRACKED: Kind = Kind {
    build: |stage| {
        track(stage);
        open(stage, &[Transport::Tcp, Transport::Udp]);
    },
    ask,
};

/// On a host that starts to track with the first pod, and meets these connections midway. Only TCP: a datagram to a
/// published port could be the first of its flow. The rules of iptables are the Go suite's, and take the middle of a
/// connection for its start.
pub(crate) const UNTRACKED: Kind = Kind {
    build: |stage| open(stage, &[Transport::Tcp]),
    ask,
};

/// A lasting conversation.
pub(crate) struct Standing {
    what: String,
    first: First,
    conversation: Conversation,
}

/// Looks at the state of connections, without any effect.
fn track(stage: &Stage<'_>) {
    let chain = |name, hook| Chain {
        name,
        comment: "",
        base: Some(Base {
            kind: ChainKind::Filter,
            hook,
            priority: 0,
        }),
        rules: vec![Rule {
            exprs: expr::translated().to_vec(),
        }],
    };
    let chains = [chain("input", Hook::Input), chain("output", Hook::Output)];
    stage.rules("firewall", &chains);
    // Otherwise a flow without packets for half a minute counts as new, and the pods may take as long.
    for key in ["udp_timeout", "udp_timeout_stream"] {
        let key = format!("netfilter/nf_conntrack_{key}");
        set_sysctl(stage.lab.host(), &key, "3600");
    }
}

/// Each line of the table twice: the server continues the conversation in one, and the caller in the other.
fn open(stage: &mut Stage<'_>, transports: &[Transport]) {
    /// The distance between the ports of the two.
    const APART: u16 = 20;
    stage.settle();
    for row in rows(TABLE).filter(|row| transports.contains(&row.transport)) {
        for (first, apart) in [(First::Server, 0), (First::Caller, APART)] {
            let row = shifted(row.clone(), apart);
            stage.standing.borrow_mut().push(Standing {
                what: format!("standing, {first:?} first: {row}"),
                first,
                conversation: Conversation::open(stage, &row).unwrap(),
            });
        }
    }
}

/// The same with other ports.
fn shifted(mut row: Row<'_>, by: u16) -> Row<'_> {
    let shift = |address: &mut SocketAddr| address.set_port(address.port() + by);
    let server = row.server.as_mut().map(|(_, at)| at);
    let all = [Some(&mut row.to), row.from.as_mut(), server];
    all.into_iter().flatten().for_each(shift);
    row
}

fn ask(stage: &Stage<'_>) -> Vec<Answer> {
    let mut standing = stage.standing.borrow_mut();
    let speak = |one: &mut Standing| {
        let seen = one.conversation.seen.ip();
        Answer {
            what: one.what.clone(),
            right: format!("seen as {seen}"),
            got: got(one.conversation.speak(one.first).map(|()| seen)),
        }
    };
    standing.iter_mut().map(speak).collect()
}

const TABLE: &str = "
    # caller  from                   calls                  server  at                     seen
    host      127.0.0.1:20101        127.0.0.1:9100         host    127.0.0.1:9100         127.0.0.1
    host      127.0.0.1:9101         127.0.0.1:20102        host    127.0.0.1:20102        127.0.0.1       tcp
    host      127.0.0.1:20103        127.0.0.1:20104        host    127.0.0.1:20104        127.0.0.1       tcp
    host      127.0.0.1:9103         192.0.2.1:9103         host    192.0.2.1:9103         127.0.0.1
    host      127.0.0.1:9104         192.0.2.1:20105        host    192.0.2.1:20105        127.0.0.1       tcp
    world     192.0.2.2:20106        192.0.2.1:20106        host    192.0.2.1:20106        192.0.2.2       tcp
    world     192.0.2.2:20107        198.51.100.2:20107     other   198.51.100.2:20107     192.0.2.2
    host      [::1]:20101            [::1]:9100             host    [::1]:9100             ::1
    host      [::1]:9101             [::1]:20102            host    [::1]:20102            ::1             tcp
    host      [::1]:20103            [::1]:20104            host    [::1]:20104            ::1             tcp
    host      [::1]:9103             [2001:db8::1]:9103     host    [2001:db8::1]:9103     ::1
    host      [::1]:9104             [2001:db8::1]:20105    host    [2001:db8::1]:20105    ::1             tcp
    world     [2001:db8::2]:20106    [2001:db8::1]:20106    host    [2001:db8::1]:20106    2001:db8::2     tcp
    world     [2001:db8::2]:20107    [2001:db8:1::2]:20107  other   [2001:db8:1::2]:20107  2001:db8::2
";
