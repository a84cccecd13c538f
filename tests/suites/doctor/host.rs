//! Faults of the host, its store and its pools.

use linkspan_harness::conf::host_local;
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::world::{OTHER, another_node, set_sysctl};
use linkspan_protocol::family::Family;
use serde_json::json;
use std::fs::{self, File};

use crate::{Clinic, LINKSPAN, list};

#[test]
fn faults_of_the_host_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let br0 = clinic.link("br0");
        br0.del_addr("10.1.0.1".parse().unwrap(), 24).unwrap();
        clinic.says(
            "FAIL gateway-missing net: ",
            "-> ip addr add 10.1.0.1/24 dev br0",
        );
        br0.set_down().unwrap();
        clinic.says("FAIL bridge-down net: ", "-> ip link set br0 up");
        br0.set_up().unwrap();
        set_sysctl(lab.host(), "ipv4/ip_forward", "0");
        clinic.says("FAIL forward-off ", "-> sysctl -w net.ipv4.ip_forward=1");
        set_sysctl(lab.host(), "ipv4/ip_forward", "1");
        set_sysctl(lab.host(), "ipv6/conf/all/forwarding", "0");
        clinic.says(
            "FAIL forward-off ",
            "-> sysctl -w net.ipv6.conf.all.forwarding=1",
        );
        set_sysctl(lab.host(), "ipv6/conf/all/disable_ipv6", "1");
        clinic.says(
            "FAIL ipv6-off net: ",
            "-> sysctl -w net.ipv6.conf.all.disable_ipv6=0",
        );
        br0.delete().unwrap();
        clinic.says(
            "FAIL bridge-missing net: ",
            "-> restart the pods of the network",
        );
        let entry = lab.dir().join("cache/results/odd");
        fs::write(&entry, "{").unwrap();
        clinic.says("WARN store ", "if it is not needed");
    });
}

#[test]
fn pools_and_the_dead_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::empty(lab);
        // Addresses 2 to 6 of a subnet of eight.
        let mut small = list(lab);
        small["plugins"][0]["ipam"] = host_local(lab, &["10.1.0.0/29"]);
        clinic.write("10-net.conflist", &small);
        let dead = lab.sandbox();
        // Made now: a later one could have the path of the one that is gone.
        let pods: Vec<Sandbox> = (0..4).map(|_| lab.sandbox()).collect();
        let of = json!([{ "hostPort": 8081, "containerPort": 80, "protocol": "tcp" }]);
        let ports = json!({ "portMappings": of }).to_string();
        let add = clinic.attach("dead", &dead).env("CAP_ARGS", &ports);
        add.run().succeeded();
        drop(dead);
        lab.until_pairs(1);
        clinic.says("WARN namespace-gone net/dead: ", "-> linkspan gc net");
        clinic.says("WARN stale-element net: ", "-> linkspan gc net");
        for (at, pod) in pods.iter().enumerate() {
            clinic.attach(&format!("c{at}"), pod).run().succeeded();
        }
        clinic.says(
            "FAIL pool-full net: 5 of 5 addresses of 10.1.0.0/29 are leased, 1 ",
            "-> linkspan gc net",
        );
        clinic.call(&["gc", "net"]).run().succeeded();
        clinic.is_well();
    });
}

#[test]
fn a_lock_that_another_process_holds_is_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let lock = File::open(lab.leases().join("net/lock")).unwrap();
        lock.lock().unwrap();
        let kill = format!("-> kill {}", std::process::id());
        clinic.says("FAIL store-locked net: ", &kill);
        drop(lock);
        clinic.is_well();
    });
}

#[test]
fn uplinks_that_lose_packets_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let _other = another_node(lab, &clinic.world);
        clinic.leave_by("side0", OTHER[0]);
        set_sysctl(lab.host(), "ipv4/conf/all/rp_filter", "1");
        clinic.says(
            "WARN rp-filter ",
            "-> sysctl -w net.ipv4.conf.all.rp_filter=2",
        );
        for family in Family::BOTH {
            for route in lab.rtnl().stored_routes(family).unwrap() {
                if route.dst().1 == 0 {
                    lab.rtnl().delete_stored(&route).unwrap();
                }
            }
        }
        clinic.says(
            "WARN no-default-route ",
            "-> ip route add default via ROUTER",
        );
    });
}
