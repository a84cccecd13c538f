//! The configuration, and the plan made of it. Pure; each refusal is code 7, and one of `CNI_ARGS` code 4.

use linkspan_attach::creation;
use linkspan_attach::mac::{self, ArgsMac, RuntimeMac};
use linkspan_netlink::tap::Tap;
use linkspan_plugin::{Call, Result};
use linkspan_protocol::addr::MacAddr;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// Programs can open the device several times at once, each time for a separate queue.
    multi_queue: bool,
    /// MTU in bytes. Default: the kernel's
    mtu: i64,
    /// The MAC address of the interface. Default: a random one
    mac: String,
    /// The number of the user who may open the device. Default: only root
    owner: Option<u32>,
    /// The number of the group that may open the device. Default: none
    group: Option<u32>,
    /// A virtio header precedes each frame. Default: `true` if `owner` and `group` are set and `selinuxContext` is not
    vnet_hdr: Option<bool>,
    /// Four bytes of information precede each frame.
    packet_info: bool,
    /// A bridge of the container that gets the device as a port. Default: none
    bridge: String,
    /// The SELinux label for the device. Requires a host with SELinux enabled. Default: that of the plugin
    selinux_context: String,
    /// The capability `mac`, which comes before `MAC` of `CNI_ARGS` and before the key.
    runtime_config: RuntimeMac,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The device, without its name.
    pub(crate) tap: Tap,
    /// MTU in bytes; default: the kernel's.
    pub(crate) mtu: Option<u32>,
    /// MAC address; default: the kernel's choice.
    pub(crate) mac: Option<MacAddr>,
    /// The bridge of the container that gets the device; empty for none.
    pub(crate) bridge: String,
    /// The SELinux label; empty for none.
    pub(crate) label: String,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: &Conf) -> Result<Self> {
        let mac = mac::Asked {
            capability: &conf.runtime_config,
            args: &ArgsMac::default(),
            cni_args: &call.args,
            key: &conf.mac,
        };
        let mac = mac.first()?;
        // The reference has two ways of creating the device, and one of them sets the header.
        let by_request =
            conf.owner.is_some() && conf.group.is_some() && conf.selinux_context.is_empty();
        Ok(Self {
            tap: Tap {
                name: call.ifname().to_owned(),
                owner: conf.owner,
                group: conf.group,
                has_many_queues: conf.multi_queue,
                has_packet_info: conf.packet_info,
                has_vnet_header: conf.vnet_hdr.unwrap_or(by_request),
            },
            mtu: creation::mtu(conf.mtu)?,
            mac,
            bridge: conf.bridge.clone(),
            label: conf.selinux_context.clone(),
            layer3: !call.netconf.ipam.kind.is_empty(),
        })
    }
}
