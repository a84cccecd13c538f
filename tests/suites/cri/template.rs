//! The list that containerd makes from a template when kubelet sends it the node's parts.

use std::fs;

use linkspan_harness::grpc::Message;
use linkspan_harness::wait;
use serde_json::{Value, json};

use crate::{BRIDGE, Cri, asked, with_containerd};

const TEMPLATE: &str = include_str!("../../../conf-examples/containerd.template");

/// The file that containerd writes.
const MADE: &str = "10-containerd-net.conflist";

#[test]
fn the_template_becomes_the_list_of_the_nodes_parts() {
    with_containerd(BRIDGE, |cri, daemon| {
        daemon.kill();
        fs::remove_file(cri.node.net_d().join("10-linkspan.conflist")).unwrap();
        let template = cri.node.home().join("template");
        fs::write(&template, TEMPLATE).unwrap();
        let config = fs::read_to_string("/etc/containerd/config.toml").unwrap();
        let named = format!("conf_template = {template:?}\nconf_dir = ");
        let config = config.replacen("conf_dir = ", &named, 1);
        fs::write("/etc/containerd/config.toml", config).unwrap();
        let daemon = cri.node.daemon("containerd", &[]);
        tell_parts("10.244.4.0/24,fd44:0:0:4::/64");
        let made = fs::read_to_string(cri.node.net_d().join(MADE)).unwrap();
        let list: Value = serde_json::from_str(&made).unwrap();
        let ipam = &list["plugins"][0]["ipam"];
        let ranges = json!([[{ "subnet": "10.244.4.0/24" }], [{ "subnet": "fd44:0:0:4::/64" }]]);
        assert_eq!(ipam["ranges"], ranges);
        assert_eq!(
            ipam["routes"],
            json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }])
        );
        assert!(wait::so(Cri::is_ready), "the network is not ready");
        let pod = cri.run("a", &[]);
        let addresses = cri.addresses(&pod).into_iter().map(|ip| ip.to_string());
        let addresses: Vec<String> = addresses.collect();
        assert_eq!(addresses, ["10.244.4.2", "fd44:0:0:4::2"]);
        cri.end(&pod);
        // An existing list stays, whatever the node's part is by then.
        tell_parts("10.244.5.0/24");
        assert_eq!(
            fs::read_to_string(cri.node.net_d().join(MADE)).unwrap(),
            made
        );
        daemon.kill();
    });
}

/// Sends the parts to containerd as kubelet does, once it listens.
fn tell_parts(parts: &str) {
    let network = Message::default().text(1, parts);
    let config = Message::default().message(1, &network);
    let request = Message::default().message(1, &config);
    let told = || asked("UpdateRuntimeConfig", &request);
    wait::some(|| told().ok()).map_or_else(told, Ok).unwrap();
}
