//! Names and symlinks that would redirect leases.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{good, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::trial::Trial;
use serde_json::{Value, json};

use crate::LINKSPAN;

const VERBS: [&str; 5] = ["ADD", "CHECK", "DEL", "GC", "STATUS"];

fn host_local(lab: &Lab, sandbox: &Sandbox, over: &Value) -> Call {
    let over = with(json!({ "cni.dev/valid-attachments": [] }), over);
    let conf = with(good(lab, "host-local"), &over);
    lab.plugin("host-local").of("pod", sandbox).conf(&conf)
}

/// The names below `dir`, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_link_in_place_of_a_store_is_not_followed() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let call = host_local(lab, &sandbox, &json!({}));
        let elsewhere = lab.dir().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let leases = lab.leases();
        for (place, verbs) in [
            ("net", &VERBS[..]),
            (".linkspan", &VERBS),
            (".linkspan/net", &VERBS),
            (".linkspan/net/index", &VERBS),
            // STATUS takes no lock.
            ("net/lock", &["ADD", "CHECK", "DEL", "GC"]),
        ] {
            call.add();
            let place = leases.join(place);
            let kept = lab.dir().join("kept");
            fs::rename(&place, &kept).unwrap();
            // To existing files, and to new ones that a careless open would create.
            for target in [&elsewhere, &elsewhere.join("new"), &kept] {
                symlink(target, &place).unwrap();
                for verb in verbs {
                    let code = if *verb == "STATUS" { 50 } else { 999 };
                    let told = call.clone().verb(verb).run().failed(code);
                    assert!(told.contains("a symbolic link in place"), "{verb}: {told}");
                }
                fs::remove_file(&place).unwrap();
            }
            fs::rename(&kept, &place).unwrap();
            assert_eq!(names(&elsewhere), [""; 0]);
            call.del();
        }
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}

#[test]
fn a_link_in_place_of_a_file_is_neither_written_through_nor_removed() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let call = host_local(lab, &sandbox, &json!({}));
        call.add();
        call.del();
        let precious = lab.dir().join("precious");
        fs::write(&precious, "pod\r\neth0").unwrap();
        let network = lab.leases().join("net");
        let last = network.join("last_reserved_ip.0");
        fs::remove_file(&last).unwrap();
        symlink(&precious, &last).unwrap();
        let told = call.clone().verb("ADD").run().failed(999);
        assert!(told.contains("a symbolic link in place"), "{told}");
        assert_eq!(lab.leased("net"), [""; 0]);
        fs::remove_file(&last).unwrap();
        // A symlink in place of a lease has no owner, and its address is taken.
        symlink(&precious, network.join("10.1.0.2")).unwrap();
        assert_eq!(call.add()["ips"][0]["address"], "10.1.0.3/16");
        call.del();
        call.clone().verb("GC").run().succeeded();
        assert_eq!(lab.leased("net"), ["10.1.0.2"]);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "pod\r\neth0");
    });
}

#[test]
fn the_administrators_own_link_to_the_leases_is_followed() {
    in_lab(LINKSPAN, |lab| {
        let elsewhere = lab.dir().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, lab.leases()).unwrap();
        let sandbox = lab.sandbox();
        let call = host_local(lab, &sandbox, &json!({}));
        call.clone().verb("STATUS").run().succeeded();
        call.add();
        assert_eq!(names(&elsewhere), [".linkspan", "net"]);
        call.del();
    });
}

#[test]
fn no_name_leads_out_of_the_data_directory() {
    let long = "x".repeat(300);
    let strange = [
        "..",
        ".",
        "a/b",
        "../net",
        "/etc",
        "a\0b",
        "\u{ff0e}\u{ff0e}",
        "n\u{e9}t",
        "-net",
        ".linkspan",
    ];
    in_lab(LINKSPAN, |lab| {
        fs::create_dir(lab.leases()).unwrap();
        let trial = Trial::new(lab);
        for verb in VERBS {
            for name in strange.iter().copied().chain([&*long]) {
                let over = json!({ "name": name, "cni.dev/valid-attachments": [] });
                let call = trial.call("host-local", verb, &over);
                trial.refused(&call, 7, "name");
            }
        }
        // No variable can hold a NUL.
        for id in strange.iter().filter(|id| !id.contains('\0')) {
            for verb in ["ADD", "CHECK", "DEL"] {
                let call = trial.call("host-local", verb, &json!({}));
                let call = call.env("CNI_CONTAINERID", id);
                trial.refused(&call, 4, "invalid characters in containerID");
            }
        }
        assert_eq!(names(&lab.leases()), [""; 0]);
        // A long id is not a path, and its lease is like any other.
        let sandbox = lab.sandbox();
        let call = host_local(lab, &sandbox, &json!({})).env("CNI_CONTAINERID", &long);
        call.add();
        call.del();
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}

#[test]
fn only_the_configuration_says_where_the_leases_are() {
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        let over = |dir: &str| {
            let ipam = good(lab, "host-local")["ipam"].clone();
            json!({ "ipam": with(ipam, &json!({ "dataDir": dir })) })
        };
        let call = trial.call("host-local", "ADD", &over("/tmp/a\0b"));
        trial.refused(&call, 7, "NUL");
        let file = lab.dir().join("file");
        fs::write(&file, "").unwrap();
        let call = trial.call("host-local", "ADD", &over(file.to_str().unwrap()));
        trial.refused(&call, 999, "ipam.dataDir must be a directory");
        // The path is used as configured, like every other path.
        let around = lab.leases().join("../around");
        fs::create_dir(lab.leases()).unwrap();
        let sandbox = lab.sandbox();
        let call = host_local(lab, &sandbox, &over(around.to_str().unwrap()));
        call.add();
        assert_eq!(names(&lab.dir().join("around")), [".linkspan", "net"]);
        assert_eq!(names(&lab.leases()), [""; 0]);
    });
}
