//! The Go suite's chains, which it makes with `nft`: our CHECK reads them, and our DEL removes them.

use linkspan_filter::table::BRIDGE_TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::table::{elements_in, everything, netfilter};
use linkspan_nftables::Batch;
use linkspan_nftables::ruleset::{Table, TableFamily};
use serde_json::json;

use crate::{LINKSPAN, call, guarded, lets_forged_through};

const NAT: Table = Table {
    family: TableFamily::Bridge,
    name: "nat",
};

/// A call of the Go plugin; `None` where it or `nft` is missing.
fn theirs(lab: &Lab, id: &str, sandbox: &Sandbox) -> Option<Call> {
    let go = go_plugins("macspoofchk")?;
    skip::without("nft")?;
    let mut conf = bridge(lab, &guarded());
    conf["cniVersion"] = json!("1.0.0");
    Some(lab.foreign(go, "bridge").of(id, sandbox).conf(&conf))
}

fn chains(lab: &Lab) -> Vec<String> {
    let mut chains = netfilter(lab).chains(NAT).unwrap();
    chains.sort();
    chains
}

#[test]
fn what_the_go_suite_made_is_checked_and_removed() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let (Some(first), Some(second)) = (theirs(lab, "a", &a), theirs(lab, "b", &b)) else {
            return;
        };
        let (result, kept) = (first.add(), second.add());
        let before = chains(lab);
        assert_eq!(before.len(), 5, "{before:?}");
        let ours = call(lab, "a", &a, &guarded());
        ours.check(&result);
        // DEL knows neither the namespace nor the result.
        ours.without("CNI_NETNS").del();
        let left = [
            "PREROUTING",
            "cni-br-iface-b-eth0",
            "cni-br-iface-b-eth0-mac",
        ];
        assert_eq!(chains(lab), left);
        assert_eq!(netfilter(lab).rules(NAT, "PREROUTING").unwrap().len(), 1);
        call(lab, "b", &b, &guarded()).check(&kept);
        // A missing rule is reported.
        let mut batch = Batch::default();
        batch.flush_chain(NAT, "cni-br-iface-b-eth0-mac");
        netfilter(lab).commit(batch).unwrap();
        let call = call(lab, "b", &b, &guarded());
        let told = call.after(&kept).verb("CHECK").run().failed(999);
        assert!(told.contains("cni-br-iface-b-eth0-mac"), "{told}");
        call.del();
        assert_eq!(chains(lab), ["PREROUTING"]);
    });
}

#[test]
fn what_we_made_is_checked_and_removed_by_the_go_suite_but_for_its_elements() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let Some(theirs) = theirs(lab, "a", &a) else {
            return;
        };
        let mut over = guarded();
        over["cniVersion"] = json!("1.0.0");
        let ours = call(lab, "a", &a, &over);
        let empty = everything(lab);
        let result = ours.add();
        theirs.check(&result);
        theirs.after(&result).del();
        assert_eq!(a.rtnl().links().unwrap().len(), 1);
        // They guard a name without a link. Our DEL and GC remove them.
        assert_eq!(elements_in(lab, BRIDGE_TABLE).len(), 2);
        ours.del();
        assert_eq!(elements_in(lab, BRIDGE_TABLE), [""; 0]);
        assert_ne!(everything(lab), empty);
        // And the Go suite attaches beside ours.
        let (_ours, _theirs) = (ours.add(), theirs.of("b", &b).add());
        assert!(!lets_forged_through(&a, &b));
        assert!(!lets_forged_through(&b, &a));
    });
}
