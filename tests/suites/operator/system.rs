//! `linkspan validate` of a whole directory: each conflict of lists with each other and with the host.

use std::fs;

use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::in_lab;
use serde_json::{Value, json};

use crate::{LINKSPAN, Node};

/// A directory with the network `one`.
struct Directory<'a>(Node<'a>);

impl Directory<'_> {
    /// A plugin bridge of its own, changed.
    fn bridge(&self, name: &str, ranges: &[&str], over: &Value) -> Value {
        let ipam = host_local(self.0.lab, ranges);
        let mut plugin = bridge(self.0.lab, &json!({ "bridge": name, "ipam": ipam }));
        let keys = plugin.as_object_mut().unwrap();
        keys.extend(over.as_object().unwrap().clone());
        plugin
    }

    fn second(&self, name: &str, plugin: &Value) {
        self.0.write("20-two.conflist", name, &json!([plugin]));
    }

    /// Asserts the exit status, and that a line about the second list has this beginning and end.
    fn says(&self, args: &[&str], status: i32, begin: &str, end: &str) {
        let told = self.0.call(&[&["validate"], args].concat()).run();
        let prefix = format!("{}: {begin}", self.0.path("net.d/20-two.conflist"));
        let is_it = |line: &str| line.starts_with(&prefix) && line.ends_with(end);
        assert!(
            told.stdout.lines().any(is_it),
            "{begin} {end}: {}",
            told.stdout
        );
        assert_eq!(told.status, status, "{}", told.stdout);
    }
}

#[test]
fn the_lists_of_a_directory_are_judged_as_one_system() {
    in_lab(LINKSPAN, |lab| {
        let directory = Directory(Node::new(lab));
        let of = |name: &str, range: &str, over: Value| directory.bridge(name, &[range], &over);
        directory.second("two", &of("br9", "10.9.0.0/16", json!({})));
        let good = directory.0.call(&["validate"]).run();
        assert_eq!(good.succeeded().lines().count(), 2, "{}", good.stdout);
        assert!(good.stdout.lines().all(|line| line.ends_with(": ok")));

        directory.second("net", &of("br9", "10.9.0.0/16", json!({})));
        let first = format!(
            "{} has the name \"net\", too",
            directory.0.path("net.d/10-net.conflist")
        );
        directory.says(&[], 1, &first, "20-two.conflist");
        directory.second("two", &of("br0", "10.9.0.0/16", json!({})));
        let end = "that of the network net; give one of the networks another bridge";
        directory.says(
            &[],
            1,
            "the bridge br0 would have the gateways 10.9.0.1 and 10.1.0.1, ",
            end,
        );
        let living = "the bridge br0 has the address 10.1.0.1, and the list wants 10.9.0.1, so every ADD fails";
        directory.says(&[], 1, living, "ip link del br0");
        directory.second("two", &of("br9", "10.1.128.0/17", json!({})));
        directory.says(
            &[],
            1,
            "10.1.128.0/17 overlaps with the network net",
            "another subnet",
        );
        directory.second("two", &of("br9", "fd09::/64", json!({ "mtu": 1000 })));
        directory.says(&[], 1, "mtu 1000 is less than 1280", "or more");
    });
}

#[test]
fn a_warning_fails_where_it_is_asked_to() {
    in_lab(LINKSPAN, |lab| {
        let directory = Directory(Node::new(lab));
        let ipam = json!({ "type": "host-local", "dataDir": lab.leases(),
            "ranges": [[{ "subnet": "10.9.0.0/16", "gateway": "10.8.0.1" }]] });
        directory.second(
            "two",
            &directory.bridge("br9", &[], &json!({ "ipam": ipam })),
        );
        let gateway = "warning: the gateway 10.8.0.1 is outside of the subnet 10.9.0.0/16";
        directory.says(&[], 0, gateway, "of the subnet");
        directory.says(&["--strict"], 1, gateway, "of the subnet");
        let plugins =
            json!([directory.bridge("br9", &["10.9.0.0/16"], &json!({})), { "type": "portmap" }]);
        directory.0.write("20-two.conflist", "two", &plugins);
        directory.says(&[], 0, "warning: portmap never gets a port", "to it");
        // The editors' key is neither a fault nor a note.
        let file = directory.0.path("net.d/20-two.conflist");
        let list = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            list.replacen('{', r#"{"$schema":"conflist.json","#, 1),
        )
        .unwrap();
        let told = directory.0.call(&["validate", "-v", &file]).run();
        assert!(!told.succeeded().contains("$schema"), "{}", told.stdout);
        // Notes, with the place of each plugin.
        let place = format!(
            "note: plugins[0] bridge: bridge is {}",
            directory.0.path("bin/bridge")
        );
        directory.says(&["-v"], 0, &place, "");
        // An engine looks for plugins only in its directory.
        let file = directory.0.path("net.d/20-two.conflist");
        let told = directory
            .0
            .call(&["validate", &file])
            .without("CNI_PATH")
            .run();
        if !fs::exists("/opt/cni/bin/portmap").unwrap() {
            let built_in = "warning: plugins[1] portmap: an engine does not find portmap, which only this binary has";
            assert!(told.succeeded().contains(built_in), "{}", told.stdout);
            let status = directory
                .0
                .call(&["status", "two"])
                .without("CNI_PATH")
                .run();
            let line = "  portmap: in this binary alone, so an engine does not find it -> linkspan install /opt/cni/bin\n";
            assert!(status.succeeded().contains(line), "{}", status.stdout);
        }
    });
}
