//! Bystanders have nothing to do with pods. They get the same answers before the first pod, beside pods with hundreds
//! of ports, and after the last DEL.
//!
//! A kind of bystander is a file: its setup, and a table of calls ([`conversation`]). Source and destination ports in
//! the tables are ports that pods publish ([`pods`]), wherever that could matter.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod another_address;
mod answer;
mod chassis;
mod conversation;
mod datagrams;
mod forwarded;
mod loopback;
mod own_addresses;
mod pods;
mod random_ports;
mod service;
mod stage;
mod standing;
mod suite;
mod twin;
mod vpn;

use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::tool::older_iptables;

use answer::{Answer, assert_right};
use pods::{Backend, Pods};
use stage::Stage;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A kind of bystander: its setup, and its answers.
struct Kind {
    build: fn(&mut Stage<'_>),
    ask: fn(&Stage<'_>) -> Vec<Answer>,
}

/// Every kind, except those that need a separate host.
const KINDS: [Kind; 9] = [
    loopback::KIND,
    another_address::KIND,
    own_addresses::KIND,
    forwarded::KIND,
    datagrams::KIND,
    standing::TRACKED,
    suite::KIND,
    vpn::KIND,
    service::KIND,
];

/// Asks before the first pod, beside the pods, and after the last DEL, and expects the right answers each time.
fn check(lab: &Lab, kinds: &[Kind], pods: &Pods) {
    let mut stage = Stage::new(lab);
    for kind in kinds {
        (kind.build)(&mut stage);
    }
    stage.settle();
    let ask = |when| {
        let answers = kinds.iter().flat_map(|kind| (kind.ask)(&stage));
        answers.map(move |answer| answer.at(when)).collect()
    };
    let before: Vec<Answer> = ask("before the first pod");
    if before.is_empty() {
        // The machine lacks something, and a line was printed.
        return;
    }
    assert_right(&before);
    let attached = pods.attach(&stage);
    let beside = ask("beside the pods");
    pods::detach(&stage, &attached);
    let after = ask("after the last DEL");
    assert_right(&[beside, after].concat());
}

#[test]
fn loopback() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[loopback::KIND], &Pods::usual());
    });
}

#[test]
fn random_source_ports_beside_300_published_ones() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[random_ports::KIND], &random_ports::pods());
    });
}

#[test]
fn another_address_of_the_host() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[another_address::KIND], &Pods::usual());
    });
}

#[test]
fn own_addresses_to_each_other() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[own_addresses::KIND], &Pods::usual());
    });
}

#[test]
fn forwarded_traffic() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[forwarded::KIND], &Pods::usual());
    });
}

#[test]
fn multicast_and_broadcast() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[datagrams::KIND], &Pods::usual());
    });
}

#[test]
fn standing_connections() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[standing::TRACKED], &Pods::usual());
    });
}

#[test]
fn standing_connections_that_nobody_tracked() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[standing::UNTRACKED], &Pods::usual());
    });
}

#[test]
fn another_suites_bridge() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[suite::KIND], &Pods::usual());
    });
}

#[test]
fn a_vpn() {
    in_lab(LINKSPAN, |lab| check(lab, &[vpn::KIND], &Pods::usual()));
}

#[test]
fn services_like_kube_proxys() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[service::KIND], &Pods::usual());
    });
}

#[test]
fn wires_with_addresses_of_127() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[chassis::KIND], &Pods::usual());
    });
}

#[test]
fn another_bridge_with_the_pods_subnet() {
    in_lab(LINKSPAN, |lab| {
        check(lab, &[twin::KIND], &Pods::unreachable());
    });
}

/// The rules of iptables are the Go suite's, and of the same priority as those of other tables. Of two publishers of a
/// port the later one would get its packets, so no port is published twice here.
fn by_iptables(backend: Backend) -> Pods {
    let taken = [suite::TAKEN, service::TAKEN];
    Pods::usual().without(&taken).by(backend)
}

#[test]
fn everybody_beside_ports_by_iptables() {
    in_lab(LINKSPAN, |lab| {
        if let Some(backend) = Backend::iptables(lab) {
            check(lab, &KINDS, &by_iptables(backend));
        }
    });
}

#[test]
fn everybody_beside_ports_by_the_older_iptables() {
    in_lab(LINKSPAN, |lab| {
        if let Some(path) = older_iptables(lab) {
            check(lab, &KINDS, &by_iptables(Backend::older(lab, path)));
        }
    });
}

#[test]
fn wires_with_addresses_of_127_beside_ports_by_iptables() {
    in_lab(LINKSPAN, |lab| {
        if let Some(backend) = Backend::iptables(lab) {
            check(lab, &[chassis::KIND], &Pods::usual().by(backend));
        }
    });
}
