//! An API server that disappears for a while, and agents that are killed at any moment.

use std::env::var_os;
use std::thread::park_timeout;
use std::time::Duration;

use linkspan_harness::dice::Dice;
use linkspan_harness::traffic;
use serde_json::Value;

use crate::api::Mood;
use crate::{Agent, Node, OF_FIRST, Pod, in_cluster, mesh, parts, until_told};

/// The everyday number, or with `LINKSPAN_TORTURE` the full one.
pub(crate) fn dose(everyday: u64, full: u64) -> u64 {
    if var_os("LINKSPAN_TORTURE").is_some() {
        full
    } else {
        everyday
    }
}

fn flows(pods: &[Pod]) {
    for ip in &pods[1].addresses {
        traffic::flows(&pods[0].sandbox.netns, &pods[1].sandbox.netns, *ip);
    }
}

/// The pauses between an agent's tries double from 0.2 to 10 seconds: thirteen take more than a minute.
#[test]
fn pods_and_routes_outlive_the_api_server_and_the_difference_is_made_when_it_is_back() {
    in_cluster(3, 0, |lab, api, nodes| {
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for agent in &mut agents {
            until_told(agent, "set NetworkUnavailable");
        }
        let pods = [nodes[0].pod(lab, "a"), nodes[2].pod(lab, "b")];
        api.set_mood(Mood::Gone);
        nodes[1].register(api, &parts(9));
        let before = api.asked("");
        for tries in 1..=dose(4, 13) {
            let each = usize::try_from(tries).unwrap() * agents.len();
            api.until_asked("", before + each);
            flows(&pods);
            assert_eq!(nodes[0].routes(), OF_FIRST);
        }
        // An agent that starts meanwhile has no data, and changes nothing. Pods can still be attached.
        agents.remove(0).kill();
        let mut first = nodes[0].agent();
        until_told(&mut first, "the API server");
        assert_eq!(nodes[0].routes(), OF_FIRST);
        assert!(nodes[1].text().contains("10.244.2.0/24"));
        mesh(&[nodes[0].pod(lab, "c"), nodes[1].pod(lab, "d")]);
        api.set_mood(Mood::Well);
        let other = [
            OF_FIRST[1],
            "10.244.9.0/24 192.0.2.2",
            OF_FIRST[3],
            "fd44:0:0:9::/64 2001:db8::2",
        ];
        nodes[0].until_routes(&mut first, &other);
        until_told(&mut agents[0], "wrote");
        assert!(nodes[1].text().contains("10.244.9.0/24"));
        flows(&pods);
        first.kill();
    });
}

#[test]
fn an_agent_that_is_killed_at_any_moment_leaves_what_the_next_one_mends() {
    in_cluster(3, 0, |lab, api, nodes| {
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for agent in &mut agents {
            until_told(agent, "set NetworkUnavailable");
        }
        let pods = [nodes[0].pod(lab, "a"), nodes[2].pod(lab, "b")];
        let mut dice = Dice::new(24);
        for round in 0..dose(12, 300) {
            agents.truncate(0);
            let index = if dice.below(2) == 0 { 2 } else { 9 };
            nodes[1].register(api, &parts(index));
            agents.extend(nodes[..2].iter().map(Node::agent));
            park_timeout(Duration::from_millis(dice.below(300)));
            agents.truncate(0);
            // The third node never changes, so neither does the way to it.
            let routes = nodes[0].routes();
            for route in [OF_FIRST[1], OF_FIRST[3]] {
                assert!(routes.iter().any(|one| one == route), "{round}: {routes:?}");
            }
            let list: Value = serde_json::from_str(&nodes[1].text()).unwrap();
            let ranges = list["plugins"][0]["ipam"]["ranges"].as_array().unwrap();
            assert_eq!(ranges.len(), 2, "{round}: {list}");
            flows(&pods);
        }
        nodes[1].register(api, &parts(2));
        let mut first = nodes[0].agent();
        nodes[0].until_routes(&mut first, &OF_FIRST);
        let mut second = nodes[1].agent();
        until_told(&mut second, "set NetworkUnavailable");
        assert!(nodes[1].text().contains("10.244.2.0/24"));
        mesh(&pods);
        first.kill();
        second.kill();
    });
}
