//! Settings of a macvlan.

use netlink_packet_route::link::{InfoMacVlan, MacVlanMode};

/// Settings of a macvlan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Macvlan {
    /// What the links on one parent see of each other.
    pub mode: MacvlanMode,
    /// How many broadcasts may wait; the kernel's default where absent. Linux 5.10 ignores it and does not tell it.
    pub broadcast_queue: Option<u32>,
}

/// What the macvlans on one parent see of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Each other, without the switch behind the parent.
    Bridge,
    /// Nothing.
    Private,
    /// Each other, if the switch behind the parent sends frames back.
    Vepa,
    /// There is one macvlan alone, which has the parent for itself.
    Passthru,
    /// What comes from a list of hardware addresses.
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

    /// Its name, as `ip link` has it.
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

    /// Of the kind's name alone.
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
