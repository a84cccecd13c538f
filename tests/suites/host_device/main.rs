//! `host-device`: a device of the host is lent to a container and returned with its settings, from every state in
//! which DEL, GC or the next ADD may find it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod cards;
mod degraded;
mod heal;
mod lend;
mod network;
mod refusal;
mod swap;
mod sysfs;
mod taken;

use std::fs;
use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::settings::Settings;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A device of the host, and the other end of its wire.
const NIC: &str = "nic0";
const WIRE: &str = "wire0";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
/// Only the administrator has noted that.
const ALIAS: &str = "uplink of rack 7";

/// All settings that the device must have again at home.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    settings: Settings,
    up: bool,
    alias: String,
}

/// The device of that name on the host.
fn state(lab: &Lab, name: &str) -> Option<State> {
    let link = lab.rtnl().link_by_name(name).unwrap()?;
    Some(State {
        settings: link.settings().unwrap()?,
        up: link.up,
        alias: link.alias,
    })
}

/// A pair with one end as hardware; none of its settings is the kernel's default.
fn nic(lab: &Lab) -> State {
    pair(lab, NIC, WIRE, MAC);
    let nic = on_host(lab, NIC);
    nic.set_alias(ALIAS).unwrap();
    nic.receive_all(true).unwrap();
    nic.set_up().unwrap();
    let wire = on_host(lab, WIRE);
    for (ip, prefix) in [("10.1.0.1", 16), ("fd00:1::1", 64)] {
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        wire.add_addr(ip.parse().unwrap(), prefix, flags).unwrap();
    }
    wire.set_up().unwrap();
    state(lab, NIC).unwrap()
}

fn pair(lab: &Lab, name: &str, wire: &str, mac: [u8; 6]) {
    let near = LinkSpec {
        mac: Some(mac),
        mtu: Some(1480),
        ..LinkSpec::new(name, Kind::Veth)
    };
    let far = Peer::new(wire, lab.host().as_fd());
    lab.rtnl().create_pair(&near, &far).unwrap();
}

fn on_host(lab: &Lab, name: &str) -> Link {
    lab.rtnl().link_by_name(name).unwrap().unwrap()
}

fn within(sandbox: &Sandbox, name: &str) -> Option<Link> {
    sandbox.rtnl().link_by_name(name).unwrap()
}

fn conf(lab: &Lab, over: &Value) -> Value {
    let base = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "host-device",
        "device": NIC,
        "dataDir": memory(lab),
        "ipam": host_local(lab, &["10.1.0.0/16"]),
    });
    with(base, over)
}

/// A call for the container `id`, whose interface is called `net1`.
fn call(lab: &Lab, (id, sandbox): (&str, &Sandbox), over: &Value) -> Call {
    let call = lab.plugin("host-device").of(id, sandbox);
    call.env("CNI_IFNAME", "net1").conf(&conf(lab, over))
}

fn memory(lab: &Lab) -> String {
    lab.dir().join("host-device").display().to_string()
}

/// The files of the memory, by name.
fn files(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(memory(lab)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The device is at home in its former state, and no memory or lease is left.
fn is_at_home(lab: &Lab, before: &State) {
    assert_eq!(state(lab, NIC).as_ref(), Some(before));
    assert_eq!(files(lab), [""; 0]);
    assert_eq!(lab.leased("net"), [""; 0]);
}
