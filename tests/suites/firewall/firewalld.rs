//! firewalld over the system's bus: a test double, and a bus without it.

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::table::elements;
use serde_json::json;

use crate::service::Firewalld;
use crate::{LINKSPAN, Pod};

/// The bus with [`Firewalld`], and its address.
fn started(lab: &Lab) -> (Firewalld, String) {
    let path = lab.dir().join("bus");
    let firewalld = Firewalld::start(&path);
    (firewalld, format!("unix:path={}", path.display()))
}

fn at(call: &Call, bus: &str) -> Call {
    call.clone().env("DBUS_SYSTEM_BUS_ADDRESS", bus)
}

#[test]
fn addresses_are_sources_of_the_zone_by_name_and_where_it_runs() {
    for backend in ["", "firewalld"] {
        in_lab(LINKSPAN, |lab| {
            let (firewalld, bus) = started(lab);
            let pod = Pod::on_bridge(lab, "pod", 1, &json!({ "backend": backend }));
            let call = at(&pod.firewall(lab), &bus);
            assert_eq!(call.add(), pod.result);
            call.add();
            let sources = ["10.1.0.2/32", "fd00:1::2/128"];
            let expected = sources.map(|source| (source.to_owned(), "trusted".to_owned()));
            assert_eq!(firewalld.zones(), expected.into());
            call.check(&pod.result);
            // A reload forgets it, and `restore` adds it again.
            firewalld.reload();
            let told = call.clone().verb("CHECK").run().failed(999);
            assert!(told.contains("10.1.0.2/32 in trusted zone"), "{told}");
            call.clone().verb("LINKSPAN_RESTORE").run().succeeded();
            call.check(&pod.result);
            // A late DEL takes nothing from the new owner.
            let new = call.clone().env("CNI_CONTAINERID", "new");
            new.add();
            call.del();
            new.check(&pod.result);
            at(&pod.alone(lab), &bus)
                .env("CNI_CONTAINERID", "new")
                .del();
            assert_eq!(firewalld.zones().len(), 0);
            assert_eq!(elements(lab), [""; 0]);
        });
    }
}

#[test]
fn an_address_in_another_zone_is_refused_and_the_zone_is_named() {
    in_lab(LINKSPAN, |lab| {
        let (firewalld, bus) = started(lab);
        let pod = Pod::on_bridge(lab, "pod", 1, &json!({ "firewalldZone": "pods" }));
        firewalld.put("fd00:1::2/128", "public");
        let told = at(&pod.firewall(lab), &bus).verb("ADD").run().failed(999);
        assert!(told.contains("zone public"), "{told}");
        // The address that was added first is removed, and the other one keeps its place.
        assert_eq!(firewalld.zones().len(), 1);
        assert_eq!(elements(lab), [""; 0]);
        at(&pod.firewall(lab), &bus).del();
    });
}

#[test]
fn the_zone_is_what_the_go_plugin_makes_and_removes() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("firewalld") else {
            return;
        };
        let (firewalld, bus) = started(lab);
        let pod = Pod::on_bridge(lab, "pod", 1, &json!({ "backend": "firewalld" }));
        let ours = at(&pod.firewall(lab), &bus);
        let theirs = ours
            .clone()
            .exe(&go.join("firewall"))
            .env("CNI_PATH", &go.to_string_lossy());
        let mut made = Vec::new();
        for (adds, other) in [(&ours, &theirs), (&theirs, &ours)] {
            adds.add();
            made.push(firewalld.zones());
            for call in [&ours, &theirs] {
                call.check(&pod.result);
            }
            other.del();
            assert_eq!(firewalld.zones().len(), 0);
            ours.del();
        }
        assert_eq!(made[0], made[1]);
    });
}

#[test]
fn without_firewalld_a_bus_is_nobodys_obstacle() {
    in_lab(LINKSPAN, |lab| {
        let by_name = Pod::on_bridge(lab, "named", 1, &json!({ "backend": "firewalld" }));
        let chosen = Pod::on_bridge(lab, "chosen", 1, &json!({}));
        let nowhere = format!("unix:path={}", lab.dir().join("none").display());
        refuses(lab, &by_name, &nowhere);
        at(&chosen.firewall(lab), &nowhere).add();
        at(&chosen.firewall(lab), &nowhere).del();
        let Some(daemon) = skip::without("dbus-daemon") else {
            return;
        };
        let path = lab.dir().join("real");
        let conf = lab.dir().join("bus.conf");
        let text = bus_conf(&path);
        fs::write(&conf, text).unwrap();
        let file = format!("--config-file={}", conf.display());
        let mut bus = Call::new(&daemon)
            .args(&[&file, "--nofork", "--print-address"])
            .spawn();
        let address = bus.line();
        assert!(address.starts_with("unix:path="), "{address}");
        refuses(lab, &by_name, &address);
        at(&chosen.firewall(lab), &address).add();
        at(&chosen.firewall(lab), &address).check(&chosen.result);
        at(&chosen.firewall(lab), &address).del();
        bus.kill();
    });
}

/// The real firewalld, on a bus and with files of its own. It prints the sources of the zone.
const SCRIPT: &str = r#"
    set -e
    mount -t tmpfs none /run
    mkdir -p /run/firewalld "$DIR/etc"
    cp -r /etc/firewalld/. "$DIR/etc" 2>/dev/null || true
    test ! -d /etc/firewalld || mount --bind "$DIR/etc" /etc/firewalld
    dbus-daemon --config-file="$DIR/bus.conf" --fork --print-pid > "$DIR/pid"
    firewalld --nofork --nopid > "$DIR/log" 2>&1 &
    trap 'kill $! $(cat "$DIR/pid")' EXIT
    tries=0
    until firewall-cmd --state > /dev/null 2>&1; do tries=$((tries + 1)); test $tries -lt 200; done
    sources() { firewall-cmd --zone=trusted --list-sources; }
    does() { if CNI_COMMAND=$1 "$BIN/firewall" < "$DIR/conf" > "$DIR/told"; then echo "$1"; else echo "$1 failed"; fi; }
    does ADD; sources
    does CHECK
    firewall-cmd --reload > /dev/null; sources
    does CHECK
    does LINKSPAN_RESTORE; sources
    does CHECK
    does DEL; sources
"#;

#[test]
fn what_a_reload_of_firewalld_forgets_is_told_and_put_back() {
    in_lab(LINKSPAN, |lab| {
        for tool in ["firewalld", "firewall-cmd", "dbus-daemon"] {
            if skip::without(tool).is_none() {
                return;
            }
        }
        let pod = Pod::on_bridge(lab, "pod", 1, &json!({ "backend": "firewalld" }));
        let conf = with(pod.conf.clone(), &json!({ "prevResult": pod.result }));
        fs::write(lab.dir().join("conf"), conf.to_string()).unwrap();
        let path = lab.dir().join("bus");
        fs::write(lab.dir().join("bus.conf"), bus_conf(&path)).unwrap();
        let call = Call::new(Path::new("/bin/sh"))
            .args(&["-c", SCRIPT])
            .of("pod", &pod.sandbox)
            .under(&["unshare", "-m"]);
        let call = at(&call, &format!("unix:path={}", path.display()))
            .env("DIR", lab.dir().to_str().unwrap())
            .env("BIN", lab.bin().to_str().unwrap())
            .env("CNI_PATH", lab.bin().to_str().unwrap());
        let told = call.run();
        let both = "10.1.0.2/32 fd00:1::2/128";
        let expected =
            format!("ADD\n{both}\nCHECK\n\nCHECK failed\nLINKSPAN_RESTORE\n{both}\nCHECK\nDEL\n\n");
        assert_eq!(told.succeeded(), expected, "{}", told.stderr);
    });
}

/// A bus at that path that permits everything.
fn bus_conf(path: &Path) -> String {
    format!(
        "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
         <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        path.display()
    )
}

fn refuses(lab: &Lab, pod: &Pod, bus: &str) {
    let newest = with(pod.conf.clone(), &json!({ "cniVersion": "1.1.0" }));
    let status = pod.alone(lab).conf(&newest);
    for (call, verb, code) in [(&pod.firewall(lab), "ADD", 999), (&status, "STATUS", 50)] {
        let told = at(call, bus).verb(verb).run().failed(code);
        assert!(told.contains("firewalld does not run"), "{told}");
    }
    // DEL without state changes nothing.
    at(&pod.firewall(lab), bus).del();
}
