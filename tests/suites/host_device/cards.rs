//! Two cards of a test machine, on one wire: behaviour of hardware only, which outlives its container.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab_with_cards};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::Link;
use linkspan_netlink::watch::Watch;
use serde_json::{Value, json};

use crate::{ALIAS, LINKSPAN, State, files, on_host, pair, state, within};

const DRIVER: &str = "/sys/bus/pci/drivers/virtio-pci";

/// The gateway of the container, on the card that stays at home.
const GATEWAY: &str = "10.1.0.1";

/// The lent card, and its name on the host.
struct Card<'a> {
    lab: &'a Lab,
    address: &'a str,
    name: String,
    before: State,
}

impl Card<'_> {
    fn call(&self, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
        let mut by_function = json!({ "device": null, "pciBusID": self.address });
        by_function
            .as_object_mut()
            .unwrap()
            .extend(over.as_object().unwrap().clone());
        crate::call(self.lab, (id, sandbox), &by_function)
    }

    fn add(&self, id: &str, sandbox: &Sandbox) -> Call {
        let call = self.call(id, sandbox, &json!({}));
        let result = call.add();
        let link = within(sandbox, "net1").unwrap();
        assert_eq!((&*link.alias, link.up), (&*self.name, true));
        assert_eq!(result["interfaces"][0]["pciID"], self.address);
        call.check(&result);
        call.after(&result)
    }

    fn is_at_home(&self) {
        assert_eq!(state(self.lab, &self.name).as_ref(), Some(&self.before));
        assert_eq!(files(self.lab), [""; 0]);
        assert_eq!(self.lab.leased("net"), [""; 0]);
    }

    /// The end of a container, after which the kernel returns the card.
    fn dies(&self, sandbox: Sandbox) -> Link {
        let mut watch = Watch::open(None).unwrap();
        drop(sandbox);
        let rtnl = self.lab.rtnl();
        let is_home = || {
            Ok(rtnl
                .links()?
                .into_iter()
                .find(|link| link.alias == self.name))
        };
        watch
            .until(Duration::from_secs(60), is_home)
            .unwrap()
            .unwrap()
    }

    fn gc(&self) {
        let sandbox = self.lab.sandbox();
        let valid = json!({ "cni.dev/valid-attachments": [] });
        let gc = self.call("none", &sandbox, &valid).verb("GC");
        gc.without("CNI_NETNS").run().succeeded();
    }
}

/// The name of the link that a function has.
fn link_of(address: &str) -> Option<String> {
    let entries = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
    let dir = Path::new("/sys/bus/pci/devices").join(address);
    let mut links = entries(dir).flat_map(|entry| entries(entry.path().join("net")));
    links
        .next()
        .map(|link| link.file_name().into_string().unwrap())
}

#[test]
fn a_card_comes_home_however_its_container_ends() {
    in_lab_with_cards(LINKSPAN, |lab, cards| {
        Call::new(Path::new("modprobe"))
            .args(&["virtio_net"])
            .run()
            .succeeded();
        let [address, other] = cards else {
            panic!("{cards:?} are not two");
        };
        let wire = on_host(lab, &link_of(other).unwrap());
        let gateway: IpAddr = GATEWAY.parse().unwrap();
        wire.add_addr(gateway, 16, AddrFlags::default()).unwrap();
        wire.set_up().unwrap();
        let name = link_of(address).unwrap();
        let link = on_host(lab, &name);
        link.set_alias(ALIAS).unwrap();
        link.set_mtu(1400).unwrap();
        link.receive_all(true).unwrap();
        link.set_up().unwrap();
        let before = state(lab, &name).unwrap();
        let card = Card {
            lab,
            address,
            name,
            before,
        };
        lends(&card, gateway);
        heals(&card);
        heals_beside_its_name(&card);
        comes_home_without_a_driver(&card);
        heals_a_loan_of_the_reference(&card);
    });
}

fn lends(card: &Card<'_>, gateway: IpAddr) {
    let sandbox = card.lab.sandbox();
    let host = Snapshot::of_host(card.lab);
    let call = card.add("pod", &sandbox);
    traffic::flows(&sandbox.netns, card.lab.host(), gateway);
    let strict = card.call("next", &sandbox, &json!({ "strictStatus": true }));
    strict.verb("STATUS").run().failed(50);
    for _twice in 0..2 {
        call.del();
        card.is_at_home();
        assert_eq!(Snapshot::of_host(card.lab), host);
    }
    // DEL without the path, while the container lives.
    card.add("pod", &sandbox).netns("").del();
    card.is_at_home();
}

/// Killed and restarted: the next ADD restores the card's settings; so does GC, and so does a late DEL.
fn heals(card: &Card<'_>) {
    let dead = card.lab.sandbox();
    card.add("dead", &dead);
    within(&dead, "net1").unwrap().set_mtu(1300).unwrap();
    let link = card.dies(dead);
    assert_eq!((&*link.name, link.up, link.mtu), ("net1", false, 1300));
    let sandbox = card.lab.sandbox();
    let next = card.add("next", &sandbox);
    assert_eq!(within(&sandbox, "net1").unwrap().mtu, 1400);
    next.del();
    card.gc();
    card.is_at_home();

    let dead = card.lab.sandbox();
    card.add("dead", &dead);
    card.dies(dead);
    card.gc();
    card.is_at_home();

    let dead = card.lab.sandbox();
    let late = card.add("dead", &dead);
    card.dies(dead);
    late.del();
    card.is_at_home();
}

/// The kernel gives the card another name if the host has a link with its name in the container.
fn heals_beside_its_name(card: &Card<'_>) {
    pair(card.lab, "net1", "net1-far", [2, 0, 0, 0, 0, 9]);
    let dead = card.lab.sandbox();
    card.add("dead", &dead);
    let link = card.dies(dead);
    assert!(link.name.starts_with("dev"), "{link:?}");
    let sandbox = card.lab.sandbox();
    card.add("next", &sandbox).del();
    card.gc();
    card.is_at_home();
    on_host(card.lab, "net1").delete().unwrap();
}

/// The driver is unbound while the container has the card, and bound again.
fn comes_home_without_a_driver(card: &Card<'_>) {
    let sandbox = card.lab.sandbox();
    let call = card.add("pod", &sandbox);
    let drive = |file: &str| fs::write(Path::new(DRIVER).join(file), card.address).unwrap();
    drive("unbind");
    assert!(within(&sandbox, "net1").is_none());
    call.del();
    assert_eq!(card.lab.leased("net"), [""; 0]);
    let told = card
        .call("next", &sandbox, &json!({}))
        .verb("ADD")
        .run()
        .failed(999);
    assert!(told.contains("bind a driver to it"), "{told}");
    drive("bind");
    // It is new to the kernel.
    let link = on_host(card.lab, &card.name);
    assert_eq!((&*link.alias, link.up), ("", false));
    link.set_alias(ALIAS).unwrap();
    link.set_mtu(1400).unwrap();
    link.receive_all(true).unwrap();
    link.set_up().unwrap();
    card.is_at_home();
}

fn heals_a_loan_of_the_reference(card: &Card<'_>) {
    let Some(go) = go_plugins("host-device") else {
        return;
    };
    let dead = card.lab.sandbox();
    let mut conf = crate::conf(
        card.lab,
        &json!({ "cniVersion": "1.0.0", "pciBusID": card.address }),
    );
    conf.as_object_mut().unwrap().remove("device");
    let theirs = card.lab.foreign(go, "host-device").of("dead", &dead);
    theirs.env("CNI_IFNAME", "net1").conf(&conf).add();
    let link = card.dies(dead);
    assert_eq!((&*link.name, link.up), ("net1", false));
    let sandbox = card.lab.sandbox();
    card.add("next", &sandbox).del();
    // The reference notes only the name.
    let link = on_host(card.lab, &card.name);
    assert_eq!((&*link.alias, link.up), ("", false));
}
