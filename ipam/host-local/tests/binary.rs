//! The binary as a runtime drives it: environment and stdin in, JSON, exit status and files out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, executes the binary itself, and tells loudly what it skips"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linkspan_protocol::json::Json;

const OURS: &str = env!("CARGO_BIN_EXE_host-local");
const GO: &str = "/usr/lib/cni/host-local";

/// A directory of one test, removed with it.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("linkspan-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn conf(&self, version: &str, ipam: &str) -> String {
        let dir = self.0.display();
        format!(
            r#"{{"cniVersion":"{version}","name":"mynet","ipam":{{"type":"host-local","dataDir":"{dir}",{ipam}}}}}"#
        )
    }

    fn lease(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join("mynet").join(name)).ok()
    }

    fn leases(&self) -> usize {
        let entries = fs::read_dir(self.0.join("mynet")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.parse::<std::net::IpAddr>().is_ok())
            .count()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn spawn(exe: &str, verb: &str, id: &str, conf: &str) -> std::process::Child {
    let mut child = Command::new(exe)
        .env_clear()
        .envs([
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", id),
            ("CNI_IFNAME", "eth0"),
        ])
        .envs([("CNI_NETNS", "/run/netns/none"), ("CNI_PATH", "/nowhere")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(conf.as_bytes())
        .unwrap();
    child
}

/// Whether it succeeded, and what it printed.
fn call(exe: &str, verb: &str, id: &str, conf: &str) -> (bool, String) {
    let output = spawn(exe, verb, id, conf).wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn code_and_msg(printed: &str) -> (String, String) {
    let json = Json::parse(printed.as_bytes()).unwrap();
    let Some(Json::Number(code)) = json.get("code") else {
        panic!("no error object: {printed}");
    };
    (
        code.to_string(),
        json.get("msg").unwrap().as_str().unwrap().to_owned(),
    )
}

const DUAL: &str = r#""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]],"routes":[{"dst":"0.0.0.0/0"}]"#;

#[test]
fn add_writes_the_reference_files_and_del_removes_the_leases() {
    let dir = Dir::new("files");
    let conf = dir.conf("1.0.0", DUAL);
    let (ok, printed) = call(OURS, "ADD", "dummy", &conf);
    assert!(ok, "{printed}");
    assert_eq!(dir.lease("10.1.2.2").unwrap(), "dummy\r\neth0");
    assert_eq!(dir.lease("2001:db8:1::2").unwrap(), "dummy\r\neth0");
    assert_eq!(dir.lease("last_reserved_ip.0").unwrap(), "10.1.2.2");
    assert_eq!(dir.lease("last_reserved_ip.1").unwrap(), "2001:db8:1::2");
    assert!(call(OURS, "CHECK", "dummy", &conf).0);
    assert!(!call(OURS, "CHECK", "other", &conf).0);
    for _twice in 0..2 {
        assert_eq!(call(OURS, "DEL", "dummy", &conf), (true, String::new()));
    }
    assert_eq!(dir.leases(), 0);
    assert!(call(OURS, "ADD", "dummy", &conf).1.contains("10.1.2.3/24"));
}

#[test]
fn every_spec_version_is_spoken() {
    for version in [
        "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
    ] {
        let dir = Dir::new(&format!("v{version}"));
        let (ok, printed) = call(OURS, "ADD", "dummy", &dir.conf(version, DUAL));
        assert!(ok, "{printed}");
        assert!(printed.contains(&format!(r#""cniVersion": "{version}""#)));
        assert_eq!(
            printed.contains(r#""version": "4""#),
            version.starts_with("0.3") || version == "0.4.0"
        );
        assert_eq!(printed.contains("ip4"), version < "0.3.0");
    }
}

#[test]
fn an_exhausted_range_says_so_and_keeps_what_was_there() {
    let dir = Dir::new("exhausted");
    let conf = dir.conf(
        "1.1.0",
        r#""ranges":[[{"subnet":"10.1.3.0/24"}],[{"subnet":"10.1.2.0/30"}]]"#,
    );
    assert!(call(OURS, "ADD", "a", &conf).0);
    assert_eq!(code_and_msg(&call(OURS, "STATUS", "", &conf).1).0, "50");
    let (ok, printed) = call(OURS, "ADD", "b", &conf);
    assert!(!ok);
    assert_eq!(
        code_and_msg(&printed),
        (
            "999".to_owned(),
            "failed to allocate for range 1: no IP addresses available in range set: 10.1.2.1-10.1.2.2".to_owned()
        )
    );
    // The address that b got of range set 0 is free again, and a keeps its two.
    assert_eq!(dir.leases(), 2);
    let (ok, printed) = call(OURS, "ADD", "a", &conf);
    assert!(
        !ok && printed
            .contains("10.1.3.2 has been allocated to a, duplicate allocation is not allowed")
    );
    assert_eq!(dir.leases(), 2);
}

#[test]
fn a_result_that_the_version_cannot_express_changes_nothing() {
    let dir = Dir::new("refused");
    for (version, ipam, code, msg) in [
        (
            "0.2.0",
            r#""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.3.0/24"}]]"#,
            "7",
            "CNI version 0.2.0 does not support more than 1 address per family",
        ),
        ("1.0.0", r#""x":1"#, "7", "no IP ranges specified"),
        (
            "1.0.0",
            r#""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/25"}]]"#,
            "7",
            "range set 0 overlaps with 1",
        ),
        (
            "1.0.0",
            r#""subnet":"10.1.2.1/24""#,
            "7",
            "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0",
        ),
        (
            "1.0.0",
            r#""subnet":7"#,
            "6",
            "failed to load netconf: ipam.subnet: invalid type: integer `7`, expected a string",
        ),
        (
            "9.9.9",
            r#""subnet":"10.1.2.0/24""#,
            "1",
            "incompatible CNI versions",
        ),
    ] {
        let (ok, printed) = call(OURS, "ADD", "dummy", &dir.conf(version, ipam));
        assert!(!ok);
        assert_eq!(code_and_msg(&printed), (code.to_owned(), msg.to_owned()));
    }
    assert!(!dir.0.join("mynet").exists());
}

#[test]
fn a_hundred_parallel_adds_get_a_hundred_addresses() {
    let dir = Dir::new("parallel");
    let conf = dir.conf("1.1.0", r#""subnet":"10.1.0.0/16""#);
    let children: Vec<_> = (0..100)
        .map(|n| spawn(OURS, "ADD", &format!("c{n}"), &conf))
        .collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(dir.leases(), 100);
}

#[test]
fn leases_can_be_swapped_with_the_go_plugin() {
    if !Path::new(GO).exists() {
        // The print macros would say so only where the test fails.
        let skipped = format!("SKIPPED the swap of leases: no {GO}\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    }
    let dir = Dir::new("swap");
    let conf = dir.conf("1.0.0", DUAL);
    for (adds, deletes) in [(GO, OURS), (OURS, GO)] {
        assert!(call(adds, "ADD", "dummy", &conf).0);
        assert!(call(deletes, "CHECK", "dummy", &conf).0);
        assert!(!call(deletes, "ADD", "dummy", &conf).0);
        assert!(call(deletes, "DEL", "dummy", &conf).0);
        assert_eq!(dir.leases(), 0);
    }
    let two = Dir::new("swap-output");
    let go = call(GO, "ADD", "dummy", &two.conf("0.4.0", DUAL));
    let one = Dir::new("swap-ours");
    assert_eq!(call(OURS, "ADD", "dummy", &one.conf("0.4.0", DUAL)), go);
}

#[test]
fn a_lease_of_an_old_plugin_is_found_and_removed() {
    let dir = Dir::new("legacy");
    let conf = dir.conf("1.0.0", r#""subnet":"10.1.2.0/24""#);
    fs::create_dir_all(dir.0.join("mynet")).unwrap();
    fs::write(dir.0.join("mynet/10.1.2.9"), "dummy").unwrap();
    assert!(call(OURS, "CHECK", "dummy", &conf).0);
    assert!(call(OURS, "DEL", "dummy", &conf).0);
    assert_eq!(dir.leases(), 0);
}
