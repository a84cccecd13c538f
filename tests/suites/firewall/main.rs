//! `firewall`: accepted and dropped packets, with each backend; the owners of rules; and the swap with the Go plugin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod firewalld;
mod lists;
mod ownership;
mod packets;
mod service;
mod swap;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use linkspan_cli::traffic::{at, udp_through};
use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::tool::tool;
use linkspan_netlink::netns::Netns;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The saving programs of a kind of iptables, one for each family.
const NATIVE: [&str; 2] = ["iptables-nft", "ip6tables-nft"];
const OLDER: [&str; 2] = ["iptables-legacy", "ip6tables-legacy"];

/// A container on a bridge, for firewall to follow.
struct Pod {
    sandbox: Sandbox,
    id: &'static str,
    bridge: Value,
    /// The configuration of firewall.
    conf: Value,
    result: Value,
    path: Option<String>,
}

/// A network of two families on the bridge `br0` or `br1`.
fn network(lab: &Lab, number: usize) -> Value {
    let subnets = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/64")];
    let over = json!({
        "cniVersion": "1.0.0",
        "name": format!("net{number}"),
        "bridge": format!("br{number}"),
        "hairpinMode": true,
        "ipMasq": true,
        "ipam": host_local(lab, &subnets.each_ref().map(String::as_str)),
    });
    bridge(lab, &over)
}

impl Pod {
    /// A container that is attached to a bridge, before firewall.
    fn on_bridge(lab: &Lab, id: &'static str, number: usize, over: &Value) -> Self {
        let sandbox = lab.sandbox();
        let bridge = network(lab, number);
        let result = lab.plugin("bridge").of(id, &sandbox).conf(&bridge).add();
        let base = json!({ "cniVersion": "1.0.0", "name": bridge["name"], "type": "firewall" });
        Self {
            sandbox,
            id,
            conf: with(base, over),
            bridge,
            result,
            path: None,
        }
    }

    fn new(lab: &Lab, id: &'static str, number: usize, over: &Value) -> Self {
        let pod = Self::on_bridge(lab, id, number, over);
        let told = pod.firewall(lab).add();
        assert_eq!(told, pod.result);
        pod
    }

    fn with_path(self, path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..self
        }
    }

    /// A call of firewall, with the result of the bridge.
    fn firewall(&self, lab: &Lab) -> Call {
        let call = lab.plugin("firewall").of(self.id, &self.sandbox);
        let call = call
            .conf(&self.conf)
            .after(&self.result)
            .env("XTABLES_LOCKFILE", "/dev/null");
        match &self.path {
            Some(path) => call.env("PATH", path),
            None => call,
        }
    }

    /// The same without a result.
    fn alone(&self, lab: &Lab) -> Call {
        self.firewall(lab).conf(&self.conf)
    }

    fn check(&self, lab: &Lab) {
        self.firewall(lab).check(&self.result);
    }

    fn detach(&self, lab: &Lab) {
        self.alone(lab).del();
        let bridge = lab.plugin("bridge").of(self.id, &self.sandbox);
        bridge.conf(&self.bridge).del();
    }

    fn addresses(&self) -> Vec<IpAddr> {
        addresses(&self.result)
    }
}

/// The rules and chains of the table `filter` of one kind of iptables, of both families.
fn saved(programs: [&str; 2]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for program in programs {
        let said = tool(&format!("{program}-save"), &["-t", "filter"])?;
        let own = |line: &&str| line.starts_with([':', '-']);
        let plain = |line: &str| line.split(" [").next().unwrap().to_owned();
        lines.extend(said.lines().filter(own).map(plain));
    }
    Some(lines)
}

/// Those about an address or a bridge.
fn about(programs: [&str; 2], text: &str) -> Vec<String> {
    let mut lines = saved(programs).unwrap();
    lines.retain(|line| line.contains(&format!("{text}/")) || line.contains(&format!("{text} ")));
    lines
}

/// Both families drop by default; returns false if that kind of iptables is not installed.
fn drop_by_default(programs: [&str; 2]) -> bool {
    programs
        .iter()
        .all(|program| tool(program, &["-w", "-P", "FORWARD", "DROP"]).is_some())
}

/// A datagram arrives, and its echo comes back.
fn reaches(from: &Netns, to: &Netns, ip: IpAddr) {
    let server = at(to, || UdpSocket::bind((ip, 0))).unwrap();
    let address = server.local_addr().unwrap();
    let came = udp_through(from, &server, address);
    assert!(came.is_ok(), "{address}: {came:?}");
}

/// No datagram reaches `server`. The time is for packets that should not arrive: a shorter time can only miss some.
fn is_kept_from(from: &Netns, server: &UdpSocket, address: SocketAddr) {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let client = at(from, || UdpSocket::bind(any)).unwrap();
    server
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    for _ in 0..2 {
        drop(client.send_to(b"hello", address));
    }
    let heard = server.recv_from(&mut [0; 5]);
    let silent = heard
        .as_ref()
        .err()
        .is_some_and(|err| err.kind() == ErrorKind::WouldBlock);
    assert!(silent, "{address}: {heard:?}");
}

fn never_reaches(from: &Netns, to: &Netns, ip: IpAddr) {
    let server = at(to, || UdpSocket::bind((ip, 0))).unwrap();
    is_kept_from(from, &server, server.local_addr().unwrap());
}
