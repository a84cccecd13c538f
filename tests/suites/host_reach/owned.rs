//! Ownership: the dead, the living with the same address, things of others, and lost memories.

use std::fs;

use linkspan_harness::conf::with;
use linkspan_harness::kind;
use linkspan_netlink::link::LinkSpec;
use linkspan_netlink::route::RouteSpec;
use serde_json::json;

use crate::stage::{each, of};

#[test]
fn gc_takes_what_no_del_came_for_and_nothing_of_the_living() {
    each(|stage| {
        let before = stage.snapshot();
        let (one, two) = (stage.attach(7), stage.attach(8));
        let other = stage.attach_with(9, &[stage.conf(&json!({ "name": "other" }))]);
        drop(two.sandbox);
        stage.gc(&[7]);
        assert_eq!(stage.routes().len(), 4);
        stage.flows(&one);
        stage.flows(&other);
        drop((one.sandbox, other.sandbox));
        stage.gc(&[]);
        assert_eq!(stage.routes().len(), 2);
        let conf = stage.conf(&json!({ "name": "other", "cni.dev/valid-attachments": [] }));
        let call = stage.lab.plugin("host-reach").conf(&conf);
        call.verb("GC").run().succeeded();
        assert_eq!(stage.snapshot(), before);
        assert_eq!(stage.memories(), 0);
    });
}

#[test]
fn del_needs_neither_namespace_nor_result_nor_memory_and_comes_twice() {
    of("macvlan", |stage| {
        let before = stage.snapshot();
        let pod = stage.attach(7);
        let conf = stage.conf(&json!({}));
        let bare = stage
            .lab
            .plugin("host-reach")
            .of("pod7", &pod.sandbox)
            .without("CNI_NETNS");
        for _again in 0..2 {
            bare.clone().conf(&conf).del();
            assert!(stage.shim().is_none());
        }
        pod.chain.del(&pod.result);
        let pod = stage.attach(7);
        fs::remove_dir_all(stage.dir()).unwrap();
        pod.chain.del(&pod.result);
        assert_eq!(stage.snapshot(), before);
        // A link that is lost is no reason to fail either.
        let pod = stage.attach(7);
        stage.shim().unwrap().delete().unwrap();
        pod.chain.del(&pod.result);
        assert_eq!(stage.snapshot(), before);
        // Nor that there has never been anything.
        bare.conf(&with(conf, &json!({ "dataDir": stage.dir().join("none") })))
            .del();
        assert!(!stage.dir().join("none").exists());
    });
}

#[test]
fn check_tells_what_is_missing_and_add_of_another_mends_the_link_alone() {
    of("macvlan", |stage| {
        let pod = stage.attach(7);
        let fails = |what: &str| {
            let told = pod
                .chain
                .call(1, &pod.result)
                .verb("CHECK")
                .run()
                .failed(999);
            assert!(told.contains(what), "{told}");
        };
        let shim = stage.shim().unwrap();
        shim.delete_neighbour(pod.ips[0]).unwrap();
        fails("way of the host to 10.1.0.7");
        shim.set_down().unwrap();
        fails("state of");
        let inside = pod.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        shim.delete().unwrap();
        fails("interface \"reach");
        let other = stage.attach(8);
        stage.flows(&other);
        fails("way of the host to 10.1.0.7");
        inside.delete().unwrap();
        let told = pod
            .chain
            .call(1, &pod.result)
            .verb("CHECK")
            .run()
            .failed(999);
        assert!(told.contains("eth0"), "{told}");
    });
}

#[test]
fn an_address_of_the_living_is_refused_and_one_of_the_dead_is_taken_over() {
    of("macvlan", |stage| {
        let first = stage.attach(7);
        let routes = stage.routes();
        let sandbox = stage.lab.sandbox();
        let confs = [stage.interface(7), stage.conf(&json!({}))];
        let chain =
            linkspan_harness::chain::Chain::new(stage.lab, "twin", &sandbox, "eth0", &confs[..1]);
        let result = chain.add();
        let call = stage.call("twin", &sandbox, &result, &json!({}));
        let told = call.clone().verb("ADD").run().failed(999);
        assert!(told.contains("for net/pod7/eth0"), "{told}");
        assert_eq!(stage.routes(), routes);
        // Its DEL takes nothing of the living, with the memory and without it.
        call.del();
        assert_eq!(stage.routes(), routes);
        assert!(stage.reaches(&first));
        let late = first.chain.call(1, &first.result).without("CNI_NETNS");
        drop(first.sandbox);
        call.add();
        assert_eq!(stage.routes(), routes);
        late.del();
        assert_eq!(stage.routes(), routes);
        call.del();
        assert!(stage.shim().is_none());
        chain.del(&result);
    });
}

#[test]
fn nothing_of_others_is_touched() {
    of("macvlan", |stage| {
        let master = stage.master();
        let (pod, call) = stage.beside(7, &json!({}));
        // A route to the same address.
        let spec = RouteSpec::to(pod.ips[0], 32);
        master.add_route(&spec).unwrap();
        let before = stage.snapshot();
        let told = call.run().failed(999);
        assert!(told.contains("another route to 10.1.0.7"), "{told}");
        assert_eq!(stage.snapshot(), before);
        call.del();
        stage.gc(&[]);
        assert_eq!(stage.snapshot(), before);
        stage
            .lab
            .rtnl()
            .delete_stored(&master.stored(&spec))
            .unwrap();
        // A link of that name.
        let name = format!("reach{}", master.index);
        master
            .create_child(&LinkSpec::new(name.clone(), kind::macvlan()))
            .unwrap();
        let before = stage.snapshot();
        let told = call.run().failed(999);
        assert!(told.contains(&name), "{told}");
        assert_eq!(stage.snapshot(), before);
        call.del();
        stage.gc(&[]);
        assert_eq!(stage.snapshot(), before);
        stage.shim().unwrap().delete().unwrap();
        // A route by our link keeps that.
        call.add();
        let shim = stage.shim().unwrap();
        let theirs = RouteSpec::to([10, 99, 0, 0].into(), 16);
        shim.add_route(&theirs).unwrap();
        call.del();
        assert_eq!(stage.routes().len(), 1);
        stage
            .lab
            .rtnl()
            .delete_stored(&shim.stored(&theirs))
            .unwrap();
        stage.gc(&[]);
        assert!(stage.shim().is_none());
    });
}

#[test]
fn two_masters_have_a_link_each_and_a_container_may_be_on_both() {
    of("macvlan", |stage| {
        let before = stage.snapshot();
        linkspan_harness::conf::master(stage.lab);
        let pod = stage.attach(7);
        let second = json!({
            "type": "macvlan",
            "master": "master0",
            "ipam": linkspan_harness::conf::fixed(&["10.2.0.7/24", "fd00:2::7/64"]),
        });
        let confs = [second, stage.conf(&json!({}))];
        let chain =
            linkspan_harness::chain::Chain::new(stage.lab, "pod7", &pod.sandbox, "net1", &confs);
        let result = chain.add();
        stage.flows(&pod);
        for ip in linkspan_harness::conf::addresses(&result) {
            linkspan_harness::traffic::flows(stage.lab.host(), &pod.sandbox.netns, ip);
        }
        chain.check(&result);
        chain.del(&result);
        stage.flows(&pod);
        pod.chain.del(&pod.result);
        let master = stage.lab.rtnl().link_by_name("master0").unwrap();
        master.unwrap().delete().unwrap();
        assert_eq!(stage.snapshot(), before);
    });
}
