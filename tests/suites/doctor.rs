//! `linkspan doctor`: each broken state of a node is made, and the line about it is read.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::{beyond, set_sysctl};
use linkspan_netlink::link::Link;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A node with the network `net`, and the pod `c1` that publishes its port 80 as 8080.
struct Clinic<'a> {
    lab: &'a Lab,
    pod: Sandbox,
    /// Kept alive.
    _world: Sandbox,
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
        Self {
            lab,
            pod: lab.sandbox(),
            _world: beyond(lab),
        }
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

    /// One line begins and ends so, and the exit status is that of a failure where it is one.
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

#[test]
fn faults_of_configurations_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        fs::write(clinic.file("20-bad.conflist"), "{").unwrap();
        let validate = format!(
            "-> linkspan validate {}",
            clinic.file("20-bad.conflist").display()
        );
        clinic.says("FAIL list-broken ", &validate);
        fs::remove_file(clinic.file("20-bad.conflist")).unwrap();

        clinic.write("20-net.conflist", &list(lab));
        let rename = format!(
            "-> rename the network in {}",
            clinic.file("20-net.conflist").display()
        );
        clinic.says("FAIL list-twice net: ", &rename);
        fs::remove_file(clinic.file("20-net.conflist")).unwrap();

        let other =
            json!({ "cniVersion": "1.1.0", "name": "old", "plugins": [{ "type": "calico" }] });
        clinic.write("05-old.conflist", &other);
        clinic.says("NOTE list-order net: ", "remove the other");
        let install = format!("-> linkspan install {}", clinic.path("bin"));
        clinic.says("FAIL plugin-missing old: ", &install);
        lab.script("calico", "exit 1");
        clinic.says("FAIL plugin-broken old: calico ", &install);
        lab.script(
            "calico",
            r#"echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'"#,
        );
        let drop = format!("{install}, or drop 1.1.0 from cniVersions");
        clinic.says("FAIL version-gap old: calico ", &drop);
        fs::remove_file(clinic.file("05-old.conflist")).unwrap();

        clinic.rewrite(|list| list["plugins"][1]["capabilities"] = json!({}));
        clinic.says(
            "WARN ports-undeclared net: ",
            "\"portMappings\": true } to portmap",
        );
        clinic.write("10-net.conflist", &list(lab));
        clinic.is_well();
    });
}

#[test]
fn subnets_that_overlap_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let mut other = list(lab);
        other["name"] = json!("other");
        clinic.write("20-other.conflist", &other);
        clinic.says(
            "FAIL subnet-overlap other: 10.1.0.0/24 overlaps with the network net",
            "another subnet",
        );
        other["plugins"][0]["ipam"] = host_local(lab, &["192.0.2.0/25"]);
        clinic.write("20-other.conflist", &other);
        let route = "FAIL subnet-overlap other: 192.0.2.0/25 overlaps with the host's route to 192.0.2.0/24 by up0";
        clinic.says(route, "give the network another subnet");
    });
}

#[test]
fn faults_of_the_host_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let br0 = clinic.link("br0");
        br0.del_addr("10.1.0.1".parse().unwrap(), 24).unwrap();
        clinic.says(
            "FAIL gateway-missing net: ",
            "-> ip addr add 10.1.0.1/24 dev br0",
        );
        br0.set_down().unwrap();
        clinic.says("FAIL bridge-down net: ", "-> ip link set br0 up");
        br0.set_up().unwrap();
        set_sysctl(lab.host(), "ipv4/ip_forward", "0");
        clinic.says("FAIL forward-off ", "-> sysctl -w net.ipv4.ip_forward=1");
        set_sysctl(lab.host(), "ipv4/ip_forward", "1");
        set_sysctl(lab.host(), "ipv6/conf/all/forwarding", "0");
        clinic.says(
            "FAIL forward-off ",
            "-> sysctl -w net.ipv6.conf.all.forwarding=1",
        );
        set_sysctl(lab.host(), "ipv6/conf/all/disable_ipv6", "1");
        clinic.says(
            "FAIL ipv6-off net: ",
            "-> sysctl -w net.ipv6.conf.all.disable_ipv6=0",
        );
        br0.delete().unwrap();
        clinic.says(
            "FAIL bridge-missing net: ",
            "-> restart the pods of the network",
        );
        let entry = lab.dir().join("cache/results/odd");
        fs::write(&entry, "{").unwrap();
        clinic.says("WARN store ", "if it is not needed");
    });
}

#[test]
fn faults_of_a_pod_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let end = clinic.end();
        end.set_mtu(1400).unwrap();
        clinic.says("WARN mtu net/c1: ", "and restart the pod");
        end.set_mtu(1500).unwrap();
        clinic.link("br0").set_mtu(1500).unwrap();
        clinic.is_well();
        end.set_down().unwrap();
        clinic.says(
            "FAIL host-end net/c1: ",
            &format!("-> ip link set {} up", end.name),
        );
        end.set_up().unwrap();

        let eth0 = clinic.eth0();
        eth0.set_down().unwrap();
        clinic.says("FAIL interface-down net/c1: ", "ip link set eth0 up");
        eth0.set_up().unwrap();
        clinic.says(
            "FAIL pod-route net/c1: ",
            "ip route add default via 10.1.0.1",
        );
        eth0.del_addr("10.1.0.2".parse().unwrap(), 24).unwrap();
        clinic.says(
            "FAIL address-gone net/c1: eth0 of the pod lacks its address 10.1.0.2",
            "-> restart the pod",
        );

        let lease = lab.leases().join("net/10.1.0.2");
        fs::write(&lease, "c9\r\neth0").unwrap();
        clinic.says("FAIL lease-foreign net/c1: ", "-> restart the pod");
        fs::remove_file(lease).unwrap();
        clinic.says("FAIL lease-gone net/c1: ", "-> restart the pod");
        eth0.delete().unwrap();
        clinic.says("FAIL interface-gone net/c1: ", "-> restart the pod");
        clinic.says("FAIL host-end net/c1: ", "-> restart the pod");
    });
}

#[test]
fn lost_ports_and_rules_and_listeners_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        clinic.says(
            "WARN port-shadowed net: ",
            "-> give one of them another port",
        );
        drop(listener);
        clinic.call(&["clear"]).run().succeeded();
        clinic.says("FAIL rules-gone net/c1: ", "-> linkspan restore net");
        clinic.says(
            "FAIL port-gone net/c1: the port 8080/tcp ",
            "-> linkspan restore net",
        );
        clinic.call(&["restore", "net"]).run().succeeded();
        clinic.is_well();
    });
}

#[test]
fn pools_and_the_dead_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::empty(lab);
        // Addresses 2 to 6 of a subnet of eight.
        let mut small = list(lab);
        small["plugins"][0]["ipam"] = host_local(lab, &["10.1.0.0/29"]);
        clinic.write("10-net.conflist", &small);
        let dead = lab.sandbox();
        // Made now: a later one could have the path of the one that is gone.
        let pods: Vec<Sandbox> = (0..4).map(|_| lab.sandbox()).collect();
        clinic.attach("dead", &dead).run().succeeded();
        drop(dead);
        lab.until_pairs(1);
        clinic.says("WARN namespace-gone net/dead: ", "-> linkspan gc net");
        for (at, pod) in pods.iter().enumerate() {
            clinic.attach(&format!("c{at}"), pod).run().succeeded();
        }
        clinic.says(
            "FAIL pool-full net: 5 of 5 addresses of 10.1.0.0/29 are leased, 1 ",
            "-> linkspan gc net",
        );
        clinic.call(&["gc", "net"]).run().succeeded();
        clinic.is_well();
    });
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
