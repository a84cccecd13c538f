//! Many attachments with one daemon: its cost, and that removed ones leave nothing.

use std::fs;
use std::time::{Duration, Instant};

use linkspan_harness::dice::Dice;
use linkspan_harness::figure;
use linkspan_harness::lab::in_lab;
use serde_json::{Value, json};

use crate::LINKSPAN;
use crate::segment::{Container, Daemon, Segment, until};

/// The number of seconds in which attachments come and go; longer than usual if set.
const SECONDS: &str = "LINKSPAN_DHCP_SECONDS";
const USUAL: u64 = 8;

/// The daemon's use of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    descriptors: usize,
    threads: u64,
    kilobytes: u64,
}

fn used(daemon: &Daemon) -> Use {
    let process = format!("/proc/{}", daemon.pid());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let number = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Use {
        descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        threads: number("Threads:"),
        kilobytes: number("VmRSS:"),
    }
}

fn seconds() -> u64 {
    let told = std::env::var(SECONDS).ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(USUAL)
}

#[test]
fn attachments_that_come_and_go_leave_nothing_behind() {
    in_lab(LINKSPAN, |lab| {
        const MANY: usize = 200;
        let segment = Segment::new(lab);
        let server = Segment::server(10, 240);
        // An address changes its owner every few seconds without an announcement, so a neighbour knows the previous
        // one.
        server.now(|manners| manners.shouts = true);
        let mut daemon = segment.daemon_of(&lab.bin(), &["-timeout", "2s"]);
        let status = lab
            .plugin("dhcp")
            .conf(&segment.conf(&json!({})))
            .verb("STATUS");
        // A daemon listens before it has all of its own descriptors, but has them when it answers.
        status.run().succeeded();
        let idle = used(&daemon);
        let pods: Vec<Container> = (0..MANY)
            .map(|at| segment.container(&format!("c{at}")))
            .collect();
        let call = |pod| segment.call(pod, &json!({}));
        let mut results: Vec<Option<Value>> = vec![None; MANY];
        let mut dice = Dice::new(7);
        let (end, mut turns, mut most) = (Instant::now() + Duration::from_secs(seconds()), 0, idle);
        while Instant::now() < end {
            let at = usize::try_from(dice.below(u64::try_from(MANY).unwrap())).unwrap();
            if let Some(result) = results[at].take() {
                call(&pods[at]).check(&result);
                call(&pods[at]).del();
                let link = pods[at]
                    .sandbox
                    .rtnl()
                    .link_by_name("eth0")
                    .unwrap()
                    .unwrap();
                for addr in link
                    .addrs(None)
                    .unwrap()
                    .iter()
                    .filter(|addr| addr.ip.is_ipv4())
                {
                    link.del_addr(addr.ip, addr.prefix).unwrap();
                }
            } else {
                let result = call(&pods[at]).add();
                pods[at].configure(&result);
                results[at] = Some(result);
            }
            turns += 1;
            server.forget_seen();
            let now = used(&daemon);
            most.threads = most.threads.max(now.threads);
            most.kilobytes = most.kilobytes.max(now.kilobytes);
        }
        for (pod, result) in pods.iter().zip(&results) {
            assert!(pod.is_up());
            if let Some(result) = result {
                call(pod).check(result);
                call(pod).del();
            }
        }
        until("every address is given back", || server.given() == 0);
        assert_eq!(segment.kept(), 0);
        // The connection of the readiness check may have been counted at the start.
        until("every descriptor is closed", || {
            used(&daemon).descriptors <= idle.descriptors
        });
        let left = used(&daemon);
        figure::tell(&format!(
            "dhcp: {turns} calls in {} s: {idle:?}, at most {most:?}, then {left:?}",
            seconds()
        ));
        assert!(most.threads <= 8 && most.kilobytes < 32 * 1024, "{most:?}");
        assert!(daemon.is_alive());
    });
}

#[test]
fn two_thousand_leases_of_a_killed_daemon_are_kept_by_the_next_one() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let _server = Segment::server(3600, 1);
        let mut first = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let result = call.add();
        first.kill();
        let dir = lab.dir().join("cni/dhcp.leases");
        let entries = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let lease = entries
            .into_iter()
            .find(|path| path.extension().is_some())
            .unwrap();
        let text = fs::read_to_string(&lease).unwrap();
        for copy in 0..1999 {
            let other = text.replace("container c1\n", &format!("container other{copy}\n"));
            fs::write(dir.join(format!("{copy}.lease")), other).unwrap();
        }
        let start = Instant::now();
        let second = segment.daemon();
        call.check(&result);
        let taken = start.elapsed();
        let used = used(&second);
        figure::tell(&format!(
            "dhcp: 2000 leases restored and one checked in {taken:?}: {used:?}"
        ));
        assert!(used.threads <= 8 && used.kilobytes < 32 * 1024, "{used:?}");
        assert!(used.descriptors < 32, "{used:?}");
    });
}
