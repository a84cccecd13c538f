//! The search by the place on a bus, in a tree of test files instead of sysfs: PCI functions with all kinds of
//! drivers, auxiliary devices, and several devices at one place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::machine;
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::{LINKSPAN, MAC, NIC, State, WIRE, is_at_home, nic, on_host, within};

const SYSFS: &str = "/sys";
const DEVICES: &str = "/sys/devices/pci0000:00";
const PCI: &str = "0000:00:03.0";
const AUXILIARY: &str = "mlx5_core.sf.4";

/// A function of PCI, as the bus lists it.
fn function(address: &str, driver: Option<&str>) -> PathBuf {
    let dir = Path::new(DEVICES).join(address);
    on_bus("pci", address, &dir);
    if let Some(driver) = driver {
        symlink(
            format!("../../../bus/pci/drivers/{driver}"),
            dir.join("driver"),
        )
        .unwrap();
    }
    dir
}

fn on_bus(bus: &str, name: &str, dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let list = Path::new(SYSFS).join("bus").join(bus).join("devices");
    fs::create_dir_all(&list).unwrap();
    symlink(dir, list.join(name)).unwrap();
}

/// The entry of a link at its device.
fn entry(dir: &Path, link: &str, port: u32) {
    let dir = dir.join("net").join(link);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("dev_port"), format!("{port}\n")).unwrap();
}

/// Runs `body` with an empty tree, and [`NIC`] beside it.
fn with_tree(body: impl FnOnce(&Lab, &State) + Send) {
    machine::in_machine(|| {
        in_lab(LINKSPAN, |lab| {
            machine::make_empty(Path::new(SYSFS));
            body(lab, &nic(lab));
        });
    });
}

/// A call whose configuration names the device only by `over`.
fn call(lab: &Lab, sandbox: &Sandbox, over: &Value) -> Call {
    let over = with(json!({ "device": null }), over);
    crate::call(lab, ("pod", sandbox), &over)
}

/// The device is lent by `over`, and returned.
fn is_lent(lab: &Lab, before: &State, over: &Value) -> Value {
    let sandbox = lab.sandbox();
    let call = call(lab, &sandbox, over);
    let result = call.add();
    let link = within(&sandbox, "net1").unwrap();
    assert_eq!((&*link.alias, link.mac), (NIC, MAC), "{over}");
    call.check(&result);
    call.after(&result).del();
    is_at_home(lab, before);
    result
}

#[test]
fn a_device_is_found_by_its_function_and_the_result_names_that() {
    with_tree(|lab, before| {
        entry(&function(PCI, Some("e1000e")), NIC, 0);
        let by_config = json!({ "pciBusID": PCI });
        let result = is_lent(lab, before, &by_config);
        assert_eq!(result["interfaces"][0]["pciID"], PCI);
        let older = with(by_config.clone(), &json!({ "cniVersion": "1.0.0" }));
        let result = is_lent(lab, before, &older);
        assert_eq!(result["interfaces"][0]["pciID"], Value::Null);
        // The runtime's key takes precedence over the configuration's.
        let by_runtime =
            json!({ "pciBusID": "0000:00:09.0", "runtimeConfig": { "deviceID": PCI } });
        let result = is_lent(lab, before, &by_runtime);
        assert_eq!(result["interfaces"][0]["pciID"], PCI);
        let path = json!({ "kernelpath": format!("{DEVICES}/{PCI}") });
        let result = is_lent(lab, before, &path);
        assert_eq!(result["interfaces"][0]["pciID"], Value::Null);
        // The name takes precedence over all others.
        let named = with(by_runtime, &json!({ "device": NIC }));
        is_lent(lab, before, &named);
        // A function that has gone meanwhile does not matter.
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, &by_config);
        let result = call.add();
        fs::remove_dir_all(DEVICES).unwrap();
        call.after(&result).del();
        is_at_home(lab, before);
    });
}

#[test]
fn a_virtio_device_and_an_auxiliary_one_are_found() {
    with_tree(|lab, before| {
        let dir = function(PCI, Some("virtio-pci"));
        entry(&dir.join("virtio0"), NIC, 0);
        is_lent(lab, before, &json!({ "pciBusID": PCI }));
        let dir = Path::new(DEVICES).join("0000:00:04.0").join(AUXILIARY);
        on_bus("auxiliary", AUXILIARY, &dir);
        entry(&dir, NIC, 0);
        let by_runtime = json!({ "runtimeConfig": { "deviceID": AUXILIARY } });
        let result = is_lent(lab, before, &by_runtime);
        assert_eq!(result["interfaces"][0]["pciID"], Value::Null);
    });
}

#[test]
fn the_port_chooses_one_of_several_devices_of_a_function() {
    with_tree(|lab, before| {
        let dir = function(PCI, Some("mlx4_core"));
        entry(&dir, WIRE, 1);
        entry(&dir, NIC, 2);
        // The first by name.
        is_lent(lab, before, &json!({ "pciBusID": PCI }));
        is_lent(lab, before, &json!({ "pciBusID": PCI, "devPort": 2 }));
        let sandbox = lab.sandbox();
        let second = call(lab, &sandbox, &json!({ "pciBusID": PCI, "devPort": 1 }));
        second.add();
        assert_eq!(within(&sandbox, "net1").unwrap().alias, WIRE);
        second.del();
        let none = call(lab, &sandbox, &json!({ "pciBusID": PCI, "devPort": 3 }));
        let told = none.verb("ADD").run().failed(999);
        assert!(
            told.contains("has port 3") && told.contains("nic0, wire0"),
            "{told}"
        );
    });
}

#[test]
fn a_function_for_a_program_is_not_touched_and_gets_addresses_alone() {
    with_tree(|lab, before| {
        let host = Snapshot::of_host(lab);
        let drivers = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_vfio_pci"];
        for (number, driver) in drivers.into_iter().enumerate() {
            let address = format!("0000:01:0{number}.0");
            function(&address, Some(driver));
            is_for_a_program(lab, &json!({ "pciBusID": address }), &address);
        }
        // The configuration says so about a kernel driver.
        entry(&function(PCI, Some("mlx5_core")), NIC, 0);
        is_for_a_program(lab, &json!({ "pciBusID": PCI, "DPDKMode": true }), PCI);
        is_at_home(lab, before);
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

fn is_for_a_program(lab: &Lab, over: &Value, address: &str) {
    let sandbox = lab.sandbox();
    let inside = Snapshot::of_sandbox(&sandbox);
    let ipam = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) });
    let call = call(lab, &sandbox, &with(over.clone(), &ipam));
    let result = call.add();
    let told = json!({ "name": "net1", "sandbox": sandbox.path(), "pciID": address });
    assert_eq!(result["interfaces"], json!([told]), "{over}");
    assert_eq!(lab.leased("net").len(), 1, "{over}");
    assert_eq!(Snapshot::of_sandbox(&sandbox), inside, "{over}");
    call.check(&result);
    call.after(&result).del();
    assert_eq!(lab.leased("net"), [""; 0], "{over}");
}

#[test]
fn a_place_without_a_device_is_told_and_nothing_is_made() {
    with_tree(|lab, before| {
        function(PCI, None);
        function("0000:00:04.0", Some("e1000e"));
        fs::create_dir(function("0000:00:05.0", Some("e1000e")).join("net")).unwrap();
        let sandbox = lab.sandbox();
        for (over, code, parts) in [
            (
                json!({ "pciBusID": PCI }),
                999,
                ["error with host device", "bind a driver to it"],
            ),
            (
                json!({ "pciBusID": "0000:00:09.0" }),
                999,
                ["error with host device", "ls /sys/bus/pci/devices"],
            ),
            (
                json!({ "pciBusID": "0000:00:04.0" }),
                999,
                [
                    "failed to find host device",
                    "no net directory under pci device 0000:00:04.0",
                ],
            ),
            (
                json!({ "pciBusID": "0000:00:05.0" }),
                999,
                [
                    "failed to find network device in path",
                    "another container may have it",
                ],
            ),
            (
                json!({ "kernelpath": format!("{DEVICES}/none") }),
                999,
                ["failed to find host device", "failed to read directory"],
            ),
            (
                json!({ "runtimeConfig": { "deviceID": "none" } }),
                999,
                ["runtime config DeviceID none", "not found or unsupported"],
            ),
            (
                json!({ "kernelpath": format!("{DEVICES}/../../bus") }),
                7,
                ["must be absolute", "without \"..\""],
            ),
            (
                json!({ "pciBusID": "../devices" }),
                7,
                ["pciBusID", "not the name of a device"],
            ),
            (
                json!({ "runtimeConfig": { "deviceID": ".." } }),
                7,
                ["deviceID", "not the name of a device"],
            ),
        ] {
            let call = call(lab, &sandbox, &over);
            let told = call.clone().verb("ADD").run().failed(code);
            for part in parts {
                assert!(told.contains(part), "{part} is not in {told}");
            }
            call.del();
            is_at_home(lab, before);
        }
    });
}

#[test]
fn a_device_that_came_home_by_itself_is_healed_by_an_add_that_goes_by_its_function() {
    with_tree(|lab, before| {
        let dir = function(PCI, Some("e1000e"));
        entry(&dir, NIC, 0);
        let by_function = json!({ "pciBusID": PCI });
        let dead = lab.sandbox();
        let id = with(json!({ "device": null }), &by_function);
        crate::call(lab, ("dead", &dead), &id).add();
        // After its container's end, hardware comes back down, under its name there.
        let link = within(&dead, "net1").unwrap();
        link.move_to(std::os::fd::AsFd::as_fd(lab.host()), "net1")
            .unwrap();
        assert!(!on_host(lab, "net1").up);
        fs::rename(dir.join("net").join(NIC), dir.join("net/net1")).unwrap();
        is_at_home_after(lab, before, &by_function);
    });
}

fn is_at_home_after(lab: &Lab, before: &State, over: &Value) {
    let sandbox = lab.sandbox();
    let call = call(lab, &sandbox, over);
    let result = call.add();
    assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC);
    call.check(&result);
    call.after(&result).del();
    assert_eq!(crate::state(lab, NIC).as_ref(), Some(before));
    // The pool collects the dead one's lease.
    assert_eq!(crate::files(lab), [""; 0]);
}
