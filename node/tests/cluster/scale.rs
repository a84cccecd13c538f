//! A large cluster by simulation: its nodes are only objects of the API server. Figures are printed and not asserted,
//! since they depend on the machine.

use std::fs;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use linkspan_harness::figure;
use linkspan_netlink::route::{RouteSpec, SCOPE_LINK};
use serde_json::{Value, json};

use crate::api::Api;
use crate::outage::dose;
use crate::{Agent, Node, in_cluster, until_told};

/// The link that every node is on.
const LINK: ([u8; 4], u8) = ([198, 18, 0, 0], 15);

/// Changes in a second.
const RATE: u64 = 100;

/// A remote node: its parts, and its address of each family with `variant` in it.
fn put(api: &Api, index: u64, variant: u64, images: &Value) {
    let (high, low) = (index >> 8, index & 0xff);
    let parts = [
        format!("10.{}.{low}.0/24", 64 + high),
        format!("fd45:0:0:{index:x}::/64"),
    ];
    let addresses = [
        format!("198.{}.{high}.{low}", 18 + variant % 2),
        format!("2001:db8::{variant:x}:{index:x}"),
    ];
    let name = format!("far{index:05}");
    api.put_with(
        &name,
        &[&*parts[0], &*parts[1]],
        &[&*addresses[0], &*addresses[1]],
        images,
    );
}

/// As many images as kubelet reports.
fn images() -> Value {
    let image = |at| {
        let digest = format!(
            "registry.example/team/image{at}@sha256:{}",
            "0123abcd".repeat(8)
        );
        json!({ "names": [digest, format!("registry.example/team/image{at}:v1")], "sizeBytes": 100_000_000 })
    };
    (0..50).map(image).collect()
}

/// Nanoseconds of processor time of the agent's only busy thread.
fn used(agent: &Agent) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", agent.pid())).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The peak of its memory, in the kernel's form.
fn memory(agent: &Agent) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap().trim().to_owned()
}

/// Waits until the routes to a node's parts are those of this variant.
fn until_variant(node: &Node, agent: &mut Agent, index: u64, variant: u64) {
    let wanted = format!("2001:db8::{variant:x}:{index:x}");
    let is_there = || node.routes().iter().any(|route| route.ends_with(&wanted));
    while !is_there() {
        assert!(!agent.line().is_empty(), "the agent ended");
    }
}

#[test]
fn a_large_cluster_changes_and_the_agent_follows() {
    let count = dose(150, 5000) - 1;
    in_cluster(1, 0, |_lab, api, nodes| {
        let node = &nodes[0];
        let link = node.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        let near = RouteSpec {
            scope: Some(SCOPE_LINK),
            ..RouteSpec::to(LINK.0.into(), LINK.1)
        };
        link.add_route(&near).unwrap();
        let images = images();
        for index in 1..=count {
            put(api, index, 0, &images);
        }
        // Only a list, without earlier events.
        api.forget();

        let start = Instant::now();
        let mut agent = node.agent();
        until_told(&mut agent, "routes to other nodes' parts");
        let routed = start.elapsed();
        until_told(&mut agent, "set NetworkUnavailable");
        let settled = start.elapsed();
        assert_eq!(u64::try_from(node.routes().len()).unwrap(), 2 * count);
        let first = used(&agent);
        let peak = memory(&agent);

        let singles = 10;
        for variant in 1..=singles {
            put(api, count, variant, &images);
            until_variant(node, &mut agent, count, variant);
        }
        let single = (used(&agent) - first) / singles;

        let before = used(&agent);
        let seconds = dose(1, 60);
        let start = Instant::now();
        for change in 0..seconds * RATE {
            let index = 1 + change % (count - 1);
            put(api, index, 1 + change / (count - 1), &images);
            let due = Duration::from_millis(1000 / RATE) * u32::try_from(change + 1).unwrap();
            park_timeout(due.saturating_sub(start.elapsed()));
        }
        let told = start.elapsed();
        put(api, count, 77, &images);
        let last = Instant::now();
        until_variant(node, &mut agent, count, 77);
        let behind = last.elapsed();
        let share = (used(&agent) - before) / seconds;
        assert_eq!(u64::try_from(node.routes().len()).unwrap(), 2 * count);
        figure::tell(&format!(
            "{} nodes: routes after {routed:?}, all settled after {settled:?}, {} ms of processor time; one change: {} ms; \
             {} changes in {told:?}: {} ms of processor time each second, the last one {behind:?} behind; memory {peak}, {} at the end",
            count + 1,
            first / 1_000_000,
            single / 1_000_000,
            seconds * RATE,
            share / 1_000_000,
            memory(&agent),
        ));
        agent.kill();
    });
}
