//! Services on the host's 127.0.0.1 while iptables publishes ports, which needs `route_localnet`: only the host
//! reaches them (CVE-2020-8558), with iptables of both kinds and whichever suite detaches the pods.

use std::net::SocketAddr;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::pod::{Pod, both};
use linkspan_harness::server::Server;
use linkspan_harness::skip;
use linkspan_harness::tool::{older_iptables, tool};
use linkspan_harness::world::{HOST, beyond, set_sysctl};
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::LINKSPAN;
use crate::packets::inject;

/// A private service of the host.
const PRIVATE: &str = "127.0.0.1:9090";

/// A kind of iptables.
struct Kind {
    path: String,
    save: &'static str,
}

impl Kind {
    fn newer() -> Option<Self> {
        skip::without("iptables-nft-save")?;
        Some(Self {
            path: "/usr/sbin:/sbin:/usr/bin:/bin".to_owned(),
            save: "iptables-nft-save",
        })
    }

    fn older(lab: &Lab) -> Option<Self> {
        Some(Self {
            path: older_iptables(lab)?,
            save: "iptables-legacy-save",
        })
    }

    fn environment(&self, lab: &Lab) -> [(&'static str, String); 2] {
        let lock = lab.dir().join("xtables.lock").display().to_string();
        [("PATH", self.path.clone()), ("XTABLES_LOCKFILE", lock)]
    }

    /// The call in that environment, of our plugin or of the Go suite's.
    fn call(&self, lab: &Lab, call: Call) -> Call {
        let set = |call: Call, (name, value): (&str, String)| call.env(name, &value);
        self.environment(lab).into_iter().fold(call, set)
    }

    /// The number of copies of the rule.
    fn shut(&self) -> usize {
        let listed = tool(self.save, &["-t", "mangle"]).unwrap();
        let ours = |line: &&str| line.contains("127.0.0.0/8 from other interfaces");
        listed.lines().filter(ours).count()
    }

    /// A pod before its publication, with a list that the Go suite accepts, too.
    fn pod(&self, lab: &Lab, id: &str) -> Pod {
        let over = json!({
            "cniVersion": "1.0.0",
            "ipMasq": true,
            "ipMasqBackend": "iptables",
            "hairpinMode": true,
        });
        let (conf, ports) = (bridge(lab, &over), both(8080));
        let mut pod = Pod::attach_in(lab, id, (conf, &ports), &self.environment(lab));
        pod.portmap["backend"] = json!("iptables");
        pod
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Opens the host as far as the Go suite does, and further: kube-proxy sets the key for all links.
fn open(lab: &Lab) {
    set_sysctl(lab.host(), "ipv4/conf/all/route_localnet", "1");
}

/// A pod, its neighbour on the bridge, and the world send to the service on the host's 127.0.0.1. On an open host they
/// reach it, until iptables publishes the first port.
fn keeps_the_host_to_itself(lab: &Lab, kind: &Kind) {
    let world = beyond(lab);
    let pod = kind.pod(lab, "pod");
    let neighbour = kind.pod(lab, "neighbour");
    let private = Server::new(lab.host(), address(PRIVATE));
    open(lab);
    let senders: [(&Sandbox, &str); 3] = [
        (&pod.sandbox, "10.1.0.1"),
        (&neighbour.sandbox, "10.1.0.1"),
        (&world, HOST[0]),
    ];
    for (sender, gateway) in senders {
        inject(sender, gateway);
        private.answers(&sender.netns, address(PRIVATE));
    }
    assert_eq!(kind.shut(), 0);
    pod.portmap(lab).add();
    let is_shut = || {
        for (sender, _) in senders {
            private.is_spared(&sender.netns, address(PRIVATE));
        }
        private.answers(lab.host(), address(PRIVATE));
    };
    is_shut();
    is_published(lab, &world, &pod);
    // Once for the host, and permanently: the key stays as well.
    pod.portmap(lab).add();
    assert_eq!(kind.shut(), 1);
    pod.portmap(lab).check(&pod.result);
    pod.detach(lab);
    assert_eq!(kind.shut(), 1);
    is_shut();
}

/// The port leads to the pod from everywhere, including 127.0.0.1.
fn is_published(lab: &Lab, world: &Sandbox, pod: &Pod) {
    let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
    let node = SocketAddr::new(HOST[0].parse().unwrap(), 8080);
    server.answers(&world.netns, node);
    server.answers(&pod.sandbox.netns, node);
    for own in ["127.0.0.1:8080", "10.1.0.1:8080", "192.0.2.1:8080"] {
        server.answers(lab.host(), address(own));
    }
}

#[test]
fn iptables_keeps_others_away_from_the_loopback_address() {
    in_lab(LINKSPAN, |lab| {
        if let Some(kind) = Kind::newer() {
            keeps_the_host_to_itself(lab, &kind);
        }
    });
}

#[test]
fn the_older_iptables_keeps_others_away_from_the_loopback_address() {
    in_lab(LINKSPAN, |lab| {
        if let Some(kind) = Kind::older(lab) {
            keeps_the_host_to_itself(lab, &kind);
        }
    });
}

#[test]
fn where_others_cannot_be_kept_away_nothing_is_opened_or_published() {
    in_lab(LINKSPAN, |lab| {
        let Some(real) = skip::without("iptables-restore") else {
            return;
        };
        // A kernel without the table mangle.
        let dir = lab.dir().join("without-mangle");
        std::fs::create_dir(&dir).unwrap();
        let body = format!(
            "script=$(cat)\ncase \"$script\" in *mangle*) echo 'no table mangle' >&2; exit 1;; esac\n\
             echo \"$script\" | exec {} \"$@\"",
            real.display()
        );
        lab.script_at(dir.join("iptables-restore"), &body);
        let mut kind = Kind::newer().unwrap();
        let pod = kind.pod(lab, "pod");
        kind.path = format!("{}:{}", dir.display(), kind.path);
        let call = kind.call(lab, pod.portmap(lab));
        let told = call.verb("ADD").run().failed(999);
        assert!(
            told.contains("127.0.0.0/8: execute iptables-restore: no table mangle"),
            "{told}"
        );
        let nat = tool(kind.save, &["-t", "nat"]).unwrap();
        assert!(!nat.contains("dnat name"), "{nat}");
        let key = "/proc/sys/net/ipv4/conf/br0/route_localnet";
        let value = lab.host().scope(|| std::fs::read_to_string(key)).unwrap();
        assert_eq!(value.unwrap().trim(), "0");
    });
}

/// Each suite detaches the other's attachments, and the host stays closed.
fn is_swapped(lab: &Lab, kind: &Kind) {
    let Some(go) = go_plugins("what listens on 127.0.0.1 beside the Go suite") else {
        return;
    };
    let of_go = |call: Call, plugin: &str| {
        let call = call.exe(&go.join(plugin));
        let call = call.env("CNI_PATH", &go.to_string_lossy());
        kind.call(lab, call)
    };
    let world = beyond(lab);
    let private = Server::new(lab.host(), address(PRIVATE));
    let ours = kind.pod(lab, "ours");
    ours.portmap(lab).add();
    is_published(lab, &world, &ours);
    of_go(ours.portmap(lab), "portmap").del();
    of_go(ours.bridge(lab), "bridge").del();
    assert_eq!(rules_of(kind, "ours"), [""; 0]);
    assert_eq!(kind.shut(), 1);
    // A pod whose port the Go suite publishes, on an open bridge.
    let theirs = kind.pod(lab, "theirs");
    of_go(theirs.portmap(lab), "portmap").add();
    is_published(lab, &world, &theirs);
    inject(&theirs.sandbox, "10.1.0.1");
    private.is_spared(&theirs.sandbox.netns, address(PRIVATE));
    theirs.portmap(lab).check(&theirs.result);
    theirs.detach(lab);
    assert_eq!(rules_of(kind, "theirs"), [""; 0]);
    assert_eq!(kind.shut(), 1);
}

/// A container's rules in the table nat.
fn rules_of(kind: &Kind, id: &str) -> Vec<String> {
    let listed = tool(kind.save, &["-t", "nat"]).unwrap();
    let own = |line: &&str| line.replace('\\', "").contains(&format!("\"{id}\""));
    listed.lines().filter(own).map(str::to_owned).collect()
}

#[test]
fn the_go_suite_and_ours_detach_each_others_pods_beside_that_rule() {
    in_lab(LINKSPAN, |lab| {
        if let Some(kind) = Kind::newer() {
            is_swapped(lab, &kind);
        }
    });
}

#[test]
fn the_same_with_the_older_iptables() {
    in_lab(LINKSPAN, |lab| {
        if let Some(kind) = Kind::older(lab) {
            is_swapped(lab, &kind);
        }
    });
}
