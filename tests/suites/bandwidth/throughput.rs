//! Throughput: a bulk flow settles at the rate, whatever burst the runtime sent.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use linkspan_cli::traffic::{at, connect};
use linkspan_harness::figure;
use linkspan_harness::lab::in_lab;
use linkspan_netlink::netns::Netns;

use crate::{ADDRESS, CONTAINERD, GATEWAY, LINKSPAN, Shaped, by_runtime, call};

/// Long enough that a single frame does not affect the count.
const WINDOW: Duration = Duration::from_secs(2);

/// Long enough for the slowest machine, and for the largest burst to pass.
const DEADLINE: Duration = Duration::from_secs(120);

/// The bytes that a link has received. Each thread sees the links of its own namespace.
fn came(netns: &Netns, link: &str) -> u64 {
    let links = at(netns, || fs::read_to_string("/proc/thread-self/net/dev")).unwrap();
    let mut lines = links.lines().map(str::trim_start);
    let counts = lines.find_map(|line| line.strip_prefix(link)?.strip_prefix(':'));
    let first = counts.unwrap().split_whitespace().next();
    first.unwrap().parse().unwrap()
}

/// One end of a flow: its namespace, its address, and the link that receives its packets.
#[derive(Clone, Copy)]
struct End<'a> {
    netns: &'a Netns,
    ip: &'a str,
    link: &'static str,
}

/// Asserts that a bulk flow is within a tenth of `rate`, in bits per second, after the burst. A window that a busy
/// machine spoilt is followed by another one.
fn settles(from: End<'_>, to: End<'_>, rate: u32) {
    let ip: IpAddr = to.ip.parse().unwrap();
    let listener = at(to.netns, || TcpListener::bind((ip, 0))).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = connect(from.netns, address).unwrap();
            client.set_write_timeout(None).unwrap();
            // Ends when the receiver has seen enough.
            let bulk = vec![0; 1 << 16];
            while client.write_all(&bulk).is_ok() {}
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let (begun, mut shares) = (Instant::now(), Vec::new());
        let (mut since, mut before) = (begun, came(to.netns, to.link));
        loop {
            assert!(stream.read(&mut buffer).unwrap() > 0);
            let passed = since.elapsed();
            if passed < WINDOW {
                continue;
            }
            let now = came(to.netns, to.link);
            let bytes = f64::from(u32::try_from(now - before).unwrap());
            let share = bytes * 8.0 / passed.as_secs_f64() / f64::from(rate);
            shares.push(share);
            if (0.9..=1.1).contains(&share) {
                break;
            }
            (since, before) = (Instant::now(), now);
            assert!(begun.elapsed() < DEADLINE, "of {rate}: {shares:.3?}");
        }
        let share = shares.last().unwrap();
        figure::tell(&format!(
            "{rate} bit/s {}: {share:.3} of it came through in window {}",
            to.link,
            shares.len()
        ));
    });
}

/// Each direction in turn.
fn is_kept(rate: u32, burst: u64) {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox, previous, ..
        }) = Shaped::new(lab)
        else {
            return;
        };
        let over = by_runtime(rate.into(), burst);
        call(lab, "dummy", &sandbox, &previous, &over).add();
        let host = End {
            netns: lab.host(),
            ip: GATEWAY,
            link: "br0",
        };
        let inside = End {
            netns: &sandbox.netns,
            ip: ADDRESS,
            link: "eth0",
        };
        settles(host, inside, rate);
        settles(inside, host, rate);
    });
}

#[test]
fn a_gigabit_is_kept_after_the_burst_of_containerd() {
    is_kept(1_000_000_000, CONTAINERD);
}

#[test]
fn a_gigabit_is_kept_with_the_smallest_burst() {
    is_kept(1_000_000_000, 1);
}

#[test]
fn a_megabit_is_kept_with_the_smallest_burst() {
    is_kept(1_000_000, 1);
}
