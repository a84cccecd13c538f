//! `DHCPv6`, router advertisements, and both families at once.

use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use linkspan_harness::traffic::wait_for_link_local;
use serde_json::json;

use crate::LINKSPAN;
use crate::others::{Foreign, dnsmasq, file};
use crate::segment::{ADDRESS6, Segment, WIRE, until};

const RANGE6: &str = "--dhcp-range=fd77::10,fd77::10,64,2m";

#[test]
fn dnsmasq_gives_an_address_a_prefix_a_router_and_has_it_back() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        // A bridge without a port has no carrier, so it gets no address.
        let pods = ["c0", "c1"].map(|id| segment.container(id));
        wait_for_link_local(lab.host(), WIRE);
        let more = [
            "--enable-ra",
            RANGE6,
            "--dhcp-option=option6:dns-server,[fd77::53]",
        ];
        let Some(server) = dnsmasq(lab, "10.77.0.10,10.77.0.10,2m", &more) else {
            return;
        };
        let _daemon = segment.daemon_of(&lab.bin(), &["-timeout", "2s", "-resendtimeout", "40s"]);
        let router = lab.rtnl().link_by_name(WIRE).unwrap().unwrap();
        let router = router
            .addrs(None)
            .unwrap()
            .into_iter()
            .find(|addr| addr.scope == 253)
            .unwrap()
            .ip
            .to_string();
        for (turn, pod) in pods.iter().enumerate() {
            let call = segment.call(pod, &json!({ "ipFamily": 46, "dns": true }));
            let result = call.add();
            assert_eq!(result["ips"][0]["address"], "10.77.0.10/24");
            assert_eq!(
                result["ips"][1],
                json!({ "address": "fd77::10/64", "gateway": router })
            );
            let default = json!({ "dst": "::/0", "gw": router });
            assert!(
                result["routes"].as_array().unwrap().contains(&default),
                "{result}"
            );
            assert_eq!(
                result["dns"]["nameservers"]
                    .as_array()
                    .unwrap()
                    .last()
                    .unwrap(),
                "fd77::53"
            );
            pod.configure(&result);
            call.check(&result);
            call.del();
            until("the release is in the log", || {
                server.log().matches("DHCPRELEASE").count() == 2 * (turn + 1)
            });
        }
        until("no lease is left", || {
            !server.leases().contains("10.77.0.10") && !server.leases().contains("fd77::10")
        });
    });
}

#[test]
fn isc_dhcpd_gives_an_address_without_a_router_and_has_it_back() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let pod = segment.container("c1");
        wait_for_link_local(lab.host(), WIRE);
        let Some(exe) = skip::without("dhcpd") else {
            return;
        };
        let leases = file(lab, "server.leases", "");
        let pid = lab.dir().join("pid").display().to_string();
        let text = "default-lease-time 8;\nauthoritative;\nsubnet6 fd77::/64 { range6 fd77::10 fd77::10; }\n";
        let conf = file(lab, "dhcpd.conf", text);
        let args = [
            "-6", "-f", "-d", "--no-pid", "-cf", &conf, "-lf", &leases, "-pf", &pid, WIRE,
        ];
        let server = Foreign::start(lab, &exe, &args, "Server starting service");
        let _daemon = segment.daemon_of(&lab.bin(), &["-timeout", "1s", "-resendtimeout", "30s"]);
        let call = segment.call(&pod, &json!({ "ipFamily": 6 }));
        let result = call.add();
        assert_eq!(result["ips"], json!([{ "address": "fd77::10/128" }]));
        assert!(result.get("routes").is_none(), "{result}");
        pod.configure(&result);
        until("the lease is renewed", || {
            server.log().contains("Renew message")
        });
        call.check(&result);
        call.del();
        until("the release is in the log", || {
            server.log().contains("Release message")
        });
        until("the address is released", || {
            server.leases().contains("binding state released")
        });
    });
}

#[test]
fn a_family_without_a_server_fails_add_unless_a_part_is_enough() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        assert!(ADDRESS6.starts_with("fd77"));
        let server = Segment::server(3600, 1);
        let _daemon = segment.daemon();
        let pod = segment.container("c1");
        let both = json!({ "ipFamily": 46, "timeout6": 2 });
        let told = segment.call(&pod, &both).verb("ADD").run().failed(999);
        assert!(told.contains("no more tries"), "{told}");
        until("the address of the other family is given back", || {
            server.given() == 0
        });
        assert_eq!(segment.kept(), 0);
        let partial = json!({ "ipFamily": 46, "timeout6": 2, "partial": true });
        let result = segment.call(&pod, &partial).add();
        assert_eq!(result["ips"], json!([{ "address": "10.77.0.10/24" }]));
    });
}
