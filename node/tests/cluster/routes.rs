//! Routes to other nodes, and the pods that use them.

use std::fs;
use std::net::IpAddr;

use linkspan_harness::server::Server;
use linkspan_harness::{skip, traffic};
use linkspan_netlink::link::{Kind, Vxlan};
use linkspan_netlink::route::RouteSpec;
use linkspan_node::tunnel;
use linkspan_protocol::family::Family;

use crate::{Agent, FAR, NEAR, Node, OF_FIRST, Pod, in_cluster, mesh, parts, until_told};

#[test]
fn pods_of_every_node_reach_each_other_with_their_own_addresses() {
    in_cluster(2, 1, |lab, api, nodes| {
        if !skip::has_kind(&lab.rtnl(), &Kind::Vxlan(Vxlan::at(tunnel::PORT))) {
            return;
        }
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for (agent, node) in agents.iter_mut().zip(nodes) {
            until_told(agent, "set NetworkUnavailable to False");
            let patches = format!("PATCH /api/v1/nodes/{}/status", node.name);
            assert_eq!(api.asked(&patches), 1);
        }
        let routes = [
            "10.244.2.0/24 192.0.2.2",
            "10.244.3.0/24 vxlan 198.51.100.3",
            "fd44:0:0:2::/64 2001:db8::2",
            "fd44:0:0:3::/64 vxlan 2001:db8:f::3",
        ];
        assert_eq!(nodes[0].routes(), routes);
        // Headers of IPv6, UDP and VXLAN take 56 bytes of 1500.
        assert!(
            nodes[0].text().contains("\"mtu\": 1444"),
            "{}",
            nodes[0].text()
        );
        let pods: Vec<Pod> = nodes
            .iter()
            .flat_map(|node| ["a", "b"].map(|id| node.pod(lab, &format!("{}{id}", node.name))))
            .collect();
        mesh(&pods);
        // The router is outside of the cluster, and sees the node's own address.
        for (pod, node, router) in [(&pods[0], &nodes[0], NEAR), (&pods[4], &nodes[2], FAR)] {
            for (router, address) in router.iter().zip(&node.addresses) {
                let router: IpAddr = router.parse().unwrap();
                let world = Server::of(lab.host(), 4001, Family::of(router));
                let seen = world.answers(&pod.sandbox.netns, (router, 4001).into());
                assert_eq!(seen.to_string(), *address);
            }
        }
        // A node's own processes reach the pods of a node behind the router, and answers come back.
        for ip in &pods[4].addresses {
            traffic::flows(&nodes[0].sandbox.netns, &pods[4].sandbox.netns, *ip);
        }
        // Traffic continues after the agents' end.
        agents.into_iter().for_each(Agent::kill);
        mesh(&pods[1..4]);
    });
}

#[test]
fn every_node_may_be_reached_by_the_tunnel_and_none_need_be() {
    in_cluster(2, 1, |lab, _api, nodes| {
        if !skip::has_kind(&lab.rtnl(), &Kind::Vxlan(Vxlan::at(tunnel::PORT))) {
            return;
        }
        let link = |node: &Node| node.sandbox.rtnl().link_by_name(tunnel::NAME).unwrap();
        let mut agent = nodes[0].agent_with(&["--mode", "vxlan"]);
        let all = [
            "10.244.2.0/24 vxlan 192.0.2.2",
            "10.244.3.0/24 vxlan 198.51.100.3",
            "fd44:0:0:2::/64 vxlan 2001:db8::2",
            "fd44:0:0:3::/64 vxlan 2001:db8:f::3",
        ];
        until_told(&mut agent, "set NetworkUnavailable");
        assert_eq!(nodes[0].routes(), all);
        assert_eq!(link(&nodes[0]).unwrap().mtu, 1444);
        agent.kill();
        let mut agent = nodes[0].agent_with(&["--mode", "direct"]);
        until_told(
            &mut agent,
            "no route to 10.244.3.0/24: 198.51.100.3 and 2001:db8:f::3 is not on a link",
        );
        let direct = [all[0], all[2]].map(|route| route.replace("vxlan ", ""));
        assert_eq!(nodes[0].routes(), direct);
        assert!(link(&nodes[0]).is_none());
        assert!(!nodes[0].text().contains("mtu"));
        agent.kill();
    });
}

#[test]
fn routes_follow_nodes_that_come_change_and_go() {
    in_cluster(3, 0, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        api.put("n2", &["10.244.9.0/24"], &["192.0.2.2"]);
        nodes[0].until_routes(&mut agent, &["10.244.9.0/24 192.0.2.2"]);
        api.put(
            "n2",
            &["10.244.9.0/24", "fd44:0:0:9::/64"],
            &["192.0.2.7", "2001:db8::7"],
        );
        nodes[0].until_routes(
            &mut agent,
            &["10.244.9.0/24 192.0.2.7", "fd44:0:0:9::/64 2001:db8::7"],
        );
        // Another next hop in IPv6 replaces the route, too.
        api.put(
            "n2",
            &["10.244.9.0/24", "fd44:0:0:9::/64"],
            &["192.0.2.8", "2001:db8::8"],
        );
        nodes[0].until_routes(
            &mut agent,
            &["10.244.9.0/24 192.0.2.8", "fd44:0:0:9::/64 2001:db8::8"],
        );
        api.delete("n2");
        nodes[3 - 1].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &[OF_FIRST[1], OF_FIRST[3]]);
        agent.kill();
    });
}

#[test]
fn a_restart_changes_nothing_and_removes_what_is_stale() {
    in_cluster(3, 0, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        until_told(&mut agent, "set NetworkUnavailable");
        agent.kill();
        assert_eq!(nodes[0].routes(), OF_FIRST);
        let list = fs::metadata(&nodes[0].list).unwrap();
        // A route with a foreign protocol number is not ours.
        let link = nodes[0]
            .sandbox
            .rtnl()
            .link_by_name("eth0")
            .unwrap()
            .unwrap();
        let foreign = RouteSpec {
            gw: Some("192.0.2.2".parse().unwrap()),
            ..RouteSpec::to("203.0.113.0".parse().unwrap(), 24)
        };
        link.add_route(&foreign).unwrap();
        api.delete("n2");
        let mut agent = nodes[0].agent();
        nodes[0].until_routes(&mut agent, &[OF_FIRST[1], OF_FIRST[3]]);
        let routes = nodes[0].sandbox.rtnl().routes(Family::V4).unwrap();
        assert!(routes.iter().any(|route| route.dst == foreign.dst));
        let now = fs::metadata(&nodes[0].list).unwrap();
        assert_eq!(now.modified().unwrap(), list.modified().unwrap());
        agent.kill();
    });
}

#[test]
fn traffic_goes_on_while_nodes_come_and_go_and_agents_are_killed() {
    in_cluster(3, 0, |lab, api, nodes| {
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for agent in &mut agents {
            until_told(agent, "set NetworkUnavailable");
        }
        let pods = [nodes[0].pod(lab, "a"), nodes[2].pod(lab, "b")];
        let flows = || {
            for ip in &pods[1].addresses {
                traffic::flows(&pods[0].sandbox.netns, &pods[1].sandbox.netns, *ip);
            }
        };
        for _ in 0..10 {
            api.delete("n2");
            flows();
            // The agents are killed at any point of their work.
            agents.drain(..).for_each(Agent::kill);
            flows();
            agents = nodes.iter().map(Node::agent).collect();
            flows();
            nodes[1].register(api, &parts(2));
            flows();
        }
        nodes[0].until_routes(&mut agents[0], &OF_FIRST);
        mesh(&pods);
    });
}
