//! Modes of files and directories, with every umask.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, PLUGINS, in_lab};
use serde_json::json;

use crate::LINKSPAN;

/// The usual one, the most open and the most careful.
const MASKS: [&str; 3] = ["022", "000", "077"];

fn masked(call: Call, mask: &str) -> Call {
    call.under(&["sh", "-c", &format!("umask {mask}; exec \"$0\" \"$@\"")])
}

/// Everything below `dir` except symlinks, with its mode; records are symlinks, whose mode means nothing.
fn modes(dir: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_symlink() {
            continue;
        }
        let name = path.strip_prefix(dir).unwrap().to_str().unwrap();
        found.insert(name.to_owned(), meta.mode() & 0o7777);
        if meta.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    found
}

fn told(modes: &BTreeMap<String, u32>) -> Vec<String> {
    let told = modes.iter().map(|(name, mode)| format!("{mode:o} {name}"));
    told.map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn leases_have_the_modes_of_the_reference_and_our_own_files_are_ours_alone() {
    in_lab(LINKSPAN, |lab| {
        for mask in MASKS {
            let sandbox = lab.sandbox();
            let call = lab.plugin("host-local").of("pod", &sandbox);
            let call = call.conf(&bridge(lab, &json!({ "type": "host-local" })));
            masked(call.clone().verb("ADD"), mask).run().succeeded();
            // Directories and lock as the reference, whose modes the umask narrows, too.
            let (open, lock) = if mask == "077" {
                (700, 700)
            } else {
                (755, 750)
            };
            let wanted = [
                format!("{open}"),
                "700 .linkspan".to_owned(),
                "700 .linkspan/net".to_owned(),
                "600 .linkspan/net/index".to_owned(),
                format!("{open} net"),
                "600 net/10.1.0.2".to_owned(),
                "600 net/fd00:1::2".to_owned(),
                "600 net/last_reserved_ip.0".to_owned(),
                "600 net/last_reserved_ip.1".to_owned(),
                format!("{lock} net/lock"),
            ];
            assert_eq!(told(&modes(&lab.leases())), wanted, "umask {mask}");
            call.del();
            fs::remove_dir_all(lab.leases()).unwrap();
        }
    });
}

#[test]
fn what_the_runtime_remembers_is_for_its_user_alone() {
    in_lab(LINKSPAN, |lab| {
        for mask in MASKS {
            let sandbox = lab.sandbox();
            let cache = lab.dir().join("cache");
            let conf = lab.dir().join("net.conflist");
            let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "loopback" }] });
            fs::write(&conf, list.to_string()).unwrap();
            let call = |verb| {
                let args = [
                    "--cache-dir",
                    cache.to_str().unwrap(),
                    verb,
                    conf.to_str().unwrap(),
                ];
                let bin = lab.bin();
                let call = lab
                    .linkspan(&args)
                    .args(&[&sandbox.path(), "--container-id", "c"]);
                masked(call.env("CNI_PATH", bin.to_str().unwrap()), mask)
            };
            call("add").run().succeeded();
            let wanted = [
                "700",
                "700 linkspan",
                "600 linkspan/net:c:eth0",
                "700 results",
                "600 results/net-c-eth0",
            ];
            assert_eq!(told(&modes(&cache)), wanted, "umask {mask}");
            call("del").run().succeeded();
            fs::remove_dir_all(&cache).unwrap();
        }
    });
}

fn install(lab: &Lab, dir: &Path) -> Call {
    // No variable redirects writes or copies.
    let elsewhere = lab.dir().join("elsewhere");
    let names = [
        "HOME",
        "TMPDIR",
        "CNI_PATH",
        "NETCONFPATH",
        "DESTDIR",
        "PREFIX",
        "PWD",
    ];
    let call = lab.linkspan(&["install", "-p", dir.to_str().unwrap()]);
    names.iter().fold(call, |call, name| {
        call.env(name, elsewhere.to_str().unwrap())
    })
}

#[test]
fn installed_plugins_have_one_mode_whatever_the_umask_and_the_environment_say() {
    in_lab(LINKSPAN, |lab| {
        for mask in MASKS {
            let root = lab.dir().join(format!("root-{mask}"));
            masked(install(lab, &root.join("opt/bin")), mask)
                .run()
                .succeeded();
            let made = modes(&root);
            assert_eq!(made.len(), 3 + PLUGINS.len() + 1, "{made:?}");
            assert!(made.values().all(|mode| *mode == 0o755), "{made:?}");
        }
        assert!(!lab.dir().join("elsewhere").exists());
    });
}

#[test]
fn install_puts_right_what_somebody_made_dangerous() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("bin-of-the-node");
        let install = || install(lab, &dir).run().succeeded().to_owned();
        install();
        for mode in [0o4755, 0o2755, 0o777, 0o644] {
            let copy = dir.join("linkspan");
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(install().lines().count(), PLUGINS.len() + 1);
            assert!(modes(&dir).values().all(|mode| *mode == 0o755), "{mode:o}");
        }
        // A symlink is replaced, and its target stays.
        let precious = lab.dir().join("precious");
        fs::write(&precious, "kept").unwrap();
        for name in ["linkspan", "bridge", ".bridge.new"] {
            let path = dir.join(name);
            drop(fs::remove_file(&path));
            symlink(&precious, &path).unwrap();
            fs::remove_file(dir.join("ptp")).unwrap();
            install();
            assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
            let links = fs::read_dir(&dir)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let links: Vec<_> = links.filter(|path| path.is_symlink()).collect();
            assert!(links.is_empty() || name == ".bridge.new", "{links:?}");
        }
    });
}
