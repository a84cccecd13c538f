//! Networks of one directory, compared with each other and with the host: `linkspan validate` and `linkspan install`.

use std::fs;

use linkspan_harness::call::Output;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::world::beyond;
use serde_json::{Value, json};

use crate::{EXAMPLES, LINKSPAN, examples, linkspan, text};

/// The default network of Debian's podman.
const PODMAN: &str = "10.88.0.0/16";

fn list(lab: &Lab, name: &str, bridge_name: &str, subnet: &str) -> Value {
    let over = json!({ "bridge": bridge_name, "ipam": host_local(lab, &[subnet]) });
    json!({ "cniVersion": "1.1.0", "name": name, "plugins": [bridge(lab, &over)] })
}

fn write(lab: &Lab, file: &str, list: &Value) {
    let dir = lab.dir().join("net.d");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(file), list.to_string()).unwrap();
}

/// Judges a file of the directory.
fn judged(lab: &Lab, file: &str) -> Output {
    let dir = lab.dir().join("net.d");
    let args = [
        "validate",
        &*text(&dir.join(file)),
        "--net-dir",
        &*text(&dir),
    ];
    linkspan(lab, &args).run()
}

#[test]
fn the_examples_and_podman_are_not_in_each_others_way() {
    in_lab(LINKSPAN, |lab| {
        let podman = list(lab, "podman", "podman1", PODMAN);
        write(lab, "99-podman.conflist", &podman);
        let names = examples();
        for name in &names {
            let example = fs::read_to_string(format!("{EXAMPLES}/{name}")).unwrap();
            fs::write(lab.dir().join("net.d").join(name), example).unwrap();
        }
        for name in names {
            judged(lab, &name).succeeded();
        }
    });
}

#[test]
fn a_list_is_compared_with_the_others_and_with_the_routes_of_the_host() {
    in_lab(LINKSPAN, |lab| {
        let _world = beyond(lab);
        write(
            lab,
            "10-one.conflist",
            &list(lab, "one", "br1", "10.1.0.0/16"),
        );
        write(
            lab,
            "20-two.conflist",
            &list(lab, "two", "br2", "10.1.9.0/24"),
        );
        let told = judged(lab, "20-two.conflist");
        let between = "10.1.9.0/24 overlaps with the network one; give one of them another subnet";
        assert!(
            told.status == 1 && told.stdout.contains(between),
            "{}",
            told.stdout
        );
        write(
            lab,
            "20-two.conflist",
            &list(lab, "two", "br2", "10.2.0.0/16"),
        );
        judged(lab, "20-two.conflist").succeeded();
        let route = "192.0.2.128/25 overlaps with the host's route to 192.0.2.0/24 by up0";
        let other = list(lab, "two", "br2", "192.0.2.128/25");
        write(lab, "20-two.conflist", &other);
        let told = judged(lab, "20-two.conflist");
        assert!(
            told.status == 1 && told.stdout.contains(route),
            "{}",
            told.stdout
        );

        // Elsewhere it may be meant for another host.
        let file = lab.dir().join("20-two.conflist");
        fs::write(&file, other.to_string()).unwrap();
        let net_dir = text(&lab.dir().join("net.d"));
        let file = text(&file);
        linkspan(lab, &["validate", &file, "--net-dir", &net_dir])
            .run()
            .succeeded();
        let bin = text(&lab.dir().join("node"));
        let install = [
            "install",
            "-p",
            &bin,
            "--conflist",
            &file,
            "--net-dir",
            &net_dir,
        ];
        let told = linkspan(lab, &install).run();
        assert!(
            told.status == 1 && told.stderr.contains(route),
            "{}",
            told.stderr
        );
        assert!(!lab.dir().join("node").exists());
    });
}

#[test]
fn a_network_that_lives_already_is_installed_again() {
    in_lab(LINKSPAN, |lab| {
        let list = list(lab, "one", "br1", "10.1.0.0/16");
        write(lab, "10-one.conflist", &list);
        let sandbox = lab.sandbox();
        let net_dir = text(&lab.dir().join("net.d"));
        let plugin = with(list["plugins"][0].clone(), &json!({ "name": "one" }));
        lab.plugin("bridge").of("c1", &sandbox).conf(&plugin).add();
        judged(lab, "10-one.conflist").succeeded();
        let (bin, file) = (
            text(&lab.dir().join("node")),
            format!("{net_dir}/10-one.conflist"),
        );
        let install = [
            "install",
            "-p",
            &bin,
            "--conflist",
            &file,
            "--net-dir",
            &net_dir,
        ];
        linkspan(lab, &install).run().succeeded();
    });
}
