//! A damaged table: the next ADD repairs all of it, and elements stay.

use linkspan_filter::table::TABLE;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::is_published;
use linkspan_harness::table::{elements, netfilter};
use linkspan_harness::thorough::sample;
use linkspan_harness::world::beyond;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::Datum;
use linkspan_nftables::expr;
use linkspan_nftables::ruleset::{Chain, Rule, Set};
use serde_json::json;

use crate::{LINKSPAN, Pod, at, both, mapping};

/// Matches the prefix of no set.
const NOTHING: &str = "-";

/// An everyday run damages one of so many chains and sets by itself.
const SELDOM: usize = 4;

/// A container with published ports in a whole table, and the world as their client.
struct Living {
    world: Sandbox,
    pod: Pod,
}

impl Living {
    fn new(lab: &Lab) -> Self {
        let mut mappings = both(8080).as_array().unwrap().clone();
        mappings.push(at("10.1.0.1", mapping("tcp", 8081)));
        Self {
            world: beyond(lab),
            pod: Pod::published(lab, "living", &json!(mappings)),
        }
    }

    /// Damages the table, attaches another container, and asserts that all is whole again, except for the elements of
    /// sets with the prefix `lost`.
    fn survives(&self, lab: &Lab, damage: Batch, lost: &str) {
        let mut before = elements(lab);
        before.retain(|line| !line.starts_with(lost));
        netfilter(lab).commit(damage).unwrap();
        let other = Pod::published(lab, "other", &both(9080));
        let now = elements(lab);
        for line in &before {
            assert!(now.contains(line), "{line}\n{now:#?}");
        }
        if lost != NOTHING {
            // Another ADD restores the elements that went with the set.
            self.pod.portmap(lab).add();
        }
        for (pod, port) in [(&self.pod, 8080), (&other, 9080)] {
            pod.portmap(lab).check(&pod.result);
            pod.bridge(lab).check(&pod.result);
            let others = [&self.world.netns];
            is_published(lab.host(), &others, &pod.sandbox.netns, (port, 80));
        }
        other.detach(lab);
    }
}

/// A batch that flushes these chains.
fn flushed(chains: &[String]) -> Batch {
    let mut batch = Batch::default();
    for chain in chains {
        batch.flush_chain(TABLE, chain);
    }
    batch
}

#[test]
fn each_chain_that_was_flushed_or_deleted_comes_back() {
    in_lab(LINKSPAN, |lab| {
        let living = Living::new(lab);
        let chains = netfilter(lab).chains(TABLE).unwrap();
        assert!(chains.len() > 8, "{chains:?}");
        for chain in sample(chains.iter(), 0, SELDOM) {
            living.survives(lab, flushed(std::slice::from_ref(chain)), NOTHING);
            // A chain can be deleted only without jumps to it.
            let mut damage = flushed(&chains);
            damage.delete_chain(TABLE, chain);
            living.survives(lab, damage, NOTHING);
        }
        let mut damage = flushed(&chains);
        for chain in &chains {
            damage.delete_chain(TABLE, chain);
        }
        living.survives(lab, damage, NOTHING);
    });
}

#[test]
fn each_set_that_was_replaced_or_deleted_comes_back() {
    in_lab(LINKSPAN, |lab| {
        let living = Living::new(lab);
        let netfilter = netfilter(lab);
        let chains = netfilter.chains(TABLE).unwrap();
        let sets = netfilter.sets(TABLE).unwrap();
        assert!(sets.len() > 20, "{sets:?}");
        for set in sample(sets.iter(), 0, SELDOM) {
            let mut damage = flushed(&chains);
            damage.delete_set(TABLE, &set.name);
            let addresses = Set::of(set.name.clone().leak(), &[Datum::Ipv4]);
            damage.ensure(TABLE, &[&addresses], &[]);
            living.survives(lab, damage, &set.name);
        }
        let mut damage = flushed(&chains);
        for set in &sets {
            damage.delete_set(TABLE, &set.name);
        }
        living.survives(lab, damage, "");
    });
}

/// An administrator's rules in our table.
fn foreign(lab: &Lab, exprs: Vec<expr::Expr>) {
    let chain = Chain {
        name: "administrators",
        base: None,
        comment: "not ours",
        rules: vec![Rule { exprs }],
    };
    let set = Set::of("administrators", &[Datum::Port]);
    let mut batch = Batch::default();
    batch.ensure(TABLE, &[&set], &[chain]);
    netfilter(lab).commit(batch).unwrap();
}

fn is_there(lab: &Lab) -> bool {
    let netfilter = netfilter(lab);
    let rules = netfilter.rules(TABLE, "administrators").unwrap();
    let sets = netfilter.sets(TABLE).unwrap();
    rules.len() == 1 && sets.iter().any(|set| set.name == "administrators")
}

#[test]
fn a_chain_of_somebody_else_in_our_table_is_left_alone() {
    in_lab(LINKSPAN, |lab| {
        let living = Living::new(lab);
        foreign(lab, vec![expr::leave()]);
        let chains = ["outbound", "publish", "localhost_in"].map(str::to_owned);
        living.survives(lab, flushed(&chains), NOTHING);
        assert!(is_there(lab));
        // A rule that jumps to a chain of ours does not disturb.
        foreign(lab, vec![expr::jump("publish")]);
        living.survives(lab, flushed(&chains), NOTHING);
        assert!(is_there(lab));
    });
}
