//! Faults of one pod.

use linkspan_cli::traffic::tcp;
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::tool::tool;
use linkspan_harness::world::{Cable, plug, set_sysctl};
use linkspan_protocol::addr::MacAddr;
use serde_json::json;
use std::fs::{self};

use crate::{Clinic, LINKSPAN};

#[test]
fn faults_of_a_pod_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let end = clinic.end();
        end.set_mtu(1400).unwrap();
        clinic.says("WARN mtu net/c1: ", "and restart the pod");
        end.set_mtu(1500).unwrap();
        clinic.link("br0").set_mtu(1500).unwrap();
        clinic.is_well();
        end.set_down().unwrap();
        clinic.says(
            "FAIL host-end net/c1: ",
            &format!("-> ip link set {} up", end.name),
        );
        end.set_up().unwrap();

        let stp = |on| {
            tool(
                "ip",
                &["link", "set", "br0", "type", "bridge", "stp_state", on],
            )
        };
        if stp("1").is_some() {
            // A port that comes up listens first, for half a minute.
            end.set_down().unwrap();
            end.set_up().unwrap();
            let mend = format!("ip link set {} up", end.name);
            clinic.says("WARN host-end net/c1: the spanning tree ", &mend);
            stp("0");
            end.set_down().unwrap();
            end.set_up().unwrap();
            clinic.is_well();
        }

        let eth0 = clinic.eth0();
        eth0.set_down().unwrap();
        clinic.says("FAIL interface-down net/c1: ", "ip link set eth0 up");
        eth0.set_up().unwrap();
        clinic.says(
            "FAIL pod-route net/c1: ",
            "ip route add default via 10.1.0.1",
        );
        eth0.del_addr("10.1.0.2".parse().unwrap(), 24).unwrap();
        clinic.says(
            "FAIL address-gone net/c1: eth0 of the pod lacks its address 10.1.0.2",
            "-> restart the pod",
        );

        let lease = lab.leases().join("net/10.1.0.2");
        fs::write(&lease, "c9\r\neth0").unwrap();
        clinic.says("FAIL lease-foreign net/c1: ", "-> restart the pod");
        fs::remove_file(lease).unwrap();
        clinic.says("FAIL lease-gone net/c1: ", "-> restart the pod");
        eth0.delete().unwrap();
        clinic.says("FAIL interface-gone net/c1: ", "-> restart the pod");
        clinic.says("FAIL host-end net/c1: ", "-> restart the pod");
    });
}

#[test]
fn somebody_else_with_the_address_of_a_pod_is_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let probed = |clinic: &Clinic<'_>| clinic.call(&["doctor", "--probe"]).run();
        assert_eq!(probed(&clinic).stdout, "");
        let other = lab.sandbox();
        let cable = Cable {
            name: "other0",
            bridge: Some(clinic.link("br0").index),
            near: &[],
            far: &["10.1.0.2"],
        };
        plug(lab, &other, cable);
        let told = probed(&clinic).stdout;
        assert!(
            told.starts_with("FAIL duplicate-address net/c1: "),
            "{told}"
        );

        // The kernel learns the other's hardware address while the pod is cut off.
        let end = clinic.end();
        end.set_down().unwrap();
        tcp(lab.host(), &other.netns, "10.1.0.2".parse().unwrap()).unwrap();
        end.set_up().unwrap();
        clinic.says("FAIL duplicate-address net/c1: ", &other_mac(&other));
        lab.rtnl()
            .link_by_name("other0")
            .unwrap()
            .unwrap()
            .delete()
            .unwrap();
        clinic.eth0().set_down().unwrap();
        let told = probed(&clinic).stdout;
        assert!(
            told.contains("WARN no-answer net/c1: nobody answers for 10.1.0.2"),
            "{told}"
        );
    });
}

fn other_mac(other: &Sandbox) -> String {
    let link = other.rtnl().link_by_name("eth0").unwrap().unwrap();
    MacAddr(link.mac).to_string()
}

#[test]
fn what_chained_plugins_set_is_compared() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::empty(lab);
        let tuning = json!({
            "type": "tuning",
            "dataDir": lab.dir().join("tuning"),
            "mtu": 1400,
            "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" },
        });
        clinic.rewrite(|list| list["plugins"].as_array_mut().unwrap().push(tuning));
        clinic.attach("c1", &clinic.pod).run().succeeded();
        clinic.is_well();
        set_sysctl(&clinic.pod.netns, "ipv4/conf/eth0/arp_filter", "0");
        clinic.says(
            "WARN tuning-changed net/c1: ",
            "sysctl -w net.ipv4.conf.eth0.arp_filter='1'",
        );
        clinic.eth0().set_mtu(1300).unwrap();
        clinic.says("WARN tuning-changed net/c1: ", "ip link set eth0 mtu 1400");
    });
}

#[test]
fn a_limit_of_bandwidth_that_is_gone_is_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::empty(lab);
        if !skip::can_attach(&lab.rtnl(), "bandwidth") {
            return;
        }
        let limit = json!({
            "type": "bandwidth",
            "ingressRate": 8_000_000, "ingressBurst": 80_000,
            "egressRate": 8_000_000, "egressBurst": 80_000,
        });
        clinic.rewrite(|list| list["plugins"].as_array_mut().unwrap().push(limit));
        clinic.attach("c1", &clinic.pod).run().succeeded();
        clinic.is_well();
        clinic.end().delete_bucket().unwrap();
        clinic.says(
            "FAIL bandwidth-gone net/c1: the limit of bandwidth to the pod ",
            "-> restart the pod",
        );
        clinic.end().delete_filter_qdisc().unwrap();
        clinic.says(
            "FAIL bandwidth-gone net/c1: the limit of bandwidth from the pod ",
            "-> restart the pod",
        );
    });
}
