//! A device that host-device lends to a container returns with its settings. The Go suite's host-device moves it.

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_netlink::settings::Settings;
use serde_json::{Value, json};

use crate::{LINKSPAN, call, every, files};

/// The host has it, except while it is lent to a container.
const NIC: &str = "nic0";

fn on_host(lab: &Lab) -> Settings {
    let link = lab.rtnl().link_by_name(NIC).unwrap().unwrap();
    link.settings().unwrap().unwrap()
}

fn lend(lab: &Lab, sandbox: &Sandbox, id: &str) -> Option<Call> {
    let go = go_plugins("host-device")?;
    let conf =
        json!({ "cniVersion": "1.0.0", "name": "net", "type": "host-device", "device": NIC });
    Some(lab.foreign(go, "host-device").of(id, sandbox).conf(&conf))
}

/// A device of the host; `None` if it cannot be created.
fn nic(lab: &Lab) -> Option<Settings> {
    let ip = skip::without("ip")?;
    let run = Call::new(&ip)
        .args(&["link", "add", NIC, "mtu", "1480", "type", "dummy"])
        .run();
    if run.status != 0 {
        skip::tell("the kernel has no dummy links");
        return None;
    }
    Some(on_host(lab))
}

#[test]
fn it_comes_home_as_it_was_in_either_order_of_del() {
    in_lab(LINKSPAN, |lab| {
        let Some(before) = nic(lab) else { return };
        for (tuning_first, with_netns) in [(true, true), (false, true), (false, false)] {
            let sandbox = lab.sandbox();
            let Some(lender) = lend(lab, &sandbox, "pod") else {
                return;
            };
            let previous = lender.add();
            let tuning = call(lab, &sandbox, &previous, &every());
            let result = tuning.add();
            tuning.check(&result);
            let del = || {
                if with_netns {
                    tuning.del();
                } else {
                    tuning.clone().netns("").del();
                }
            };
            if tuning_first {
                del();
                lender.after(&result).del();
            } else {
                lender.after(&result).del();
                assert_ne!(on_host(lab), before);
                del();
            }
            assert_eq!(on_host(lab), before);
            assert_eq!(files(lab), [""; 0]);
        }
    });
}

#[test]
fn settings_that_somebody_has_changed_since_stay() {
    in_lab(LINKSPAN, |lab| {
        let Some(before) = nic(lab) else { return };
        let sandbox = lab.sandbox();
        let Some(lender) = lend(lab, &sandbox, "pod") else {
            return;
        };
        let previous = lender.add();
        let tuning = call(lab, &sandbox, &previous, &every());
        let result: Value = tuning.add();
        lender.after(&result).del();
        lab.rtnl()
            .link_by_name(NIC)
            .unwrap()
            .unwrap()
            .set_mtu(1300)
            .unwrap();
        tuning.del();
        assert_eq!(
            on_host(lab),
            Settings {
                mtu: 1300,
                ..before
            }
        );
    });
}

#[test]
fn the_next_container_gives_back_what_one_without_a_del_had_changed() {
    in_lab(LINKSPAN, |lab| {
        let Some(before) = nic(lab) else { return };
        let sandbox = lab.sandbox();
        let Some(lender) = lend(lab, &sandbox, "dead") else {
            return;
        };
        let previous = lender.add();
        call(lab, &sandbox, &previous, &every())
            .env("CNI_CONTAINERID", "dead")
            .add();
        // The kernel returns hardware after its container's end; a dummy must be taken back.
        lender.after(&previous).del();
        drop(sandbox);
        assert_ne!(on_host(lab), before);
        let sandbox = lab.sandbox();
        let Some(lender) = lend(lab, &sandbox, "pod") else {
            return;
        };
        let previous = lender.add();
        let tuning = call(
            lab,
            &sandbox,
            &previous,
            &json!({ "mtu": 1400, "mac": "02:00:00:00:00:07" }),
        );
        let result = tuning.add();
        assert_eq!(files(lab), ["net:pod:eth0", "pod_eth0.json"]);
        tuning.del();
        lender.after(&result).del();
        assert_eq!(on_host(lab), before);
    });
}
