//! Settings of an ipvlan.

use netlink_packet_route::link::{InfoIpVlan, IpVlanFlags, IpVlanMode};

/// Settings of an ipvlan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipvlan {
    /// How packets are forwarded.
    pub mode: IpvlanMode,
    /// The siblings that the link reaches.
    pub reach: IpvlanReach,
}

/// The way an ipvlan forwards packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    /// By frames, without routing in the parent's namespace.
    L2,
    /// By routes of the parent's namespace.
    L3,
    /// By routes, with the packet filter and connection tracking of the parent's namespace.
    L3s,
}

/// The siblings (ipvlans on the same parent) that an ipvlan reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpvlanReach {
    /// All siblings.
    #[default]
    Bridge,
    /// No sibling.
    Private,
    /// All siblings, if the switch behind the parent sends frames back.
    Vepa,
}

impl IpvlanMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::L2, Self::L3, Self::L3s];

    /// The mode's name in `ip link`.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }

    fn number(self) -> IpVlanMode {
        match self {
            Self::L2 => IpVlanMode::L2,
            Self::L3 => IpVlanMode::L3,
            Self::L3s => IpVlanMode::L3S,
        }
    }
}

impl IpvlanReach {
    const ALL: [Self; 3] = [Self::Bridge, Self::Private, Self::Vepa];

    fn flags(self) -> IpVlanFlags {
        match self {
            Self::Bridge => IpVlanFlags::empty(),
            Self::Private => IpVlanFlags::Private,
            Self::Vepa => IpVlanFlags::Vepa,
        }
    }
}

impl Ipvlan {
    pub(super) fn data(self) -> Vec<InfoIpVlan> {
        vec![
            InfoIpVlan::Mode(self.mode.number()),
            InfoIpVlan::Flags(self.reach.flags()),
        ]
    }

    /// The defaults, before the kernel's settings are read.
    pub(super) const UNTOLD: Self = Self {
        mode: IpvlanMode::L2,
        reach: IpvlanReach::Bridge,
    };

    pub(super) fn read(&mut self, told: Vec<InfoIpVlan>) {
        for item in told {
            self.read_one(&item);
        }
    }

    fn read_one(&mut self, item: &InfoIpVlan) {
        match item {
            InfoIpVlan::Mode(mode) => {
                let mut modes = IpvlanMode::ALL.into_iter();
                let known = modes.find(|known| known.number() == *mode);
                self.mode = known.unwrap_or(self.mode);
            }
            InfoIpVlan::Flags(flags) => {
                let mut reaches = IpvlanReach::ALL.into_iter();
                let known = reaches.find(|known| known.flags() == *flags);
                self.reach = known.unwrap_or(self.reach);
            }
            _ => {}
        }
    }
}
