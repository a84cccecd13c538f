//! `macspoofchk` of `bridge`: with forged frames, and by the state in nf_tables.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod crowd;
mod elements;
mod lacking;
mod swap;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::frame::Wire;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::traffic;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A hardware address without an owner.
const FORGED: [u8; 6] = [2, 0xba, 0xad, 0, 0, 1];

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("bridge").of(id, sandbox);
    call.conf(&bridge(lab, over))
}

fn guarded() -> Value {
    json!({ "macspoofchk": true })
}

fn mac(sandbox: &Sandbox) -> [u8; 6] {
    let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap();
    eth0.unwrap().mac
}

/// The host's end, and the container's address as the result has it.
fn ends(result: &Value) -> (String, String) {
    let told = |at: usize, key: &str| result["interfaces"][at][key].as_str().unwrap().to_owned();
    (told(1, "name"), told(2, "mac"))
}

/// Sends a forged frame and then a real one. Frames stay in order, so the first arrival shows whether the forged one
/// passed.
fn lets_forged_through(from: &Sandbox, to: &Sandbox) -> bool {
    let (sender, receiver) = (Wire::at(&from.netns, "eth0"), Wire::at(&to.netns, "eth0"));
    sender.send(FORGED, None, b"forged");
    sender.send(mac(from), None, b"own");
    let first = receiver.receive();
    assert!(first == b"forged" || first == b"own", "{first:?}");
    first == b"forged"
}

#[test]
fn a_forged_frame_reaches_no_neighbour_and_an_own_one_does() {
    in_lab(LINKSPAN, |lab| {
        let (a, b, free) = (lab.sandbox(), lab.sandbox(), lab.sandbox());
        let chosen =
            json!({ "runtimeConfig": { "mac": "02:00:00:00:12:34" }, "macspoofchk": true });
        let results = [
            (call(lab, "a", &a, &guarded()).add(), &a),
            (call(lab, "b", &b, &chosen).add(), &b),
        ];
        call(lab, "free", &free, &json!({})).add();
        assert!(!lets_forged_through(&a, &b));
        assert!(!lets_forged_through(&b, &free));
        // Other ports are not affected.
        assert!(lets_forged_through(&free, &a));
        // ARP and neighbour discovery pass, and so do the packets after them.
        for (from, to, addresses) in [
            (&a.netns, &b.netns, ["10.1.0.3", "fd00:1::3"]),
            (&b.netns, &a.netns, ["10.1.0.2", "fd00:1::2"]),
            (&a.netns, lab.host(), ["10.1.0.1", "fd00:1::1"]),
            (lab.host(), &b.netns, ["10.1.0.3", "fd00:1::3"]),
        ] {
            for address in addresses {
                traffic::flows(from, to, address.parse().unwrap());
            }
        }
        for (id, (result, sandbox)) in ["a", "b"].into_iter().zip(&results) {
            call(lab, id, sandbox, &guarded()).check(result);
        }
    });
}

#[test]
fn a_container_that_takes_on_the_address_of_another_one_is_not_heard() {
    in_lab(LINKSPAN, |lab| {
        let (a, b, c) = (lab.sandbox(), lab.sandbox(), lab.sandbox());
        for (id, sandbox) in [("a", &a), ("b", &b), ("c", &c)] {
            call(lab, id, sandbox, &guarded()).add();
        }
        let (sender, receiver) = (Wire::at(&a.netns, "eth0"), Wire::at(&c.netns, "eth0"));
        let own = mac(&a);
        sender.send(mac(&b), None, b"as b");
        // The same inside a VLAN.
        sender.send(mac(&b), Some(7), b"as b in a VLAN");
        sender.send(own, None, b"own");
        assert_eq!(receiver.receive(), b"own");
        let eth0 = a.rtnl().link_by_name("eth0").unwrap().unwrap();
        eth0.set_mac(mac(&b)).unwrap();
        sender.send(mac(&b), None, b"as b, too");
        sender.send(own, None, b"own again");
        assert_eq!(receiver.receive(), b"own again");
    });
}
