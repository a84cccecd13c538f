//! Several attachments of one pod, as docs/several-networks.md has them: added and deleted in every order, with each
//! interface reachable by its own way all the time.

use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::several::{ARCHIVE, CAMPUS, DEFAULT, Network, STORAGE, Several};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::thorough::sample;
use serde_json::Value;

use crate::LINKSPAN;

/// Every order of these.
fn orders(of: &[Network]) -> Vec<Vec<Network>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in of {
        let others: Vec<Network> = of.iter().copied().filter(|one| one != first).collect();
        for mut rest in orders(&others) {
            rest.insert(0, *first);
            all.push(rest);
        }
    }
    all
}

/// Adds in every order, and deletes in the same order and in reverse, so in every order, too. After each step, what is
/// attached passes CHECK and is reached by its own way. An everyday run adds in some orders.
fn in_every_order(lab: &Lab, several: &Several<'_>, of: &[Network]) {
    for added in sample(orders(of).into_iter(), 0, of.len()) {
        let reversed = added.iter().rev().copied().collect();
        for (at, deleted) in [added.clone(), reversed].into_iter().enumerate() {
            let sandbox = lab.sandbox();
            let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
            lo.set_up().unwrap();
            let before = Snapshot::of_sandbox(&sandbox);
            let pod = ("web", &sandbox);
            let mut attached: Vec<(Network, Value)> = Vec::new();
            let works = |attached: &[(Network, Value)]| {
                for (network, result) in attached {
                    several.check(pod, *network);
                    several.reach(&sandbox, *network, result);
                }
            };
            for network in &added {
                attached.push((*network, several.add(pod, *network)));
                // The first steps of one order are the same before each order of deletion.
                if at == 0 || attached.len() == of.len() {
                    works(&attached);
                }
            }
            for network in &deleted {
                several.del(pod, *network);
                attached.retain(|(one, _)| one != network);
                works(&attached);
            }
            assert_eq!(
                Snapshot::of_sandbox(&sandbox),
                before,
                "{added:?} {deleted:?}"
            );
        }
    }
}

/// Every two of the networks, and all three.
fn in_every_number(lab: &Lab, third: Network) {
    let several = Several::new(lab);
    in_every_order(lab, &several, &[DEFAULT, CAMPUS]);
    in_every_order(lab, &several, &[CAMPUS, third]);
    in_every_order(lab, &several, &[DEFAULT, CAMPUS, third]);
    let lines = Snapshot::of_host(lab);
    let leases = lines.lines().filter(|line| line.starts_with("lease"));
    assert_eq!(leases.count(), 0);
}

#[test]
fn two_and_three_networks_of_a_pod_by_macvlan_come_and_go_in_every_order() {
    in_lab(LINKSPAN, |lab| {
        if skip::can_attach(&lab.rtnl(), "macvlan") {
            in_every_number(lab, STORAGE);
        }
    });
}

#[test]
fn two_and_three_networks_of_a_pod_with_ipvlan_come_and_go_in_every_order() {
    in_lab(LINKSPAN, |lab| {
        let has = |plugin: &&str| skip::can_attach(&lab.rtnl(), plugin);
        if ["macvlan", "ipvlan"].iter().all(has) {
            in_every_number(lab, ARCHIVE);
        }
    });
}
