//! Both command lines of the runtime over both suites of plugins: the same attachments, the same cache entries.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and runs a shell that mounts"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::{forks, skip};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
/// The arguments of a container engine; each plugin gets the ones that it declares.
const CAPABILITY_ARGS: &str = r#"{"mac":"02:00:00:00:00:09","portMappings":[
    {"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
const COMMAND_LINES: [&str; 2] = ["linkspan", "cnitool"];

/// One run: ADD, CHECK and DEL of the network `net` with the plugins in `bin`. Returns the cache entry after ADD, and
/// the state then.
fn attach(lab: &Lab, command_line: &str, bin: &Path, sandbox: &Sandbox) -> (Value, Vec<Value>) {
    // The cache of cnitool has a fixed directory, so this runs in a separate mount namespace.
    let script = r#"
        set -e; mount -t tmpfs none /var/lib
        "$1" add net "$2" >"$3/result"
        if grep -q '"0.3.1"' "$3/result"; then echo "a version without CHECK"; else "$1" check net "$2"; fi
        nsenter --net="$2" ip -j addr >"$3/addrs"
        nsenter --net="$2" ip -j route >"$3/routes"; nsenter --net="$2" ip -j -6 route >"$3/routes6"
        cat /var/lib/cni/results/* >"$3/entry"
        "$1" del net "$2"; ls /var/lib/cni/results >"$3/left""#;
    let exe = lab.dir().join(command_line);
    drop(symlink(LINKSPAN, &exe));
    let seen = lab.dir().join("seen");
    fs::create_dir_all(&seen).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([&exe, Path::new(&sandbox.path()), &seen])
        .env("NETCONFPATH", lab.dir().join("net.d"))
        .env("CNI_PATH", bin)
        .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=pod")
        .env("CAP_ARGS", CAPABILITY_ARGS);
    let done = forks::output(&mut command).unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{command_line} over {}: {told}",
        bin.display()
    );
    let read = |name: &str| -> Value {
        let text = fs::read(seen.join(name)).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    assert_eq!(fs::read_to_string(seen.join("left")).unwrap(), "");
    let entry = read("entry");
    assert_eq!(entry["result"], read("result"));
    let kernel = ["addrs", "routes", "routes6"];
    (entry, kernel.map(read).to_vec())
}

/// Removes values that differ between attachments.
fn forget(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Object(members) => {
            if let Some(mac) = members.get_mut("mac") {
                *mac = json!("any");
            }
            let is_veth = |name: &Value| name.as_str().is_some_and(|n| n.starts_with("veth"));
            if let Some(name) = members.get_mut("name").filter(|name| is_veth(name)) {
                *name = json!("vethany");
            }
            members.values_mut().for_each(forget);
        }
        _ => {}
    }
}

/// Addresses and routes of a container, without intended differences of the suites.
fn promised(kernel: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for item in kernel.iter().flat_map(|list| list.as_array().unwrap()) {
        for addr in item["addr_info"].as_array().into_iter().flatten() {
            if addr["scope"] == "global" {
                lines.push(format!(
                    "{}: {}/{}",
                    item["ifname"], addr["local"], addr["prefixlen"]
                ));
            }
        }
        let dst = item["dst"].as_str().unwrap_or_default();
        if !dst.is_empty() && !dst.starts_with("fe80") && !dst.starts_with("ff00") {
            lines.push(format!("{dst} via {} dev {}", item["gateway"], item["dev"]));
        }
    }
    lines.sort();
    lines
}

/// A list for each version and shape. Only one has IPv6, since the Go plugins wait for its duplicate address
/// detection.
fn lists(lab: &Lab) -> Vec<Value> {
    let ipv4 = host_local(lab, &["10.1.0.0/16"]);
    let port = |over: Value| {
        let base = json!({ "cniVersion": null, "name": null, "ipam": ipv4 });
        bridge(lab, &with(base, &over))
    };
    let both = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
    let layer2 = json!({ "ipam": {}, "isDefaultGateway": false });
    // CHECK of the Go plugins requires addresses, and portmap's requires both families.
    let unchecked = json!({ "disableCheck": true });
    let list = |version: &str, plugins: Value, over: &Value| {
        let base = json!({ "cniVersion": version, "name": "net", "plugins": plugins });
        with(base, over)
    };
    let masqueraded = json!({ "ipMasq": true, "capabilities": { "mac": true } });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let none = json!({});
    vec![
        list("0.3.1", json!([port(json!({}))]), &none),
        list(
            "0.4.0",
            json!([{ "type": "ptp", "mtu": 1400, "ipam": ipv4 }]),
            &none,
        ),
        list(
            "1.0.0",
            json!([port(json!({ "ipam": both })), { "type": "loopback" }]),
            &none,
        ),
        list("1.0.0", json!([port(layer2)]), &unchecked),
        list("1.0.0", json!([port(masqueraded), portmap]), &unchecked),
    ]
}

#[test]
fn both_command_lines_over_both_suites_attach_alike() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("both suites") else {
            return;
        };
        if skip::without("ip").is_none() {
            return;
        }
        let dir = lab.dir().join("net.d");
        fs::create_dir(&dir).unwrap();
        for list in lists(lab) {
            fs::write(dir.join("net.conflist"), list.to_string()).unwrap();
            alike(lab, go, &list);
        }
    });
}

/// Attaches the network in every combination.
fn alike(lab: &Lab, go: &Path, list: &Value) {
    let mut seen: Vec<(String, Value, Vec<String>)> = Vec::new();
    let before = Snapshot::of_host(lab);
    let sandbox = lab.sandbox();
    for bin in [go, &lab.bin()] {
        for command_line in COMMAND_LINES {
            let (mut entry, kernel) = attach(lab, command_line, bin, &sandbox);
            forget(&mut entry);
            let who = format!("{command_line} over {}", bin.display());
            seen.push((who, entry, promised(&kernel)));
            // The next one starts from an empty state, too.
            if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
                bridge.delete().unwrap();
            }
            drop(fs::remove_dir_all(lab.leases()));
        }
    }
    let (first, entry, kernel) = &seen[0];
    for (who, other_entry, other_kernel) in &seen[1..] {
        assert_eq!(other_entry, entry, "{who}, {first}: {list}");
        assert_eq!(other_kernel, kernel, "{who}, {first}: {list}");
    }
    assert_eq!(Snapshot::of_host(lab), before, "{list}");
}

#[test]
fn gc_detaches_what_is_gone_over_both_suites() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("net.d");
        fs::create_dir(&dir).unwrap();
        // In a version without GC, so that only the runtime works.
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        let conf = bridge(lab, &json!({ "ipam": ipam }));
        let list = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [conf] });
        fs::write(dir.join("net.conflist"), list.to_string()).unwrap();
        detach_the_dead(lab, &lab.bin());
        if let Some(go) = go_plugins("GC over the Go suite") {
            detach_the_dead(lab, go);
        }
    });
}

fn detach_the_dead(lab: &Lab, bin: &Path) {
    let cache = lab.dir().join("cache");
    let run = |args: &[&str]| {
        let places = ["--cache-dir", &cache.to_string_lossy()].map(str::to_owned);
        lab.linkspan(&places.each_ref().map(String::as_str))
            .args(args)
            .env("NETCONFPATH", &lab.dir().join("net.d").to_string_lossy())
            .env("CNI_PATH", &bin.to_string_lossy())
            .run()
    };
    let (alive, dead) = (lab.sandbox(), lab.sandbox());
    for (sandbox, container) in [(&alive, "alive"), (&dead, "dead")] {
        let args = ["add", "net", &sandbox.path(), "--container-id", container];
        run(&args).succeeded();
    }
    let leased = lab.leased("net");
    assert_eq!(leased.len(), 2);
    drop(dead);
    lab.until_pairs(1);

    assert_eq!(run(&["gc", "net"]).succeeded(), "deleted dead eth0\n");
    assert_eq!(lab.leased("net"), leased[..1]);
    let of_alive = alive.rtnl().link_by_name("eth0").unwrap();
    assert!(of_alive.is_some_and(|link| link.up));
    let left = fs::read_dir(cache.join("results")).unwrap();
    assert_eq!(left.count(), 1);
    run(&["del", "net", &alive.path(), "--container-id", "alive"]).succeeded();
    assert_eq!(lab.leased("net"), [""; 0]);
    lab.rtnl()
        .link_by_name("br0")
        .unwrap()
        .unwrap()
        .delete()
        .unwrap();
}
