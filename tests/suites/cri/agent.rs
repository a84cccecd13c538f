//! The agent of a cluster's nodes beside a real engine: what that has lost is detached, and what lives stays.

use std::path::{Path, PathBuf};

use linkspan_filter::table::TABLE;
use linkspan_harness::call::{Call, Running};
use linkspan_harness::server::is_published;
use linkspan_harness::skip;
use linkspan_harness::world::beyond;
use linkspan_nftables::{Batch, Netfilter};

use crate::{BRIDGE, Cri, LINKSPAN, Pod, TCP, UDP, with_containerd};

/// The agent's executable, which lies beside that of the plugins.
fn agent() -> PathBuf {
    Path::new(LINKSPAN).with_file_name("linkspan-node")
}

/// An agent in the pod `own`, which looks at the sandboxes every second. No API server answers it.
fn start(cri: &Cri<'_>, own: &str) -> Running {
    let list = cri.node.net_d().join("10-linkspan.conflist");
    let linkspan = cri.node.bin().join("linkspan");
    Call::new(&agent())
        .args(&["--node", "n1", "--server", "http://127.0.0.1:1"])
        .args(&["--list", &list.to_string_lossy()])
        .args(&["--linkspan", &linkspan.to_string_lossy()])
        .args(&["--cri", "/run/absent.sock"])
        .args(&["--cri", "/run/containerd/containerd.sock"])
        .args(&["--pod-uid", own, "--cri-every", "1"])
        .spawn()
}

/// Has containerd lose a pod at its next start, without a word to the plugins.
fn lose(cri: &Cri<'_>, pod: &Pod) {
    let ctr = |args: &[&str]| {
        cri.node
            .call("ctr", &[&["-n", "k8s.io"], args].concat())
            .run()
    };
    // containerd 2 remembers a pod's sandbox apart from its container, and removes both.
    if ctr(&["sandboxes", "list"]).stdout.contains(&pod.id) {
        ctr(&["sandboxes", "remove", "--force", &pod.id]).succeeded();
        return;
    }
    // Once the task is killed, containerd may be the first to delete it.
    ctr(&["tasks", "delete", "--force", &pod.id]);
    ctr(&["containers", "delete", &pod.id]).succeeded();
}

fn until_told(agent: &mut Running, what: &str) {
    let mut seen = String::new();
    while !seen.contains(what) {
        seen = agent.line();
        assert!(!seen.is_empty(), "the agent ended before it told of {what}");
    }
}

fn attached(cri: &Cri<'_>) -> Vec<String> {
    let mut attached = cri.node.attached();
    attached.sort();
    attached
}

/// The attachments of pods: the network's, and the loopback interface that containerd attaches beside it.
fn of(pods: &[&Pod]) -> Vec<String> {
    let of_pod = |pod: &&Pod| ["eth0", "lo"].map(|ifname| format!("{} {ifname}", pod.id));
    let mut ids: Vec<String> = pods.iter().flat_map(of_pod).collect();
    ids.sort();
    ids
}

#[test]
fn the_agent_detaches_what_containerd_has_lost_and_restores_what_lives() {
    if !agent().is_file() {
        skip::tell("the agent is not built (cargo build -p linkspan-node)");
        return;
    }
    with_containerd(BRIDGE, |cri, daemon| {
        let host = cri.node.lab.host();
        let world = beyond(cri.node.lab);
        let own = cri.run("agent", &[]);
        let living = cri.run("living", &[(TCP, 8080, 80), (UDP, 8080, 80)]);
        let lost = cri.run("lost", &[(TCP, 8081, 81)]);
        lose(cri, &lost);
        daemon.kill();
        // Somebody flushes the packet filter, too.
        let mut batch = Batch::default();
        batch.delete_table(TABLE);
        let netfilter = host.scope(Netfilter::open).unwrap();
        netfilter.unwrap().commit(batch).unwrap();

        let mut agent = start(cri, "uid-agent");
        // An engine that is down has not lost anything.
        until_told(&mut agent, "no engine tells of its sandboxes");
        assert_eq!(attached(cri), of(&[&own, &living, &lost]));
        let daemon = cri.start();
        // The look before this one has put the ports back.
        for ifname in ["eth0", "lo"] {
            let told = format!("{} {ifname}: the engine has no such sandbox", lost.id);
            until_told(&mut agent, &told);
        }
        agent.kill();
        assert_eq!(attached(cri), of(&[&own, &living]));
        assert_eq!((cri.node.leases().len(), cri.node.ports().len()), (4, 4));
        let pod = cri.netns(&living);
        is_published(host, &[&world.netns], &pod, (8080, 80));
        drop(pod);
        for pod in [&own, &living] {
            cri.end(pod);
        }
        cri.node.is_clean();
        daemon.kill();
    });
}
