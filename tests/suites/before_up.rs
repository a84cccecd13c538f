//! Sysctls that bridge and ptp write before the container's interface is up, so that no packet comes in under other
//! values.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use linkspan_harness::conf::{good, with};
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::traffic::{advertise_router, wait_for_link_local};
use linkspan_harness::trial::Trial;
use linkspan_netlink::addr::Addr;
use linkspan_netlink::watch::Watch;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn says(sandbox: &Sandbox, key: &str) -> String {
    let read = || fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap();
    sandbox.netns.scope(read).unwrap().trim().to_owned()
}

#[test]
fn the_interface_comes_up_with_the_sysctls_that_are_wanted() {
    in_lab(LINKSPAN, |lab| {
        let sysctl = json!({
            "net.ipv6.conf.IFNAME.disable_ipv6": "1",
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net/ipv6/conf/eth0/accept_ra": "2",
            "net.ipv6.conf.IFNAME.autoconf": "0",
        });
        let networks = [
            good(lab, "ptp"),
            with(
                good(lab, "bridge"),
                &json!({ "ipam": good(lab, "ptp")["ipam"] }),
            ),
            with(
                good(lab, "bridge"),
                &json!({ "ipam": null, "isDefaultGateway": null }),
            ),
        ];
        for conf in networks {
            let sandbox = lab.sandbox();
            let plugin = conf["type"].as_str().unwrap();
            let call = lab.plugin(plugin).of("pod", &sandbox);
            let call = call.conf(&with(conf.clone(), &json!({ "sysctl": sysctl })));
            let result = call.add();
            call.check(&result);
            for (key, value) in [
                ("ipv6/conf/eth0/disable_ipv6", "1"),
                ("ipv4/conf/eth0/arp_filter", "1"),
                ("ipv6/conf/eth0/accept_ra", "2"),
                ("ipv6/conf/eth0/autoconf", "0"),
            ] {
                assert_eq!(says(&sandbox, key), value, "{plugin} {key}");
            }
            // The kernel gives a link its own address when the link comes up, so it would have one by now.
            let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            let addresses = eth0.addrs(None).unwrap();
            assert!(
                addresses.iter().all(|addr| addr.ip.is_ipv4()),
                "{addresses:?}"
            );
            call.del();
        }
    });
}

/// Whether the interface has an address of the flood's prefix.
fn believes(addresses: &[Addr]) -> bool {
    let of_flood = |addr: &Addr| matches!(addr.ip, IpAddr::V6(ip) if ip.segments()[0] == 0xfd66);
    addresses.iter().any(of_flood)
}

/// Ends the flood, whatever happens in the test.
struct Flood<'a>(&'a AtomicBool);

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_flood_of_router_advertisements_leaves_no_address() {
    in_lab(LINKSPAN, |lab| {
        let conf = good(lab, "bridge");
        let add = |id, sandbox: &Sandbox, accept: &str| {
            let sysctl = json!({ "net.ipv6.conf.IFNAME.accept_ra": accept });
            let call = lab.plugin("bridge").of(id, sandbox);
            let call = call.conf(&with(conf.clone(), &json!({ "sysctl": sysctl })));
            call.add();
            call
        };
        let router = lab.sandbox();
        add("router", &router, "0");
        let index = wait_for_link_local(&router.netns, "eth0");
        let flows = AtomicBool::new(true);
        thread::scope(|threads| {
            threads.spawn(|| {
                while flows.load(Ordering::Relaxed) {
                    drop(advertise_router(&router.netns, index, 0));
                }
            });
            let flood = Flood(&flows);
            // One that listens shows that the flood arrives.
            let listener = lab.sandbox();
            add("listener", &listener, "1");
            let mut watch = Watch::open(Some(&listener.netns)).unwrap();
            let eth0 = |sandbox: &Sandbox| sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            let link = eth0(&listener);
            let heard = watch.until(Duration::from_secs(20), || {
                Ok(believes(&link.addrs(None)?).then_some(()))
            });
            for _ in 0..20 {
                let sandbox = lab.sandbox();
                let call = add("pod", &sandbox, "0");
                let addresses = eth0(&sandbox).addrs(None).unwrap();
                call.del();
                assert!(!believes(&addresses), "{addresses:?}");
            }
            drop(flood);
            heard.unwrap().unwrap();
        });
    });
}

#[test]
fn sysctls_of_others_are_refused_and_nothing_is_made() {
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for plugin in ["bridge", "ptp"] {
            for (key, told) in [
                (
                    "net.ipv4.ip_forward",
                    "sysctl net.ipv4.ip_forward is not one of the interface",
                ),
                (
                    "net.ipv4.conf.all.forwarding",
                    "is not one of the interface",
                ),
                ("kernel.hostname", "invalid net sysctl key"),
            ] {
                let over = json!({ "sysctl": { (key): "1" } });
                trial.refused(&trial.call(plugin, "ADD", &over), 7, told);
            }
        }
    });
}
