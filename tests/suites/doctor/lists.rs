//! Faults of configurations, and of their requirements on the host.

use linkspan_harness::conf::host_local;
use linkspan_harness::lab::in_lab;
use linkspan_harness::wait;
use serde_json::{Value, json};
use std::fs::{self};
use std::os::unix::net::UnixStream;

use crate::{Clinic, LINKSPAN, list};

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
fn what_a_list_needs_of_the_host_is_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::empty(lab);
        let of =
            |plugin: Value| json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [plugin] });
        clinic.write(
            "10-net.conflist",
            &of(json!({ "type": "macvlan", "master": "none0" })),
        );
        clinic.says("FAIL master-missing net: ", "a link of `ip link`");
        clinic.write(
            "10-net.conflist",
            &of(json!({ "type": "macvlan", "master": "up0" })),
        );
        let up0 = clinic.link("up0");
        up0.set_down().unwrap();
        clinic.says("FAIL master-down net: ", "-> ip link set up0 up");

        let socket = clinic.path("dhcp.sock");
        let ipam = json!({ "type": "dhcp", "daemonSocketPath": socket });
        clinic.write(
            "10-net.conflist",
            &of(json!({ "type": "bridge", "bridge": "br0", "ipam": ipam })),
        );
        let start = format!("-> linkspan dhcp-daemon -socketpath {socket}");
        clinic.says("FAIL dhcp-daemon net: ", &start);
        let daemon = lab.plugin("dhcp");
        let daemon = daemon.args(&["daemon", "-socketpath", &socket]).spawn();
        let listens = wait::so(|| UnixStream::connect(&socket).is_ok());
        let found = clinic.doctor().stdout;
        daemon.kill();
        assert!(listens && !found.contains("dhcp-daemon"), "{found}");

        let resolv_conf = clinic.path("resolv.conf");
        fs::write(&resolv_conf, "search example\nnameserver 127.0.0.53\n").unwrap();
        clinic.rewrite(|list| list["plugins"][0]["ipam"]["resolvConf"] = json!(resolv_conf));
        clinic.says("WARN resolver net: ", "/run/systemd/resolve/resolv.conf\"");
        // No other check finds a value that the plugin refuses.
        clinic.rewrite(|list| {
            list["plugins"][0]["ipam"]["ranges"][0][0]["rangeStart"] = json!("10.2.0.9");
        });
        clinic.says("FAIL not-ready net: ", "-> linkspan status net");
    });
}
