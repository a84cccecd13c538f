//! Settings of a device of user space.

use netlink_packet_core::{Emitable, NlasIterator};
use netlink_packet_route::link::InfoTun;

/// Settings of a device of user space, as the kernel reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the kernel has a switch for each"
)]
pub struct Tun {
    /// Whether the device carries frames (tap) or packets (tun).
    pub is_tap: bool,
    /// The user who may open the device; default: any with `CAP_NET_ADMIN`.
    pub owner: Option<u32>,
    /// The group that may open the device.
    pub group: Option<u32>,
    /// Whether four bytes of information precede each packet.
    pub has_packet_info: bool,
    /// Whether a virtio header precedes each packet.
    pub has_vnet_header: bool,
    /// Whether the device persists when it is closed.
    pub is_persistent: bool,
    /// Whether the device can be opened several times at once.
    pub has_many_queues: bool,
}

impl Tun {
    pub(super) fn read(&mut self, told: Vec<InfoTun>) {
        for item in told {
            self.read_one(&item);
        }
    }

    /// Decodes the attributes from `IFLA_TUN_OWNER` on (`linux/if_link.h`), which the library passes on undecoded.
    fn read_one(&mut self, item: &InfoTun) {
        const OWNER: u16 = 1;
        const GROUP: u16 = 2;
        const TYPE: u16 = 3;
        const PACKET_INFO: u16 = 4;
        const VNET_HEADER: u16 = 5;
        const PERSISTENT: u16 = 6;
        const MANY_QUEUES: u16 = 7;
        /// `IFF_TAP` of `linux/if_tun.h`
        const TAP: u8 = 2;
        let mut bytes = vec![0; item.buffer_len()];
        item.emit(&mut bytes);
        let Some(Ok(attribute)) = NlasIterator::new(bytes.as_slice()).next() else {
            return;
        };
        let value = attribute.value();
        let is_on = value.first() == Some(&1);
        let number = || Some(u32::from_ne_bytes(value.try_into().ok()?));
        match attribute.kind() {
            OWNER => self.owner = number(),
            GROUP => self.group = number(),
            TYPE => self.is_tap = value.first() == Some(&TAP),
            PACKET_INFO => self.has_packet_info = is_on,
            VNET_HEADER => self.has_vnet_header = is_on,
            PERSISTENT => self.is_persistent = is_on,
            MANY_QUEUES => self.has_many_queues = is_on,
            _ => {}
        }
    }
}
