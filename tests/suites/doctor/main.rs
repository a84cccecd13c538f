//! `linkspan doctor`: each test makes a fault of a node, and reads the line about it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod host;
mod lists;
mod pods;
mod rules;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::{WORLD, beyond};
use linkspan_netlink::link::Link;
use linkspan_netlink::route::RouteSpec;
use serde_json::{Value, json};
use std::fs::{self};
use std::path::{Path, PathBuf};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A node with the network `net`, and the pod `c1` that publishes its port 80 as 8080.
struct Clinic<'a> {
    lab: &'a Lab,
    pod: Sandbox,
    /// Kept alive.
    world: Sandbox,
}

impl<'a> Clinic<'a> {
    fn new(lab: &'a Lab) -> Self {
        let clinic = Self::empty(lab);
        clinic.write("10-net.conflist", &list(lab));
        let of = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
        let ports = json!({ "portMappings": of }).to_string();
        let add = clinic.attach("c1", &clinic.pod).env("CAP_ARGS", &ports);
        add.run().succeeded();
        clinic
    }

    fn empty(lab: &'a Lab) -> Self {
        for dir in ["net.d", "tmp"] {
            fs::create_dir_all(lab.dir().join(dir)).unwrap();
        }
        let clinic = Self {
            lab,
            pod: lab.sandbox(),
            world: beyond(lab),
        };
        clinic.leave_by("up0", WORLD[0]);
        clinic
    }

    /// Adds a default IPv4 route.
    fn leave_by(&self, link: &str, gateway: &str) {
        let route = RouteSpec {
            gw: gateway.parse().ok(),
            priority: u32::from(link.as_bytes()[0]),
            ..RouteSpec::to("0.0.0.0".parse().unwrap(), 0)
        };
        self.link(link).add_route(&route).unwrap();
    }

    fn attach(&self, id: &str, sandbox: &Sandbox) -> Call {
        self.call(&["add", "net", &sandbox.path(), "--container-id", id])
    }

    fn path(&self, name: &str) -> String {
        self.lab.dir().join(name).to_str().unwrap().to_owned()
    }

    fn call(&self, args: &[&str]) -> Call {
        self.lab
            .linkspan(&["--cache-dir", &self.path("cache")])
            .args(&["--net-dir", &self.path("net.d")])
            .args(args)
            .env("CNI_PATH", &self.path("bin"))
            .env("TMPDIR", &self.path("tmp"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.dir().join("net.d").join(name)
    }

    fn write(&self, name: &str, list: &Value) {
        fs::write(self.file(name), list.to_string()).unwrap();
    }

    /// Changes the only list.
    fn rewrite(&self, change: impl FnOnce(&mut Value)) {
        let mut list = list(self.lab);
        change(&mut list);
        self.write("10-net.conflist", &list);
    }

    fn doctor(&self) -> Output {
        self.call(&["doctor"]).run()
    }

    /// A line has this beginning and end, and the exit status fits.
    fn says(&self, begin: &str, end: &str) {
        let ran = self.doctor();
        let is_it = |line: &str| line.starts_with(begin) && line.ends_with(end);
        let told = &ran.stdout;
        assert!(
            told.lines().any(is_it),
            "no {begin:?} … {end:?} in\n{told}{}",
            ran.stderr
        );
        let failed = told.lines().any(|line| line.starts_with("FAIL"));
        assert_eq!(ran.status, i32::from(failed), "{told}");
    }

    fn is_well(&self) {
        let ran = self.doctor();
        assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    }

    fn link(&self, name: &str) -> Link {
        self.lab.rtnl().link_by_name(name).unwrap().unwrap()
    }

    /// The host's end of the pod's pair.
    fn end(&self) -> Link {
        let links = self.lab.rtnl().links().unwrap();
        let own = |link: &Link| link.kind == "veth" && link.controller.is_some();
        links.into_iter().find(own).unwrap()
    }

    fn eth0(&self) -> Link {
        self.pod.rtnl().link_by_name("eth0").unwrap().unwrap()
    }
}

fn list(lab: &Lab) -> Value {
    let routes = json!({ "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] });
    let ipam = with(host_local(lab, &["10.1.0.0/24", "fd00:1::/64"]), &routes);
    let interface = bridge(lab, &json!({ "ipMasq": true, "ipam": ipam }));
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [interface, portmap] })
}

#[test]
fn a_healthy_node_yields_nothing_and_is_not_changed() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let before = (Snapshot::of_host(lab), lab.leased("net"));
        clinic.is_well();
        let json = clinic.call(&["doctor", "--json"]).run().json();
        assert_eq!(json, json!([]));
        assert_eq!((Snapshot::of_host(lab), lab.leased("net")), before);
    });
}

/// Ids are texts of small letters with hyphens, in constructors of findings.
#[test]
fn every_fault_is_in_the_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("docs/doctor.md")).unwrap();
    let mut count = 0;
    for file in fs::read_dir(root.join("cli/src/doctor")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for begin in ["Finding::fail(", "Finding::warn(", "Finding::new("] {
            for rest in text.split(begin).skip(1) {
                let is_id = |word: &&str| {
                    !word.is_empty() && word.bytes().all(|b| b == b'-' || b.is_ascii_lowercase())
                };
                let arguments = rest.split(')').next().unwrap();
                let Some(id) = arguments.split('"').skip(1).step_by(2).find(is_id) else {
                    continue;
                };
                assert!(
                    document.contains(&format!("`{id}`")),
                    "docs/doctor.md lacks {id}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn one_network_or_container_is_asked_about() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        clinic.end().set_down().unwrap();
        for (subject, lines) in [("net", 1), ("c", 1), ("c1", 1)] {
            let ran = clinic.call(&["doctor", subject]).run();
            assert_eq!(ran.stdout.lines().count(), lines, "{}", ran.stdout);
        }
        let found = clinic.call(&["doctor", "--json"]).run().stdout;
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found[0]["id"], "host-end");
        assert_eq!(found[0]["container"], "c1");
        let ran = clinic.call(&["doctor", "other"]).run();
        assert!(ran.stderr.contains("networks: net"), "{}", ran.stderr);
    });
}
