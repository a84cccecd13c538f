//! Effects of an ADD on the host, seen by strace and by a hostile container. ADD never waits for the clock. A router
//! advertisement from a container does not configure the host (CVE-2020-10749). ADD takes no subnet of another link.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{good, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
/// The plugins that leave a link on the host.
const PLUGINS: [&str; 2] = ["bridge", "ptp"];

fn call(lab: &Lab, plugin: &str, sandbox: &Sandbox, over: &Value) -> Call {
    let conf = with(good(lab, plugin), over);
    lab.plugin(plugin).of("pod", sandbox).conf(&conf)
}

/// ADD's result, and the system calls of the plugin and of its children.
fn traced(call: &Call, file: &Path) -> (Value, Vec<String>) {
    const CALLS: &str = "openat,openat2,sendto,sendmsg,nanosleep,clock_nanosleep,futex,timerfd_settime,\
                         poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,epoll_pwait2";
    let trace = format!("trace={CALLS}");
    let strace = ["strace", "-f", "-qq", "-s", "256", "-e", &trace, "-o"];
    let strace = [&strace[..], &[file.to_str().unwrap()]].concat();
    let result = call.clone().under(&strace).add();
    let lines = fs::read_to_string(file).unwrap();
    (result, lines.lines().map(str::to_owned).collect())
}

/// Returns whether a line of strace shows a wait for a time.
fn waited_for_the_clock(line: &str) -> bool {
    let clocks = ["nanosleep", "timerfd_settime", "ETIMEDOUT"];
    if clocks.iter().any(|word| line.contains(word)) {
        return true;
    }
    let Some((call, result)) = line.rsplit_once(" = ") else {
        return false;
    };
    let polled = call.contains("poll") || call.contains("select");
    // With a timeout of 0 the call did not wait. It is the last argument, but for those that musl adds.
    let call = call.trim_end();
    let waited = ![", 0)", ", 0, NULL, 8)"]
        .iter()
        .any(|end| call.ends_with(end));
    polled && waited && ["0", "0 (Timeout)"].contains(&result)
}

#[test]
fn nothing_waits_for_the_clock() {
    if !skip::can_trace("a look at the calls of ADD") {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let sandbox = lab.sandbox();
            let call = call(lab, plugin, &sandbox, &json!({ "name": plugin }));
            let (_, lines) = traced(&call, &lab.dir().join("trace"));
            assert!(
                lines.iter().any(|line| line.contains("sendto(")),
                "{lines:?}"
            );
            let waits: Vec<_> = lines
                .iter()
                .filter(|line| waited_for_the_clock(line))
                .collect();
            assert!(waits.is_empty(), "{plugin}: {waits:#?}");
        }
    });
}

#[test]
fn the_kinds_of_waiting_are_told_apart() {
    for (line, expected) in [
        ("7 nanosleep({tv_sec=0, tv_nsec=50000000}, NULL) = 0", true),
        (
            "7 clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=1}, NULL) = 0",
            true,
        ),
        ("7 poll([{fd=3, events=POLLIN}], 1, 50) = 0 (Timeout)", true),
        ("7 epoll_wait(3, [], 1024, 50) = 0", true),
        ("7 <... epoll_wait resumed>[], 1024, 50) = 0", true),
        (
            "7 futex(0x7f, FUTEX_WAIT, 0, {tv_sec=1}) = -1 ETIMEDOUT (Connection timed out)",
            true,
        ),
        ("7 epoll_wait(3, [], 1024, 0)        = 0", false),
        ("7 <... epoll_wait resumed>[], 1024, 0) = 0", false),
        ("7 epoll_pwait(3, [], 1024, 0, NULL, 8) = 0", false),
        ("7 epoll_pwait(3, [], 1024, 50, NULL, 8) = 0", true),
        ("7 poll([{fd=0, events=0}], 1, 0) = 0 (Timeout)", false),
        ("7 epoll_wait(3, [{events=EPOLLIN}], 1024, 5000) = 1", false),
        (
            "7 poll([{fd=13, events=POLLIN}], 1, -1 <unfinished ...>",
            false,
        ),
        (
            "7 futex(0x55d20eab8558, FUTEX_WAKE_PRIVATE, 2147483647) = 0",
            false,
        ),
    ] {
        assert_eq!(waited_for_the_clock(line), expected, "{line}");
    }
}

#[test]
fn the_hosts_links_refuse_advertisements_before_they_go_up() {
    if !skip::can_trace("a look at the calls of ADD") {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let sandbox = lab.sandbox();
            let call = call(lab, plugin, &sandbox, &json!({ "name": plugin }));
            let (result, lines) = traced(&call, &lab.dir().join("trace"));
            let interfaces = result["interfaces"].as_array().unwrap();
            for link in interfaces
                .iter()
                .filter(|link| link.get("sandbox").is_none())
            {
                let name = link["name"].as_str().unwrap();
                let file = format!("conf/{name}/accept_ra\", {{flags=O_WRONLY");
                let index = format!("if_nametoindex(\"{name}\")");
                let at = |wanted: &dyn Fn(&String) -> bool| lines.iter().position(wanted).unwrap();
                let refused = at(&|line| line.contains(&file));
                let up = at(&|line| line.contains(&index) && line.contains("IFF_UP"));
                assert!(refused < up, "{plugin}: {name}: {lines:#?}");
            }
        }
    });
}

#[test]
fn a_container_cannot_play_the_hosts_router() {
    in_lab(LINKSPAN, |lab| {
        // The kernel's default for new links, wherever the tests run.
        fs::write("/proc/sys/net/ipv6/conf/default/accept_ra", "1").unwrap();
        for plugin in PLUGINS {
            let sandbox = lab.sandbox();
            // A host that forwards IPv6 would not listen to routers anyway.
            let over = json!({
                "name": plugin,
                "ipam": host_local(lab, &["10.1.0.0/16"]),
            });
            let call = call(lab, plugin, &sandbox, &over);
            let result = call.add();
            let gateway = result["ips"][0]["gateway"].as_str().unwrap();
            let link = result["interfaces"][0]["name"].as_str().unwrap();
            let advertise = || {
                let eth0 = traffic::wait_for_link_local(&sandbox.netns, "eth0");
                traffic::advertise_router(&sandbox.netns, eth0, 1800).unwrap();
                // Frames stay in order: after the echo the host has seen the advertisement.
                traffic::flows(&sandbox.netns, lab.host(), gateway.parse().unwrap());
            };
            let before = Snapshot::of_host(lab);
            advertise();
            assert_eq!(Snapshot::of_host(lab), before, "{plugin}");
            // The same packet has an effect if it is accepted, so this test proves something.
            fs::write(format!("/proc/sys/net/ipv6/conf/{link}/accept_ra"), "1").unwrap();
            advertise();
            let prefix = "fd66::".parse().unwrap();
            let routes = lab.rtnl().routes(Family::V6).unwrap();
            assert!(routes.iter().any(|route| route.dst == (prefix, 64)));
            call.del();
        }
    });
}

#[test]
fn a_subnet_that_another_link_has_is_refused_where_the_bridge_would_get_it() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let over = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]), "isGateway": true });
        lab.rtnl()
            .create(&LinkSpec::new("podman1", Kind::Bridge))
            .unwrap();
        let rival = lab.rtnl().link_by_name("podman1").unwrap().unwrap();
        rival.set_up().unwrap();
        rival
            .add_addr("10.1.8.1".parse().unwrap(), 24, AddrFlags::default())
            .unwrap();
        let add = || call(lab, "bridge", &sandbox, &over);
        let told = add().verb("ADD").run().failed(7);
        let refusal = "br0 cannot have 10.1.0.1/16: 10.1.8.0/24 is a network of podman1 already";
        assert!(told.contains(refusal), "{told}");
        assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
        // A wider route does not win, and one with a next hop may be intended.
        rival.del_addr("10.1.8.1".parse().unwrap(), 24).unwrap();
        rival
            .add_addr("10.0.0.1".parse().unwrap(), 8, AddrFlags::default())
            .unwrap();
        rival
            .add_route(&RouteSpec {
                gw: "10.0.0.9".parse().ok(),
                ..RouteSpec::to("10.1.9.0".parse().unwrap(), 24)
            })
            .unwrap();
        let result = add().add();
        // A later address does not affect ADDs.
        rival
            .add_addr("10.1.8.1".parse().unwrap(), 24, AddrFlags::default())
            .unwrap();
        let later = lab.sandbox();
        call(lab, "bridge", &later, &over).of("later", &later).add();
        add().after(&result).del();
    });
}
