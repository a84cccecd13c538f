//! Packets between the host, its containers and the wire: before, with and after.

use std::net::IpAddr;
use std::thread;

use linkspan_harness::{traffic, world};
use linkspan_netlink::route::RouteSpec;
use serde_json::json;

use crate::stage::{FAR, HOST, Stage, each, of};

/// The first table of `sbr`.
const SBR: u32 = 100;

/// The host's address that containers lead to, of each family.
fn ends(stage: &Stage<'_>) -> Vec<IpAddr> {
    let addrs = stage.shim().unwrap().addrs(None).unwrap();
    addrs.into_iter().map(|addr| addr.ip).collect()
}

#[test]
fn host_container_and_wire_reach_each_other_until_del() {
    each(|stage| {
        let before = stage.snapshot();
        let bare = stage.attach_with(7, &[]);
        assert!(!stage.reaches(&bare));
        bare.chain.del(&bare.result);
        let pod = stage.attach(7);
        stage.flows(&pod);
        for end in ends(stage) {
            traffic::flows(&pod.sandbox.netns, stage.lab.host(), end);
        }
        pod.chain.check(&pod.result);
        pod.chain.del(&pod.result);
        assert_eq!(stage.snapshot(), before);
        assert_eq!(stage.memories(), 0);
    });
}

#[test]
fn the_result_is_that_of_the_plugin_before() {
    of("macvlan", |stage| {
        let (pod, call) = stage.beside(7, &json!({}));
        assert_eq!(call.run().json(), pod.result);
    });
}

#[test]
fn strict_filters_of_reverse_paths_let_everything_pass() {
    of("macvlan", |stage| {
        world::set_sysctl(stage.lab.host(), "ipv4/conf/all/rp_filter", "1");
        let pod = stage.attach(7);
        world::set_sysctl(&pod.sandbox.netns, "ipv4/conf/all/rp_filter", "1");
        stage.flows(&pod);
    });
}

/// The host's own link has an address of its own, which the kernel hands packets on by.
#[test]
fn an_ipvlan_under_strict_filters_is_reached_by_the_hosts_end() {
    of("ipvlan", |stage| {
        world::set_sysctl(stage.lab.host(), "ipv4/conf/all/rp_filter", "1");
        let pod = stage.attach(7);
        for ip in pod.ips {
            traffic::flows(stage.lab.host(), &pod.sandbox.netns, ip);
        }
        for end in ends(stage) {
            traffic::flows(&pod.sandbox.netns, stage.lab.host(), end);
        }
    });
}

#[test]
fn an_ipvlan_that_routes_is_reached_too() {
    of("ipvlan", |stage| {
        for mode in ["l3", "l3s"] {
            let before = stage.snapshot();
            let mut interface = stage.interface(7);
            interface["mode"] = json!(mode);
            let sandbox = stage.lab.sandbox();
            let confs = [interface, stage.conf(&json!({}))];
            let chain =
                linkspan_harness::chain::Chain::new(stage.lab, "pod", &sandbox, "eth0", &confs);
            let result = chain.add();
            for (n, ip) in crate::stage::ips(7).into_iter().enumerate() {
                traffic::flows(stage.lab.host(), &sandbox.netns, ip);
                traffic::flows(&sandbox.netns, stage.lab.host(), crate::stage::ip(HOST[n]));
            }
            chain.check(&result);
            chain.del(&result);
            assert_eq!(stage.snapshot(), before);
        }
    });
}

/// The cluster's interface keeps its packets: the host's addresses stay behind it.
#[test]
fn a_second_interface_leads_away_nothing_of_the_first() {
    each(|stage| {
        let sandbox = stage.lab.sandbox();
        let first = linkspan_harness::conf::bridge(
            stage.lab,
            &json!({ "ipam": linkspan_harness::conf::host_local(stage.lab, &["10.7.0.0/24", "fd00:7::/64"]) }),
        );
        let chain =
            linkspan_harness::chain::Chain::new(stage.lab, "pod", &sandbox, "first", &[first]);
        let result = chain.add();
        // The host has no address on the wire of the second one.
        let master = stage.master();
        for (address, prefix) in HOST.into_iter().zip([24, 64]) {
            master.del_addr(crate::stage::ip(address), prefix).unwrap();
        }
        let pod = stage.attach_to(sandbox, 7, &[stage.conf(&json!({}))]);
        let (host, netns) = (stage.lab.host(), &pod.sandbox.netns);
        for ip in linkspan_harness::conf::addresses(&result)
            .into_iter()
            .chain(pod.ips)
        {
            traffic::flows(host, netns, ip);
        }
        for end in ["10.7.0.1", "fd00:7::1"]
            .map(crate::stage::ip)
            .into_iter()
            .chain(ends(stage))
        {
            traffic::flows(netns, host, end);
        }
        assert_eq!(stage.routes().len(), 2);
        pod.chain.del(&pod.result);
        chain.del(&result);
        assert!(stage.shim().is_none());
    });
}

#[test]
fn an_address_that_moves_to_another_container_is_reached_at_once() {
    of("macvlan", |stage| {
        for _turn in 0..3 {
            let pod = stage.attach(7);
            stage.flows(&pod);
            pod.chain.del(&pod.result);
        }
    });
}

#[test]
fn sbr_behind_the_plugin_works_and_before_it_is_told() {
    of("macvlan", |stage| {
        let sbr = json!({ "type": "sbr" });
        // It leaves no route to packets that have no address yet, but answers.
        let pod = stage.attach_with(7, &[stage.conf(&json!({})), sbr.clone()]);
        assert!(stage.reaches(&pod));
        pod.chain.del(&pod.result);
        let before = stage.snapshot();
        // A table of it that has the way to everywhere would take the answers.
        let pod = stage.attach_with(7, &[sbr]);
        let eth0 = pod.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        eth0.add_route(&RouteSpec {
            gw: Some(FAR[0].parse().unwrap()),
            table: Some(SBR),
            ..RouteSpec::to([0; 4].into(), 0)
        })
        .unwrap();
        let over = json!({ "prevResult": pod.result });
        let conf = stage.conf(&over);
        let call = stage
            .lab
            .plugin("host-reach")
            .of("pod7", &pod.sandbox)
            .conf(&conf);
        let told = call.verb("ADD").run().failed(999);
        assert!(told.contains("past the host's"), "{told}");
        pod.chain.del(&pod.result);
        assert_eq!(stage.snapshot(), before);
    });
}

#[test]
fn many_at_once_each_reach_the_host_while_others_come_and_go() {
    const TURNS: u16 = 8;
    const LANES: u16 = 4;
    each(|stage| {
        let before = stage.snapshot();
        let lane = |lane: u16| {
            for turn in 0..TURNS {
                let pod = stage.attach(10 + lane * TURNS + turn);
                stage.flows(&pod);
                pod.chain.del(&pod.result);
            }
        };
        thread::scope(|scope| {
            for number in 0..LANES {
                scope.spawn(move || lane(number));
            }
        });
        assert_eq!(stage.snapshot(), before);
    });
}
