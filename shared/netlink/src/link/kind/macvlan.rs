//! Settings of a macvlan.

use netlink_packet_route::link::{InfoMacVlan, MacVlanMode};

/// Settings of a macvlan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Macvlan {
    /// The siblings that the link reaches.
    pub mode: MacvlanMode,
    /// Maximum number of queued broadcasts; default: the kernel's. Linux 5.10 ignores it and does not report it.
    pub broadcast_queue: Option<u32>,
}

/// The siblings (macvlans on the same parent) that a macvlan reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// All siblings, directly.
    Bridge,
    /// No sibling.
    Private,
    /// All siblings, if the switch behind the parent sends frames back.
    Vepa,
    /// The link has the parent to itself.
    Passthru,
    /// Stations on a list of hardware addresses.
    Source,
}

impl MacvlanMode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Bridge,
        Self::Private,
        Self::Vepa,
        Self::Passthru,
        Self::Source,
    ];

    /// The mode's name in `ip link`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Passthru => "passthru",
            Self::Source => "source",
        }
    }

    fn number(self) -> MacVlanMode {
        match self {
            Self::Bridge => MacVlanMode::Bridge,
            Self::Private => MacVlanMode::Private,
            Self::Vepa => MacVlanMode::Vepa,
            Self::Passthru => MacVlanMode::Passthrough,
            Self::Source => MacVlanMode::Source,
        }
    }
}

impl Macvlan {
    pub(super) fn data(self) -> Vec<InfoMacVlan> {
        let mut data = vec![InfoMacVlan::Mode(self.mode.number())];
        data.extend(self.broadcast_queue.map(InfoMacVlan::BcQueueLen));
        data
    }

    /// The defaults, before the kernel's settings are read.
    pub(super) const UNTOLD: Self = Self {
        mode: MacvlanMode::Bridge,
        broadcast_queue: None,
    };

    pub(super) fn read(&mut self, told: Vec<InfoMacVlan>) {
        for item in told {
            self.read_one(&item);
        }
    }

    fn read_one(&mut self, item: &InfoMacVlan) {
        match item {
            InfoMacVlan::Mode(mode) => {
                let mut modes = MacvlanMode::ALL.into_iter();
                let known = modes.find(|known| known.number() == *mode);
                self.mode = known.unwrap_or(self.mode);
            }
            InfoMacVlan::BcQueueLen(len) => self.broadcast_queue = Some(*len),
            _ => {}
        }
    }
}
