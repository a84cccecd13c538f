//! Every promise of CHECK, DEL from any state, and GC.

use std::fs;
use std::os::fd::AsFd;

use linkspan_harness::conf::with;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{MAC, call, conf, eth0, in_tap_lab};

/// A change of the interface by others.
type Change = fn(&Link);

#[test]
fn check_compares_every_promise() {
    in_tap_lab(|lab| {
        let changes: [(&str, Change); 5] = [
            ("state of \"eth0\"", |link| link.set_down().unwrap()),
            ("mtu of \"eth0\"", |link| link.set_mtu(1300).unwrap()),
            ("hardware address of \"eth0\"", |link| {
                link.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
            }),
            ("addresses of \"eth0\"", |link| {
                let first = link.addrs(Some(Family::V4)).unwrap().remove(0);
                link.del_addr(first.ip, first.prefix).unwrap();
            }),
            ("interface \"eth0\"", |link| link.delete().unwrap()),
        ];
        for (told, change) in changes {
            let sandbox = lab.sandbox();
            let call = call(lab, &sandbox, &json!({ "mtu": 1400, "mac": MAC }));
            let mut result = call.add();
            result["interfaces"][0]["mtu"] = json!(1400);
            call.check(&result);
            change(&eth0(&sandbox).unwrap());
            let failed = call.after(&result).verb("CHECK").run().failed(999);
            assert!(failed.contains(told), "{failed}");
            call.after(&result).del();
        }
        // Another device than the configured one.
        let sandbox = lab.sandbox();
        let made = call(lab, &sandbox, &json!({}));
        let result = made.add();
        for (key, value) in [
            ("multiQueue", json!(true)),
            ("vnetHdr", json!(true)),
            ("owner", json!(0)),
        ] {
            let other = call(lab, &sandbox, &json!({ key: value }));
            let failed = other.after(&result).verb("CHECK").run().failed(999);
            assert!(failed.contains(&format!("{key} of \"eth0\"")), "{failed}");
        }
        made.del();
        let rtnl = sandbox.rtnl();
        rtnl.create(&LinkSpec::new("eth0", Kind::Bridge)).unwrap();
        let result = with(result, &json!({ "ips": null }));
        let other = call(lab, &sandbox, &json!({ "ipam": null }));
        let failed = other.after(&result).verb("CHECK").run().failed(999);
        assert!(failed.contains("expected tun, found bridge"), "{failed}");
    });
}

#[test]
fn del_works_without_a_namespace_and_spares_what_is_anothers() {
    in_tap_lab(|lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, &json!({}));
        let result = call.add();
        // The path belongs to another container by now, whose interface has another tag.
        let other = lab.sandbox();
        let theirs = lab.plugin("tap").of("other", &other);
        theirs.conf(&conf(lab, &json!({}))).add();
        call.after(&result).netns(&other.path()).del();
        assert!(eth0(&other).is_some() && eth0(&sandbox).is_some());
        assert_eq!(lab.leased("net").len(), 2);
        call.clone().netns("").del();
        for gone in ["/nonexistent", "file"] {
            let path = lab.dir().join(gone);
            if gone == "file" {
                fs::write(&path, "").unwrap();
            }
            call.clone().netns(&path.to_string_lossy()).del();
        }
        // A device without a tag, like the Go plugin's, counts as the attachment's.
        eth0(&sandbox).unwrap().set_alias("").unwrap();
        call.del();
        assert!(eth0(&sandbox).is_none());
        let near = LinkSpec::new("peer", Kind::Veth);
        let far = Peer::new("eth0", sandbox.netns.as_fd());
        sandbox.rtnl().create_pair(&near, &far).unwrap();
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn gc_releases_the_addresses_of_the_dead() {
    in_tap_lab(|lab| {
        let (alive, dead) = (lab.sandbox(), lab.sandbox());
        for (id, sandbox) in [("alive", &alive), ("dead", &dead)] {
            let call = lab.plugin("tap").of(id, sandbox);
            call.conf(&conf(lab, &json!({}))).add();
        }
        drop(dead);
        let valid = json!([{ "containerID": "alive", "ifname": "eth0" }]);
        let gc = conf(lab, &json!({ "cni.dev/valid-attachments": valid }));
        lab.plugin("tap").verb("GC").conf(&gc).run().succeeded();
        assert_eq!(lab.leased("net").len(), 2);
        assert!(eth0(&alive).is_some());
    });
}
