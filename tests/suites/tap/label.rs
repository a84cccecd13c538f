//! The SELinux label, on a kernel with SELinux enabled: `.ci/on 6.1 --append security=selinux -p linkspan --test tap
//! label`. Such a machine has no policy, and only the kernel's initial labels.

use std::fs;
use std::path::Path;

use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::{machine, skip};
use linkspan_netlink::link::Tun;
use serde_json::json;

use crate::{MAC, call, eth0, in_tap_lab, settings};

#[test]
fn a_process_with_the_label_makes_the_device() {
    machine::in_machine(|| {
        in_tap_lab(|lab| {
            if !machine::has_selinux() {
                return;
            }
            let own = fs::read_to_string("/proc/thread-self/attr/current").unwrap();
            let own = own.trim_end_matches(['\0', '\n']);
            let sandbox = lab.sandbox();
            let (host, inside) = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
            let over =
                json!({ "selinuxContext": own, "owner": 0, "group": 0, "mac": MAC, "mtu": 1400 });
            let labelled = call(lab, &sandbox, &over);
            labelled.clone().verb("STATUS").run().succeeded();
            let result = labelled.add();
            // With a label, the reference makes devices whose frames have no header.
            let asked = Tun {
                is_tap: true,
                owner: Some(0),
                group: Some(0),
                is_persistent: true,
                ..Tun::default()
            };
            assert_eq!(settings(&sandbox), asked);
            let link = eth0(&sandbox).unwrap();
            assert_eq!((link.mtu, link.mac), (1400, [2, 0, 0, 0, 0, 7]));
            labelled.check(&result);
            // The name is taken, as the other process reports.
            let again = labelled.clone().verb("ADD").run().failed(999);
            assert!(again.contains("\"eth0\" already exists"), "{again}");
            labelled.after(&result).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(Snapshot::of_host(lab), host);
            assert_eq!(lab.leased("net"), [""; 0]);
        });
    });
}

#[test]
fn a_label_that_the_kernel_refuses_leaves_nothing() {
    machine::in_machine(|| {
        in_tap_lab(|lab| {
            if Path::new("/sys/fs/selinux").exists() {
                skip::tell("a kernel that takes no label: this one may");
                return;
            }
            // Simulates a host with SELinux.
            machine::make_empty(Path::new("/sys"));
            fs::create_dir_all("/sys/fs/selinux").unwrap();
            fs::write("/sys/fs/selinux/enforce", "1").unwrap();
            let sandbox = lab.sandbox();
            let inside = Snapshot::of_sandbox(&sandbox);
            let refused = call(lab, &sandbox, &json!({ "selinuxContext": "a:b:c:s0" }));
            let told = refused.clone().verb("ADD").run().failed(999);
            assert!(told.contains("failed set socket label"), "{told}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(lab.leased("net"), [""; 0]);
            refused.del();
        });
    });
}
