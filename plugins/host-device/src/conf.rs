//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::path::PathBuf;

use linkspan_attach::conflict::ConflictCheck;
use linkspan_owner::memory;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::Failure;
use serde::Deserialize;

use crate::network::Fate;
use crate::search::{Wanted, Way};

const DATA_DIR: &str = "/run/cni/host-device";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the keys of a configuration")]
pub(crate) struct Conf {
    /// The device by its name on the host.
    device: String,
    /// The device by its MAC address.
    hwaddr: String,
    /// The device by its path below `/sys/devices/`.
    kernelpath: String,
    /// The device by the address of its PCI function, such as `0000:00:03.0`.
    #[serde(rename = "pciBusID")]
    pci_bus_id: String,
    /// The PCI function is for a userspace driver: nothing is moved. Default: determined by its driver
    #[serde(rename = "DPDKMode")]
    dpdk_mode: bool,
    /// The port of a function with several ports. Default: the first by name
    #[serde(rename = "devPort")]
    dev_port: Option<u32>,
    /// The container gets the host's addresses, routes and rules of the device.
    #[serde(rename = "useInterfaceNetwork")]
    use_interface_network: bool,
    /// DEL restores the host's addresses and routes of the device.
    #[serde(rename = "restoreHostNetwork")]
    restore_host_network: bool,
    /// ADD asks the other stations for its addresses first, which takes 100 ms, and fails where one has such an address.
    #[serde(rename = "conflictCheck")]
    conflict_check: bool,
    /// Where the state of the device before ADD is kept for DEL. Default: `/run/cni/host-device`
    #[serde(rename = "dataDir")]
    data_dir: String,
    /// The capabilities that the runtime fills in.
    #[serde(rename = "runtimeConfig")]
    runtime_config: RuntimeConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeConf {
    /// The capability `deviceID`: a PCI address, in place of `pciBusID`, or the name of an auxiliary device.
    #[serde(rename = "deviceID")]
    device_id: String,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The device; absent while the runtime has not named it.
    pub(crate) wanted: Option<Wanted>,
    /// The treatment of the host's network on the device.
    pub(crate) fate: Fate,
    /// Whether ADD looks for other stations with its addresses.
    pub(crate) conflicts: ConflictCheck,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
    /// The directory of memories.
    pub(crate) dir: PathBuf,
}

impl Plan {
    pub(crate) fn new(netconf: &NetConf, conf: &Conf) -> Result<Self> {
        let way = way(conf)?;
        let by_runtime = netconf.capabilities.get("deviceID") == Some(&true);
        if way.is_none() && !by_runtime {
            return Err(unnamed());
        }
        Ok(Self {
            wanted: way.map(|way| Wanted {
                way,
                userspace: conf.dpdk_mode,
                port: conf.dev_port,
            }),
            fate: Fate {
                taken: conf.use_interface_network,
                put_back: conf.restore_host_network,
            },
            conflicts: ConflictCheck::of(conf.conflict_check),
            layer3: !netconf.ipam.kind.is_empty(),
            dir: data_dir(conf)?,
        })
    }
}

/// The failure if the configuration names no device.
pub(crate) fn unnamed() -> Failure {
    Failure::config(r#"specify either "device", "hwaddr", "kernelpath" or "pciBusID""#)
        .hint("or set \"capabilities\": {\"deviceID\": true}, and have the runtime give the device")
}

fn way(conf: &Conf) -> Result<Option<Way>> {
    Ok(Some(if !conf.device.is_empty() {
        Way::Name(conf.device.clone())
    } else if !conf.hwaddr.is_empty() {
        let mac = MacAddr::parse(&conf.hwaddr);
        Way::Mac(mac.ok().ok_or_else(|| unparsable(&conf.hwaddr))?)
    } else if !conf.kernelpath.is_empty() {
        Way::Path(kernel_path(&conf.kernelpath)?)
    } else if !conf.runtime_config.device_id.is_empty() {
        Way::Id(single("deviceID", &conf.runtime_config.device_id)?)
    } else if !conf.pci_bus_id.is_empty() {
        Way::Pci(single("pciBusID", &conf.pci_bus_id)?)
    } else {
        return Ok(None);
    }))
}

fn unparsable(mac: &str) -> Failure {
    Failure::config(format!(
        "failed to find host device: failed to parse MAC address {mac:?}"
    ))
    .hint("write hwaddr as 02:00:00:00:00:01")
}

/// A path below `/sys/devices`.
fn kernel_path(text: &str) -> Result<PathBuf> {
    const DEVICES: &str = "/sys/devices/";
    let climbs = text.split('/').any(|part| part == "..");
    if text.starts_with(DEVICES) && !climbs {
        return Ok(text.into());
    }
    Err(Failure::config(format!(
        "failed to find host device: kernel device path {text:?} must be absolute and begin with {DEVICES}, without \"..\""
    ))
    .hint("take it from: readlink -f /sys/class/net/NAME/device"))
}

/// The name of one entry of a directory.
fn single(key: &str, name: &str) -> Result<String> {
    if !name.contains('/') && !name.starts_with('.') {
        return Ok(name.to_owned());
    }
    Err(
        Failure::config(format!("{key} {name:?} is not the name of a device"))
            .hint("write a PCI address as 0000:00:03.0"),
    )
}

/// The directory of memories. An absolute path.
pub(crate) fn data_dir(conf: &Conf) -> Result<PathBuf> {
    memory::directory(&conf.data_dir, DATA_DIR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    fn plan(keys: &str) -> Result<Plan> {
        let json = Json::parse(format!("{{\"name\":\"n\"{keys}}}").as_bytes())?;
        Plan::new(&NetConf::decode(&json)?, &json.decode()?)
    }

    #[test]
    fn the_first_way_in_the_references_order_counts() {
        let keys = [
            (r#","device":"eth1""#, Way::Name("eth1".into())),
            (
                r#","hwaddr":"02:00:00:00:00:01""#,
                Way::Mac(MacAddr([2, 0, 0, 0, 0, 1])),
            ),
            (
                r#","kernelpath":"/sys/devices/pci0""#,
                Way::Path("/sys/devices/pci0".into()),
            ),
            (
                r#","runtimeConfig":{"deviceID":"mlx5_core.sf.4"}"#,
                Way::Id("mlx5_core.sf.4".into()),
            ),
            (
                r#","pciBusID":"0000:00:03.0""#,
                Way::Pci("0000:00:03.0".into()),
            ),
        ];
        for from in 0..keys.len() {
            let all: String = keys[from..].iter().map(|(keys, _)| *keys).collect();
            let wanted = plan(&all).unwrap().wanted.unwrap();
            assert_eq!(wanted.way, keys[from].1, "{all}");
        }
    }

    #[test]
    fn a_configuration_without_a_device_is_for_a_runtime_that_gives_one() {
        let told = plan("").unwrap_err().message();
        assert!(told.contains("specify either"), "{told}");
        let plan = plan(r#","capabilities":{"deviceID":true}"#).unwrap();
        assert!(plan.wanted.is_none() && !plan.layer3);
        assert_eq!(plan.dir, PathBuf::from(DATA_DIR));
    }

    #[test]
    fn no_name_leads_out_of_its_directory() {
        for (keys, named) in [
            (
                r#","kernelpath":"/sys/devices/../../etc""#,
                "must be absolute",
            ),
            (r#","kernelpath":"pci0""#, "must be absolute"),
            (r#","pciBusID":"../../../../etc""#, "pciBusID"),
            (r#","pciBusID":"..""#, "pciBusID"),
            (r#","runtimeConfig":{"deviceID":"a/b"}"#, "deviceID"),
            (r#","hwaddr":"02:00""#, "failed to parse MAC address"),
            (r#","device":"x","dataDir":"run""#, "dataDir"),
        ] {
            let told = plan(keys).unwrap_err().message();
            assert!(told.contains(named), "{told}");
        }
    }
}
