//! The configuration, and the plan made of it. Pure; each refusal is code 7, and one of `CNI_ARGS` code 4.

use linkspan_attach::creation;
use linkspan_netlink::tap::Tap;
use linkspan_plugin::{Call, Result};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::args;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// Programs can open the device several times at once, each time for a queue of its own.
    multi_queue: bool,
    /// Bytes. Default: the kernel's
    mtu: i64,
    /// The MAC address of the interface. Default: a random one
    mac: String,
    /// The number of the user who may open the device. Default: nobody but root
    owner: Option<u32>,
    /// The number of the group that may open the device. Default: none
    group: Option<u32>,
    /// A header of virtio is before each frame. Default: where `owner` and `group` are set and `selinuxContext` is not
    vnet_hdr: Option<bool>,
    /// Four bytes about it are before each frame.
    packet_info: bool,
    /// A bridge of the container that takes the device as a port. Default: none
    bridge: String,
    /// The label of SELinux for the device. It needs a host where SELinux is enabled. Default: that of the plugin
    selinux_context: String,
    /// The capability `mac`, which comes before `MAC` of `CNI_ARGS`, and that before the key.
    runtime_config: MacConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MacConf {
    /// The MAC address of the interface.
    mac: String,
}

/// The work, fully checked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The device, but for its name.
    pub(crate) tap: Tap,
    /// In bytes; the kernel's default where absent.
    pub(crate) mtu: Option<u32>,
    /// The kernel's choice where absent.
    pub(crate) mac: Option<MacAddr>,
    /// The bridge of the container that takes it; empty where none does.
    pub(crate) bridge: String,
    /// The label of SELinux; empty where none is asked for.
    pub(crate) label: String,
    /// Whether an IPAM plugin gives addresses.
    pub(crate) layer3: bool,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: &Conf) -> Result<Self> {
        let from_args = args::parse(&call.args, &["MAC"])?.into_iter().next_back();
        let from_args = from_args.map(|(_, mac)| mac).unwrap_or_default();
        // The reference makes the device by two ways, of which one has the header.
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
            mac: creation::mac(&[
                ("runtimeConfig.mac", &conf.runtime_config.mac),
                ("MAC of CNI_ARGS", &from_args),
                ("mac", &conf.mac),
            ])?,
            bridge: conf.bridge.clone(),
            label: conf.selinux_context.clone(),
            layer3: !call.netconf.ipam.kind.is_empty(),
        })
    }
}
