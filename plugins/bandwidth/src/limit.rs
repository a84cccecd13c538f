//! A rate and a burst, and the kernel's numbers for them. Numbers have 64 bits or more, and none wraps.

use linkspan_netlink::qdisc::Bucket;
use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;

/// A second divided by a latency of 25 ms.
const PER_LATENCY: u64 = 40;
/// Two frames of the maximum size of segmentation offload.
const FRAMES: u64 = 128 << 10;
/// The maximum size of a queue.
const MOST: u64 = 64 << 20;
/// An Ethernet header with a VLAN tag.
const HEADER: u64 = 18;
/// A second divided by 4 ms, the timer's delay that must not cost rate. Tokens beyond a full bucket are lost, so a
/// bucket of a single frame passed 40 % of 1 Gbit/s.
const PER_DELAY: u64 = 250;
/// The kernel's tick in nanoseconds.
const TICK: u128 = 64;

/// The source of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The configuration. Its author has chosen the burst.
    Configuration,
    /// The runtime. It passes the largest burst that it knows.
    Runtime,
}

/// A rate and a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Bytes per second.
    rate: u64,
    /// Bytes.
    burst: u64,
    source: Source,
}

impl Limit {
    /// Converts from bits per second and bits; `None` if both are 0.
    pub(crate) fn new(rate: u64, burst: u64, source: Source) -> Result<Option<Self>> {
        let refuse = |text: &'static str, hint: &'static str| Err(Failure::config(text).hint(hint));
        match (rate, burst) {
            (0, 0) => return Ok(None),
            (0, _) => {
                return refuse(
                    "if burst is set, rate must also be set",
                    "set the rate in bits a second",
                );
            }
            (_, 0) => {
                return refuse(
                    "if rate is set, burst must also be set",
                    "set the burst in bits",
                );
            }
            _ => {}
        }
        if rate < 8 {
            return refuse(
                "the rate is less than a byte a second",
                "rates are in bits a second",
            );
        }
        let burst = burst / 8;
        if source == Source::Configuration && burst >= u64::from(u32::MAX) {
            return refuse("burst cannot be more than 4GB", "bursts are in bits");
        }
        Ok(Some(Self {
            rate: rate / 8,
            burst,
            source,
        }))
    }

    /// The bucket for a link with this MTU.
    pub(crate) fn bucket(self, mtu: u32) -> Bucket {
        let burst = match self.source {
            Source::Configuration => self.burst,
            // A bucket smaller than a frame would pass none.
            Source::Runtime => self
                .burst
                .max(u64::from(mtu) + HEADER + self.rate / PER_DELAY),
        };
        let exact = (u128::from(burst) * 1_000_000_000 / TICK).div_ceil(self.rate.into());
        // The Go plugin's value in whole microseconds, if it is at most a hundredth off.
        let coarse = u128::from(burst) * 1_000_000 / u128::from(self.rate) * 1000 / TICK;
        let ticks = if coarse * 100 >= exact * 99 {
            coarse
        } else {
            exact
        };
        let clamped = u32::try_from(ticks);
        let queue = self.rate / PER_LATENCY;
        let limit = match (self.source, clamped) {
            (Source::Configuration, Ok(_)) => queue + burst,
            _ => (queue + FRAMES).min(MOST),
        };
        Bucket {
            rate: self.rate,
            ticks: clamped.unwrap_or(u32::MAX),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        }
    }

    /// The Go plugin's bucket, whose numbers wrap.
    pub(crate) fn wrapped(self) -> Bucket {
        let micros = u128::from(self.burst) * 1_000_000 / u128::from(self.rate);
        let ticks = u128::from(low(micros)) * 1000 / TICK;
        let limit = u128::from(self.rate / PER_LATENCY) + u128::from(low(self.burst.into()));
        Bucket {
            rate: self.rate,
            ticks: low(ticks),
            limit: low(limit),
        }
    }
}

/// The lowest 32 bits.
fn low(number: u128) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u32 = 1500;

    fn bucket(rate: u64, burst: u64, source: Source) -> Bucket {
        Limit::new(rate, burst, source)
            .unwrap()
            .unwrap()
            .bucket(MTU)
    }

    #[test]
    fn the_go_plugins_numbers_are_kept_for_a_configuration() {
        for (rate, burst, bytes, ticks, limit) in [
            (8, 8, 1, 15_625_000, 1),
            (16, 8, 2, 7_812_500, 1),
            (8000, 80, 1000, 156_250, 35),
            (8000, 16000, 1000, 31_250_000, 2025),
        ] {
            let expected = Bucket {
                rate: bytes,
                ticks,
                limit,
            };
            assert_eq!(bucket(rate, burst, Source::Configuration), expected);
            let limit = Limit::new(rate, burst, Source::Configuration)
                .unwrap()
                .unwrap();
            assert_eq!(limit.wrapped(), expected);
        }
    }

    #[test]
    fn no_burst_of_a_runtime_wraps_and_no_queue_is_too_short_or_too_long() {
        let bursts = [
            1,
            (1 << 31) - 1,
            (1 << 32) - 1,
            8 * (1 << 32) - 9,
            8 * (1 << 32) - 8,
            u64::MAX,
        ];
        let rates = [
            8,
            64_000,
            500_000,
            1_000_000,
            10_000_000,
            100_000_000,
            1_000_000_000,
            400_000_000_000,
            u64::MAX,
        ];
        for (rate, burst) in rates
            .into_iter()
            .flat_map(|rate| bursts.map(|burst| (rate, burst)))
        {
            let made = bucket(rate, burst, Source::Runtime);
            let bytes = u128::from(made.rate) * u128::from(made.ticks) * TICK / 1_000_000_000;
            let least = u64::from(MTU) + HEADER + made.rate / PER_DELAY;
            let asked = u128::from((burst / 8).max(least));
            let most = u128::from(made.rate) * u128::from(u32::MAX) * TICK / 1_000_000_000;
            let expected = asked.min(most);
            // At the fastest rates, a tick is more bytes than a hundredth.
            let tick = u128::from(made.rate) * TICK / 1_000_000_000 + 1;
            let slack = (expected / 100).max(tick);
            assert!(
                bytes + slack >= expected && bytes <= expected + slack,
                "{rate} {burst}: {bytes}"
            );
            assert!(
                u64::from(made.limit) >= FRAMES && u64::from(made.limit) <= MOST,
                "{rate} {burst}"
            );
        }
    }

    #[test]
    fn a_configured_burst_that_has_to_be_clamped_makes_no_long_queue() {
        let made = bucket(1_000_000, (1 << 32) - 1, Source::Configuration);
        assert_eq!(
            (made.ticks, made.limit),
            (u32::MAX, 125_000 / 40 + (128 << 10))
        );
    }

    #[test]
    fn what_the_go_plugin_makes_of_the_runtimes_bursts_is_known() {
        let wrapped = |rate, burst| {
            let limit = Limit::new(rate, burst, Source::Runtime).unwrap().unwrap();
            limit.wrapped()
        };
        // CRI-O's at 1 and 10 Mbit/s: queues of 3,123 and 31,248 bytes.
        assert_eq!(wrapped(1_000_000, 34_359_738_359).limit, 3123);
        assert_eq!(wrapped(10_000_000, 34_359_738_359).limit, 31_248);
        // containerd's at 500 kbit/s: a burst of 10,737,417 bytes.
        let made = wrapped(500_000, 4_294_967_295);
        let bytes = made.rate * u64::from(made.ticks) * 64 / 1_000_000_000;
        assert_eq!(bytes, 10_737_417);
    }

    #[test]
    fn one_without_the_other_is_refused() {
        let text = |rate, burst, source| Limit::new(rate, burst, source).unwrap_err().message();
        let own = Source::Configuration;
        assert_eq!(text(0, 123, own), "if burst is set, rate must also be set");
        assert_eq!(text(123, 0, own), "if rate is set, burst must also be set");
        assert_eq!(text(8, 1 << 35, own), "burst cannot be more than 4GB");
        Limit::new(8, (1 << 35) - 16, own).unwrap().unwrap();
        assert_eq!(text(7, 8, own), "the rate is less than a byte a second");
        assert_eq!(Limit::new(0, 0, own).unwrap(), None);
    }
}
