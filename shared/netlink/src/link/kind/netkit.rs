//! Settings of a netkit pair.

use netlink_packet_route::link::{InfoNetkit, NetkitMode, NetkitPolicy};

/// Settings of a netkit pair, as one of its ends tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Netkit {
    /// Whether the pair carries frames (mode l2), as a veth pair does, and not bare packets (l3).
    pub has_frames: bool,
    /// Whether packets that leave by this end pass. A BPF program on the end may decide otherwise.
    pub passes: bool,
    /// The same for the other end.
    pub peer_passes: bool,
}

impl Netkit {
    /// A pair that does what a veth pair does.
    pub const OPEN: Self = Self {
        has_frames: true,
        passes: true,
        peer_passes: true,
    };

    pub(super) fn data(self) -> Vec<InfoNetkit> {
        let mode = if self.has_frames {
            NetkitMode::L2
        } else {
            NetkitMode::L3
        };
        let policy = |passes| {
            if passes {
                NetkitPolicy::Pass
            } else {
                NetkitPolicy::Drop
            }
        };
        vec![
            InfoNetkit::Mode(mode),
            InfoNetkit::Policy(policy(self.passes)),
            InfoNetkit::PeerPolicy(policy(self.peer_passes)),
        ]
    }

    pub(super) fn read(&mut self, told: Vec<InfoNetkit>) {
        for item in told {
            match item {
                InfoNetkit::Mode(mode) => self.has_frames = mode == NetkitMode::L2,
                InfoNetkit::Policy(policy) => self.passes = policy == NetkitPolicy::Pass,
                InfoNetkit::PeerPolicy(policy) => self.peer_passes = policy == NetkitPolicy::Pass,
                _ => {}
            }
        }
    }
}
