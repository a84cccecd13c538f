//! The binaries against the real kernel: a host namespace and pods, made by each test and gone with it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, executes the binaries itself, and tells loudly what it skips"
)]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::{Context, Rtnl};
use linkspan_protocol::json::Json;
use nix::errno::Errno;

const GO: &str = "/usr/lib/cni";

/// A host without links, and a directory of its own.
struct Lab {
    host: Netns,
    dir: PathBuf,
    bin: PathBuf,
}

impl Lab {
    /// `None` where this user may not make namespaces.
    fn new(test: &str) -> Option<Self> {
        let host = match Netns::create() {
            Err(err) if err.is(Errno::EPERM) => {
                eprintln!("SKIPPED: {err}; run the tests as root, or under `unshare -rn`");
                return None;
            }
            made => made.unwrap(),
        };
        let dir = std::env::temp_dir().join(format!("linkspan-{}-{test}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_bridge"))
            .parent()
            .unwrap()
            .to_owned();
        assert!(
            bin.join("host-local").exists(),
            "run cargo test --workspace, which builds host-local"
        );
        Some(Self { host, dir, bin })
    }

    fn conf(&self, version: &str, keys: &str, ranges: &str) -> String {
        let dir = self.dir.display();
        format!(
            r#"{{"cniVersion":"{version}","name":"net","bridge":"br0",{keys},"ipam":{{"type":"host-local","dataDir":"{dir}","ranges":{ranges}}}}}"#
        )
    }

    fn spawn(&self, bin: &Path, verb: &str, pod: &Pod, conf: &str) -> Child {
        let start = || {
            Command::new(bin.join("bridge"))
                .env_clear()
                .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", &pod.id)])
                .envs([("CNI_NETNS", pod.path.as_str()), ("CNI_IFNAME", "eth0")])
                .env("CNI_PATH", bin)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = self.host.scope(start).unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(conf.as_bytes())
            .unwrap();
        child
    }

    /// Whether it succeeded, and what it printed.
    fn call(&self, verb: &str, pod: &Pod, conf: &str) -> (bool, String) {
        finish(self.spawn(&self.bin, verb, pod, conf))
    }

    fn links(&self) -> Vec<String> {
        let rtnl = Rtnl::open(&Context::new().unwrap(), &self.host).unwrap();
        rtnl.links()
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect()
    }

    fn mac_of_bridge(&self) -> [u8; 6] {
        let rtnl = Rtnl::open(&Context::new().unwrap(), &self.host).unwrap();
        rtnl.link_by_name("br0").unwrap().unwrap().mac
    }

    fn leases(&self) -> usize {
        let entries = fs::read_dir(self.dir.join("net")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.parse::<std::net::IpAddr>().is_ok())
            .count()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// A container's namespace, held by a file descriptor and known by its path.
struct Pod {
    netns: Netns,
    id: String,
    path: String,
}

impl Pod {
    fn new(id: &str) -> Self {
        let netns = Netns::create().unwrap();
        let fd = netns.as_fd().as_raw_fd();
        let path = format!("/proc/{}/fd/{fd}", std::process::id());
        Self {
            netns,
            id: id.into(),
            path,
        }
    }
}

fn finish(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
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

fn with_prev(conf: &str, result: &str) -> String {
    format!(
        "{},\"prevResult\":{result}}}",
        conf.strip_suffix('}').unwrap()
    )
}

/// A datagram from one namespace to an address in another, and its echo.
fn echo(from: &Netns, to: &Netns, addr: &str) {
    let addr: SocketAddr = addr.parse().unwrap();
    let any = if addr.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let server = to.scope(|| UdpSocket::bind(addr)).unwrap().unwrap();
    let client = from.scope(|| UdpSocket::bind(any)).unwrap().unwrap();
    for socket in [&server, &client] {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
    }
    let mut buffer = [0; 8];
    client.send_to(b"ping", addr).unwrap();
    let (len, peer) = server.recv_from(&mut buffer).unwrap();
    server.send_to(buffer.get(..len).unwrap(), peer).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
}

const GATEWAY: &str = r#""isDefaultGateway":true"#;
const DUAL: &str = r#"[[{"subnet":"10.42.0.0/24"}],[{"subnet":"fd42::/64"}]]"#;
const MANY: &str = r#"[[{"subnet":"10.42.0.0/16"}]]"#;

#[test]
fn two_pods_talk_to_each_other_and_to_the_gateway() {
    let Some(lab) = Lab::new("talk") else { return };
    let conf = lab.conf("1.1.0", GATEWAY, DUAL);
    let pods = [Pod::new("a"), Pod::new("b")];
    let results = pods.each_ref().map(|pod| {
        let (ok, printed) = lab.call("ADD", pod, &conf);
        assert!(ok, "{printed}");
        printed
    });
    let [a, b] = &pods;
    for addr in ["10.42.0.3:7000", "[fd42::3]:7000"] {
        echo(&a.netns, &b.netns, addr);
    }
    for addr in ["10.42.0.1:7000", "[fd42::1]:7000"] {
        echo(&a.netns, &lab.host, addr);
    }
    for (pod, result) in pods.iter().zip(&results) {
        assert_eq!(
            lab.call("CHECK", pod, &with_prev(&conf, result)),
            (true, String::new())
        );
        assert_eq!(lab.call("DEL", pod, &conf), (true, String::new()));
        assert!(!lab.call("CHECK", pod, &with_prev(&conf, result)).0);
    }
    assert_eq!(lab.leases(), 0);
    assert_eq!(lab.links(), ["lo", "br0"]);
}

#[test]
fn del_is_success_from_any_state() {
    let Some(lab) = Lab::new("del") else { return };
    let conf = lab.conf("1.1.0", GATEWAY, DUAL);
    let mut pod = Pod::new("a");
    assert_eq!(lab.call("DEL", &pod, &conf), (true, String::new()));
    assert!(lab.call("ADD", &pod, &conf).0);
    let malformed = with_prev(&conf, "7");
    let parallel: Vec<_> = (0..3)
        .map(|_| lab.spawn(&lab.bin, "DEL", &pod, &malformed))
        .collect();
    for child in parallel {
        assert_eq!(finish(child), (true, String::new()));
    }
    assert_eq!((lab.leases(), lab.links().len()), (0, 2));
    assert!(lab.call("ADD", &pod, &conf).0);
    pod.path = "/run/netns/long-gone".into();
    assert_eq!(lab.call("DEL", &pod, &conf), (true, String::new()));
    assert_eq!(lab.leases(), 0);
}

#[test]
fn a_failed_add_leaves_nothing_and_names_the_cause() {
    let Some(lab) = Lab::new("rollback") else {
        return;
    };
    let pod = Pod::new("a");
    let conf = |keys: &str, ranges: &str| lab.conf("1.1.0", keys, ranges);
    let first = Pod::new("first");
    assert!(lab.call("ADD", &first, &conf(GATEWAY, MANY)).0);
    let before = (lab.links(), lab.leases());
    let missing = conf(GATEWAY, DUAL).replace("host-local", "nope");
    let escaping = conf(GATEWAY, DUAL).replace("host-local", "../host-local");
    for (conf, code, msg) in [
        (missing, "999", "failed to find plugin \"nope\" in path"),
        (escaping, "7", "invalid plugin name: ../host-local"),
        (
            conf(GATEWAY, r#"[[{"subnet":"10.9.0.0/24"}]]"#),
            "7",
            "\"br0\" already has an IP address different from 10.9.0.1/24",
        ),
        (
            conf(r#""vlan":7"#, DUAL),
            "7",
            "vlan is not implemented yet",
        ),
        (
            conf(r#""ipMasq":true"#, DUAL),
            "7",
            "ipMasq is not implemented yet",
        ),
        (
            conf(r#""mtu":"1500""#, DUAL),
            "6",
            "failed to load netconf: mtu: invalid type",
        ),
        (
            conf(GATEWAY, DUAL).replace("br0", "lo"),
            "7",
            "\"lo\" already exists but is not a bridge",
        ),
    ] {
        let (ok, printed) = lab.call("ADD", &pod, &conf);
        assert!(!ok);
        let (told, message) = code_and_msg(&printed);
        assert!(told == code && message.starts_with(msg), "{printed}");
        assert_eq!((lab.links(), lab.leases()), before);
    }
    // Layer 2 only has no address, which 0.2.0 cannot express: everything is undone after the work was done.
    let layer2 = r#"{"cniVersion":"0.2.0","name":"net","bridge":"br0"}"#;
    let (ok, printed) = lab.call("ADD", &pod, layer2);
    assert!(!ok && code_and_msg(&printed).1 == "cannot convert: no valid IP addresses");
    assert_eq!((lab.links(), lab.leases()), before);
}

#[test]
fn what_is_no_namespace_is_refused_with_code_8() {
    let Some(lab) = Lab::new("netns") else { return };
    let conf = lab.conf("1.1.0", GATEWAY, DUAL);
    let mut pod = Pod::new("a");
    let plain = lab.dir.join("plain");
    fs::write(&plain, "x").unwrap();
    let own = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        lab.host.as_fd().as_raw_fd()
    );
    for path in [
        plain.display().to_string(),
        "/run/netns/missing".into(),
        own,
    ] {
        pod.path = path;
        let (ok, printed) = lab.call("ADD", &pod, &conf);
        assert!(!ok);
        assert_eq!(code_and_msg(&printed).0, "8", "{printed}");
        assert_eq!(lab.links(), ["lo"]);
    }
}

#[test]
fn parallel_adds_share_one_bridge_whose_mac_stays() {
    let Some(lab) = Lab::new("parallel") else {
        return;
    };
    let conf = lab.conf("1.1.0", GATEWAY, MANY);
    let pods: Vec<_> = (0..200).map(|n| Pod::new(&format!("c{n}"))).collect();
    let children: Vec<_> = pods
        .iter()
        .map(|pod| lab.spawn(&lab.bin, "ADD", pod, &conf))
        .collect();
    for child in children {
        let (ok, printed) = finish(child);
        assert!(ok, "{printed}");
    }
    let mut links = lab.links();
    links.sort_unstable();
    links.dedup();
    assert_eq!((links.len(), lab.leases()), (202, 200));
    let mac = lab.mac_of_bridge();
    let deletes: Vec<_> = pods
        .iter()
        .map(|pod| lab.spawn(&lab.bin, "DEL", pod, &conf))
        .collect();
    for child in deletes {
        assert_eq!(finish(child), (true, String::new()));
        assert_eq!(lab.mac_of_bridge(), mac);
    }
    assert_eq!(
        (lab.links(), lab.leases()),
        (vec!["lo".to_owned(), "br0".to_owned()], 0)
    );
}

#[test]
fn attachments_can_be_swapped_with_the_go_plugin() {
    let Some(lab) = Lab::new("swap") else { return };
    if !Path::new(GO).join("bridge").exists() {
        eprintln!("SKIPPED: {GO}/bridge is absent; install containernetworking-plugins");
        return;
    }
    let conf = lab.conf("1.0.0", GATEWAY, DUAL);
    for (adds, checks) in [
        (Path::new(GO), lab.bin.as_path()),
        (&lab.bin, Path::new(GO)),
    ] {
        let pod = Pod::new("a");
        let (ok, result) = finish(lab.spawn(adds, "ADD", &pod, &conf));
        assert!(ok, "{result}");
        let with_result = with_prev(&conf, &result);
        for verb in ["CHECK", "DEL"] {
            let (ok, printed) = finish(lab.spawn(checks, verb, &pod, &with_result));
            assert!(ok, "{verb} by {}: {printed}", checks.display());
        }
        assert_eq!(
            (lab.links(), lab.leases()),
            (vec!["lo".to_owned(), "br0".to_owned()], 0)
        );
    }
}
