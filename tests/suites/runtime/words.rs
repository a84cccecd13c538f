//! The names of an attachment, in every command that takes one.

use std::fs;
use std::process::{Command, Stdio};

use linkspan_harness::conf::bridge;
use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use serde_json::{Value, json};

use crate::{LINKSPAN, linkspan, net_dir, remembered, text};

/// The container `id` as that of a pod.
fn add(lab: &Lab, network: &str, sandbox: &Sandbox, (id, ifname): (&str, &str), pod: &str) {
    let path = sandbox.path();
    let args = [
        "add",
        network,
        &path,
        "--container-id",
        id,
        "--ifname",
        ifname,
    ];
    let pod = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME={pod}");
    let call = linkspan(lab, &args).env("CNI_ARGS", &pod);
    call.run().succeeded();
}

/// Two pods in `net`, of which the first is in `other`, too.
fn pods(lab: &Lab) -> [Sandbox; 2] {
    let dir = net_dir(lab, &json!([bridge(lab, &json!({}))]));
    let ipam = json!({ "type": "host-local", "dataDir": lab.leases(), "subnet": "10.9.0.0/16" });
    let second = bridge(lab, &json!({ "bridge": "br9", "ipam": ipam }));
    let list = json!({ "cniVersion": "1.1.0", "name": "other", "plugins": [second] });
    fs::write(dir.join("20-other.conflist"), list.to_string()).unwrap();
    let sandboxes = [lab.sandbox(), lab.sandbox()];
    add(lab, "net", &sandboxes[0], ("aa11", "eth0"), "web-0");
    add(lab, "other", &sandboxes[0], ("aa11", "eth1"), "web-0");
    add(lab, "net", &sandboxes[1], ("aa22", "eth0"), "db-0");
    sandboxes
}

/// The container, network and interface that the words name.
fn inspected(lab: &Lab, words: &[&str]) -> Value {
    let told = linkspan(lab, &[&["inspect", "--json"], words].concat()).run();
    let told = told.json();
    let key = |key: &str| told.pointer(&format!("/0/{key}")).unwrap();
    json!([key("container"), key("network"), key("interface")])
}

#[test]
fn an_attachment_has_one_name_for_every_command() {
    in_lab(LINKSPAN, |lab| {
        let [first, second] = pods(lab);
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped());
        let inside = second.netns.scope(|| forks::start(&mut cat)).unwrap();
        let mut inside = inside.unwrap();
        let pid = format!("pid:{}", inside.id());
        for words in [
            &["aa2"][..],
            &["pod:prod/db-0"],
            &["prod/db-0"],
            &["10.1.0.3"],
            &["fd00:1::3"],
            &[&second.path()],
            &[&pid],
            &["aa22", "--net", "net"],
        ] {
            assert_eq!(
                inspected(lab, words),
                json!(["aa22", "net", "eth0"]),
                "{words:?}"
            );
            let check = linkspan(lab, &[&["check"], words].concat()).run();
            assert_eq!(check.succeeded(), "");
        }
        let of_other = json!(["aa11", "other", "eth1"]);
        assert_eq!(inspected(lab, &["aa11", "--net", "other"]), of_other);
        assert_eq!(inspected(lab, &["pod:web-0", "--ifname", "eth1"]), of_other);
        assert_eq!(inspected(lab, &["10.9.0.2"]), of_other);
        assert_eq!(inspected(lab, &["other", &first.path()]), of_other);
        let doctor = linkspan(lab, &["doctor", "pod:db-0"]).run();
        assert!(doctor.status < 2, "{}", doctor.stderr);

        // Several, and none.
        for words in ["aa", "pod:prod/web-0", &first.path()] {
            let told = linkspan(lab, &["check", words]).run();
            assert_eq!(told.status, 2, "{words}");
            for part in [
                "eth0 of container aa11 (prod/web-0) in the network net",
                "in the network other",
                "--net",
            ] {
                assert!(told.stderr.contains(part), "{words}: {}", told.stderr);
            }
        }
        for command in ["check", "del", "inspect", "doctor"] {
            let told = linkspan(lab, &[command, "pod:prod/none"]).run();
            assert_eq!(told.status, 4, "{command}");
            assert!(
                told.stderr.contains("attached: prod/db-0, prod/web-0"),
                "{}",
                told.stderr
            );
        }

        linkspan(lab, &["del", "aa11", "--net", "other"])
            .run()
            .succeeded();
        linkspan(lab, &["del", "prod/db-0"]).run().succeeded();
        assert_eq!(remembered(lab), ["net-aa11-eth0"]);
        assert!(second.rtnl().link_by_name("eth0").unwrap().is_none());
        drop(inside.stdin.take());
        inside.wait().unwrap();
    });
}

#[test]
fn inspect_tells_all_of_an_attachment() {
    in_lab(LINKSPAN, |lab| {
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        net_dir(lab, &json!([bridge(lab, &json!({})), portmap]));
        let sandbox = lab.sandbox();
        let ports = r#"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
        let path = sandbox.path();
        let add = linkspan(lab, &["add", "net", &path, "--container-id", "c1"]);
        let result = add.env("CAP_ARGS", ports).run().json();
        let told = &linkspan(lab, &["inspect", "c1", "--json"]).run().json()[0];
        assert_eq!(told["result"], result);
        assert_eq!(told["state"], "alive");
        assert_eq!(told["netns"], json!(path));
        let lease = text(&lab.leases().join("net/10.1.0.2"));
        assert_eq!(
            told["leases"][0],
            json!({ "ip": "10.1.0.2", "file": lease, "owner": "c1", "own": true })
        );
        let of_port = |port: &Value| (port["hostPort"].clone(), port["containerIP"].clone());
        let ports: Vec<_> = told["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(of_port)
            .collect();
        assert_eq!(
            ports,
            [
                (json!(8080), json!("10.1.0.2")),
                (json!(8080), json!("fd00:1::2"))
            ]
        );
        let ends = told["hostEnds"].as_array().unwrap();
        let veth = ends.iter().find(|end| end["kind"] == "veth").unwrap();
        assert_eq!(
            (&veth["bridge"], &veth["up"]),
            (&json!("br0"), &json!(true))
        );
        let words = linkspan(lab, &["inspect", "c1"]).run();
        for part in [
            "lease      file ",
            "bridge br0",
            "0.0.0.0:8080/tcp to 10.1.0.2:80 (nftables)",
            "\"ips\"",
        ] {
            assert!(words.succeeded().contains(part), "{part}: {}", words.stdout);
        }
    });
}

#[test]
fn lists_are_filtered_and_name_pods() {
    in_lab(LINKSPAN, |lab| {
        let [_first, second] = pods(lab);
        let ids = |args: &[&str]| -> Vec<String> {
            let told = linkspan(lab, &[&["list", "--json"], args].concat())
                .run()
                .json();
            let name = |one: &Value| {
                format!(
                    "{}/{}",
                    one["pod"].as_str().unwrap(),
                    one["network"].as_str().unwrap()
                )
            };
            told.as_array().unwrap().iter().map(name).collect()
        };
        assert_eq!(ids(&[]), ["web-0/net", "db-0/net", "web-0/other"]);
        assert_eq!(ids(&["--network", "other"]), ["web-0/other"]);
        assert_eq!(ids(&["10.1.0.3"]), ["db-0/net"]);
        assert_eq!(ids(&["prod/web"]), ["web-0/net", "web-0/other"]);
        assert!(ids(&["--gone"]).is_empty());
        let table = linkspan(lab, &["list", "db"]).run();
        assert!(
            table
                .succeeded()
                .contains("net      aa22       prod/db-0  eth0       alive"),
            "{}",
            table.stdout
        );
        drop(second);
        lab.until_pairs(2);
        assert_eq!(ids(&["--gone"]), ["db-0/net"]);
    });
}

#[test]
fn who_has_a_port_is_one_question() {
    in_lab(LINKSPAN, |lab| {
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        net_dir(lab, &json!([bridge(lab, &json!({})), portmap]));
        let sandbox = lab.sandbox();
        let ports = r#"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
        let long = "0123456789abcdef0123456789abcdef";
        let path = sandbox.path();
        let add = linkspan(lab, &["add", "net", &path, "--container-id", long]);
        let add = add.env("CAP_ARGS", ports).env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-0",
        );
        add.run().succeeded();
        let ask = |args: &[&str]| linkspan(lab, &[&["ports"], args].concat()).run();
        for port in ["8080", "8080/tcp"] {
            let told = ask(&[port]);
            assert!(
                told.succeeded().contains(" 0123456789ab  prod/web-0  eth0"),
                "{}",
                told.stdout
            );
        }
        assert!(ask(&["8080", "--no-trunc"]).succeeded().contains(long));
        assert_eq!(ask(&["8080", "--json"]).json()[0]["pod"], "web-0");
        for (port, status) in [("8080/udp", 1), ("8081", 1), ("x", 2), ("8080/x", 2)] {
            assert_eq!(ask(&[port]).status, status, "{port}");
        }
    });
}

#[test]
fn the_result_has_the_namespace_that_an_old_cache_lacks() {
    in_lab(LINKSPAN, |lab| {
        let [_first, second] = pods(lab);
        let file = lab.dir().join("cache/results/net-aa22-eth0");
        let entry = fs::read(&file).unwrap();
        let mut entry: Value = serde_json::from_slice(&entry).unwrap();
        entry.as_object_mut().unwrap().remove("netns");
        fs::write(&file, entry.to_string()).unwrap();
        let told = linkspan(lab, &["list", "db-0", "--json"]).run().json();
        assert_eq!(
            (&told[0]["netns"], &told[0]["state"]),
            (&json!(second.path()), &json!("alive"))
        );
        linkspan(lab, &["check", "db-0"]).run();
        linkspan(lab, &["del", "pod:db-0"]).run().succeeded();
        assert!(second.rtnl().link_by_name("eth0").unwrap().is_none());
    });
}

#[test]
fn all_that_live_are_checked_and_all_networks_are_asked() {
    in_lab(LINKSPAN, |lab| {
        let [first, _second] = pods(lab);
        let all = || linkspan(lab, &["check", "--all"]).run();
        assert_eq!(all().succeeded(), "");
        let link = first.rtnl().link_by_name("eth1").unwrap().unwrap();
        link.set_down().unwrap();
        let told = all();
        assert_eq!(told.status, 1);
        assert!(
            told.stdout
                .starts_with("eth1 of container aa11 (prod/web-0) in the network other: "),
            "{}",
            told.stdout
        );
        assert_eq!(
            (told.stdout.lines().count(), &*told.stderr),
            (1, "3 checked, 1 failed\n")
        );
        let rows = linkspan(lab, &["check", "--all", "--json"]).run().stdout;
        let rows: Value = serde_json::from_str(&rows).unwrap();
        let oks: Vec<&Value> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["ok"])
            .collect();
        assert_eq!(oks, [&json!(true), &json!(true), &json!(false)]);

        let status = || linkspan(lab, &["status"]).run();
        let told = status();
        let ready: Vec<&str> = told
            .succeeded()
            .lines()
            .filter(|line| line.contains(": ready ("))
            .collect();
        assert_eq!(ready, ["net: ready (bridge)", "other: ready (bridge)"]);
        let lists = lab.dir().join("net.d");
        let missing =
            json!({ "cniVersion": "1.1.0", "name": "third", "plugins": [{ "type": "none" }] });
        fs::write(lists.join("30.conflist"), missing.to_string()).unwrap();
        let told = status();
        assert_eq!(told.status, 1);
        assert!(told.stdout.contains("other: ready") && told.stderr.contains("\"none\""));
        let old =
            json!({ "cniVersion": "1.0.0", "name": "third", "plugins": [{ "type": "loopback" }] });
        fs::write(lists.join("30.conflist"), old.to_string()).unwrap();
        assert_eq!(status().status, 3);
        assert_eq!(linkspan(lab, &["status", "fourth"]).run().status, 4);
    });
}
