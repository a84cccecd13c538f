//! An IPv4 lease, and the times of every lease.

use std::time::Duration;

use crate::clock::Moment;
use crate::wire::message::Message;
use crate::wire::option;

/// Duration of a lease without option 51, as in the reference.
const HOUR: Duration = Duration::from_secs(3600);
/// The lifetime of a lease without an end, in both families.
pub(crate) const FOREVER: u32 = u32::MAX;

/// When to renew, rebind and give up a lease. A lease without an end has no times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) t1: Moment,
    pub(crate) t2: Moment,
    pub(crate) expiry: Moment,
}

/// An IPv4 lease: the server's last answer, and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease4 {
    pub(crate) ack: Message,
    /// Hardware address of the server or the relay.
    pub(crate) server_mac: [u8; 6],
    pub(crate) obtained: Moment,
}

impl Lease4 {
    /// The lease's times; `None` for a lease without an end.
    pub(crate) fn times(&self) -> Option<Times> {
        let told = self.ack.seconds(option::LEASE);
        if told == Some(FOREVER) {
            return None;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let lease = told.map_or(HOUR, seconds);
        Some(Times::of(
            self.obtained,
            lease,
            self.ack.seconds(option::T1).map(seconds),
            self.ack.seconds(option::T2).map(seconds),
        ))
    }
}

impl Times {
    /// The times of a lease. Contradictory times from the server are replaced by the usual ones.
    pub(crate) fn of(
        obtained: Moment,
        lease: Duration,
        t1: Option<Duration>,
        t2: Option<Duration>,
    ) -> Self {
        let t2 = t2.filter(|t2| *t2 <= lease).unwrap_or(lease * 85 / 100);
        let t1 = t1.filter(|t1| *t1 <= t2).unwrap_or((lease / 2).min(t2));
        Self {
            t1: obtained.after(t1),
            t2: obtained.after(t2),
            expiry: obtained.after(lease),
        }
    }
}
