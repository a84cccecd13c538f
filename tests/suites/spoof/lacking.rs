//! A kernel without nf_tables: strace makes its first socket fail.

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;

use crate::{LINKSPAN, call, guarded};

/// The verb on such a kernel. An undisturbed run finds the first socket to nf_tables.
fn without_nf_tables(lab: &Lab, call: &Call, verb: &str) -> Call {
    let file = lab.dir().join("sockets");
    let path = file.to_str().unwrap();
    let look = ["strace", "-qq", "-o", path, "-e", "trace=socket"];
    let call = call.clone().verb(verb);
    call.clone().under(&look).run().succeeded();
    let told = fs::read_to_string(&file).unwrap();
    let mut sockets = told.lines().filter(|line| line.starts_with("socket("));
    let first = sockets.position(|line| line.contains("NETLINK_NETFILTER"));
    let nth = first.unwrap() + 1;
    let refuse = format!("inject=socket:error=EPROTONOSUPPORT:when={nth}");
    call.under(&["strace", "-qq", "-o", path, "-e", &refuse])
}

#[test]
fn a_kernel_that_cannot_is_told_by_add_and_by_status_and_nothing_is_left() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("macspoofchk without nf_tables") {
            return;
        }
        let (first, sandbox) = (lab.sandbox(), lab.sandbox());
        call(lab, "first", &first, &guarded()).add();
        let pod = call(lab, "pod", &sandbox, &guarded());
        let add = without_nf_tables(lab, &pod, "ADD");
        pod.del();
        let status = without_nf_tables(lab, &pod, "STATUS");
        let before = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        for (refused, code) in [(add, 999), (status, 50)] {
            let told = refused.run().failed(code);
            assert!(
                told.contains("macspoofchk: this kernel has no nf_tables"),
                "{told}"
            );
            assert!(told.contains("CONFIG_NF_TABLES_BRIDGE"), "{told}");
            let after = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
            assert_eq!(after, before);
        }
    });
}
