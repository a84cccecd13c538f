//! Settings of a link that are configured, found, or remembered. Other settings are absent.

use crate::kernel;
use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_netlink::settings::Settings;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use nix::errno::Errno;

/// Settings of a link, in the words of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuned {
    /// Hardware address.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Whether it receives every frame.
    pub promisc: Option<bool>,
    /// Whether it receives every multicast.
    pub allmulti: Option<bool>,
    /// Length of its transmit queue in packets.
    pub tx_q_len: Option<u32>,
}

impl Tuned {
    /// All settings of a link.
    pub fn of(settings: &Settings) -> Self {
        Self {
            mac: settings.mac,
            mtu: Some(settings.mtu),
            promisc: Some(settings.promiscuous),
            allmulti: Some(settings.all_multicast),
            tx_q_len: Some(settings.queue_length),
        }
    }

    /// Returns whether no setting is present.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings of `self` that `other` has, too.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            mac: self.mac.filter(|_| other.mac.is_some()),
            mtu: self.mtu.filter(|_| other.mtu.is_some()),
            promisc: self.promisc.filter(|_| other.promisc.is_some()),
            allmulti: self.allmulti.filter(|_| other.allmulti.is_some()),
            tx_q_len: self.tx_q_len.filter(|_| other.tx_q_len.is_some()),
        }
    }

    /// The settings of `self`, and those of `other` that `self` lacks.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            mac: self.mac.or(other.mac),
            mtu: self.mtu.or(other.mtu),
            promisc: self.promisc.or(other.promisc),
            allmulti: self.allmulti.or(other.allmulti),
            tx_q_len: self.tx_q_len.or(other.tx_q_len),
        }
    }

    /// The settings of `self` that are equal in `other`.
    #[must_use]
    pub fn agreed(self, other: Self) -> Self {
        Self {
            mac: self.mac.filter(|_| self.mac == other.mac),
            mtu: self.mtu.filter(|_| self.mtu == other.mtu),
            promisc: self.promisc.filter(|_| self.promisc == other.promisc),
            allmulti: self.allmulti.filter(|_| self.allmulti == other.allmulti),
            tx_q_len: self.tx_q_len.filter(|_| self.tx_q_len == other.tx_q_len),
        }
    }

    /// The settings of `self` that differ in `other`.
    #[must_use]
    pub fn unlike(self, other: Self) -> Self {
        Self {
            mac: self.mac.filter(|_| self.mac != other.mac),
            mtu: self.mtu.filter(|_| self.mtu != other.mtu),
            promisc: self.promisc.filter(|_| self.promisc != other.promisc),
            allmulti: self.allmulti.filter(|_| self.allmulti != other.allmulti),
            tx_q_len: self.tx_q_len.filter(|_| self.tx_q_len != other.tx_q_len),
        }
    }

    /// Applies the settings to the link, up to the first refusal.
    pub fn apply(self, link: &Link) -> Result<()> {
        let set = || -> std::result::Result<(), Error> {
            self.mac.map_or(Ok(()), |mac| link.set_mac(mac))?;
            self.promisc.map_or(Ok(()), |on| link.receive_all(on))?;
            self.mtu.map_or(Ok(()), |mtu| link.set_mtu(mtu))?;
            self.allmulti
                .map_or(Ok(()), |on| link.receive_all_multicast(on))?;
            self.tx_q_len
                .map_or(Ok(()), |packets| link.set_queue_length(packets))
        };
        set().map_err(kernel)
    }

    /// Restores the settings of the link, trying each one. A missing link is not an error. Returns the first failure.
    pub fn restore(self, link: &Link) -> Result<()> {
        let steps = [
            self.mtu.map(|mtu| link.set_mtu(mtu)),
            self.mac.map(|mac| link.set_mac(mac)),
            self.promisc.map(|on| link.receive_all(on)),
            self.allmulti.map(|on| link.receive_all_multicast(on)),
            self.tx_q_len.map(|packets| link.set_queue_length(packets)),
        ];
        let outcomes = steps.into_iter().flatten().map(|outcome| match outcome {
            Err(err) if err.is(Errno::ENODEV) => Ok(()),
            outcome => outcome.map_err(kernel),
        });
        let failed: Vec<_> = outcomes.filter_map(Result::err).collect();
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// The form in the memory: one line.
    pub fn text(&self) -> String {
        let switch = |on: bool| u8::from(on).to_string();
        let words = [
            self.mac.map(|mac| format!("mac={}", MacAddr(mac))),
            self.mtu.map(|mtu| format!("mtu={mtu}")),
            self.promisc.map(|on| format!("promisc={}", switch(on))),
            self.allmulti.map(|on| format!("allmulti={}", switch(on))),
            self.tx_q_len.map(|packets| format!("txqlen={packets}")),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Reads [`Tuned::text`]; malformed words are absent.
    pub fn parse(text: &str) -> Self {
        let mut tuned = Self::default();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("mac", mac)) => tuned.mac = MacAddr::parse(mac).ok().map(|mac| mac.0),
                Some(("mtu", mtu)) => tuned.mtu = mtu.parse().ok(),
                Some(("promisc", on)) => tuned.promisc = Some(on == "1"),
                Some(("allmulti", on)) => tuned.allmulti = Some(on == "1"),
                Some(("txqlen", packets)) => tuned.tx_q_len = packets.parse().ok(),
                _ => {}
            }
        }
        tuned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Tuned = Tuned {
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: Some(1400),
        promisc: Some(true),
        allmulti: None,
        tx_q_len: Some(0),
    };

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for tuned in [SOME, Tuned::default()] {
            assert_eq!(Tuned::parse(&tuned.text()), tuned);
        }
        assert_eq!(Tuned::parse("mtu=x later=1"), Tuned::default());
    }

    #[test]
    fn settings_are_chosen_one_by_one() {
        let other = Tuned {
            mtu: Some(1500),
            allmulti: Some(false),
            tx_q_len: Some(0),
            ..Tuned::default()
        };
        assert_eq!(SOME.within(other).text(), "mtu=1400 txqlen=0");
        assert_eq!(SOME.agreed(other).text(), "txqlen=0");
        assert_eq!(
            SOME.unlike(other).text(),
            "mac=02:00:00:00:00:01 mtu=1400 promisc=1"
        );
        assert_eq!(
            other.or(SOME).text(),
            "mac=02:00:00:00:00:01 mtu=1500 promisc=1 allmulti=0 txqlen=0"
        );
    }
}
