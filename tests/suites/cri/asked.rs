//! containerd's requests to the plugins.

use serde_json::{Value, json};

use crate::{BRIDGE, Cri, PORTS, with_containerd};

/// The recorded calls, as plugin, interface and version. The loopback interface is attached in parallel, so the order
/// varies.
fn told(asked: &[Value], verb: &str) -> Vec<[String; 3]> {
    let mut told: Vec<_> = asked
        .iter()
        .map(|call| {
            assert_eq!(call["verb"], verb, "{call}");
            let version = &call["conf"]["cniVersion"];
            [&call["as"], &call["ifname"], version].map(|word| word.as_str().unwrap().to_owned())
        })
        .collect();
    told.sort();
    told
}

/// As docs/clients.md describes.
#[test]
fn containerd_asks_of_the_plugins_what_the_documentation_tells() {
    with_containerd(BRIDGE, |cri, daemon| {
        cri.node.witness(&["loopback", "bridge", "portmap"]);
        let pod = cri.run("p1", &PORTS);
        let added = cri.node.asked();
        cri.stop(&pod);
        let stopped = cri.node.asked();
        cri.remove(&pod);
        let removed = cri.node.asked();
        // containerd 1 reads the list as one of 1.0.0, and does not call STATUS.
        let version = cri.node.call("containerd", &["--version"]).run();
        let is_first = version.succeeded().contains(" 1.") || version.stdout.contains(" v1.");
        let version = if is_first { "1.0.0" } else { "1.1.0" };
        assert!(Cri::is_ready());
        let mut statuses = told(&cri.node.asked(), "STATUS");
        statuses.dedup();
        let of_status = ["bridge", "portmap"].map(|name| [name, "", version]);
        let of_status: &[_] = if is_first { &[] } else { &of_status };
        assert_eq!(statuses, of_status);
        let all = [
            ["bridge", "eth0", version],
            ["loopback", "lo", "0.3.1"],
            ["portmap", "eth0", version],
        ];
        assert_eq!(told(&added, "ADD"), all);
        for asked in [&stopped, &removed] {
            assert_eq!(told(asked, "DEL"), all);
        }
        for call in added.iter().chain(&stopped).chain(&removed) {
            assert_eq!(call["container"], json!(pod.id));
            let args = call["args"].as_str().unwrap();
            let infra = format!("K8S_POD_INFRA_CONTAINER_ID={}", pod.id);
            for pair in [
                "IgnoreUnknown=1",
                "K8S_POD_NAMESPACE=default",
                "K8S_POD_NAME=p1",
                "K8S_POD_UID=uid-p1",
                &*infra,
            ] {
                assert!(args.split(';').any(|one| one == pair), "{args}");
            }
            let netns = call["netns"].as_str().unwrap();
            let is_removed = removed.contains(call);
            assert_eq!(
                netns.starts_with("/var/run/netns/cni-"),
                !is_removed,
                "{netns}"
            );
            // Keys in the case of Go's fields, and a result unless the attachment is gone already.
            if call["as"] == "portmap" {
                let first = &call["conf"]["runtimeConfig"]["portMappings"][0];
                let mapping = json!({
                    "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "",
                });
                assert_eq!(first, &mapping);
                assert_eq!(call["conf"]["prevResult"].is_null(), is_removed);
            }
        }
        cri.node.is_clean();
        daemon.kill();
    });
}
