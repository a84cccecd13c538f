//! Queueing disciplines of a link: the token bucket at its root, and what holds filters of packets that come in.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, Nla, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage, TcOption};

use crate::error::Error;
use crate::link::Link;
use crate::request::Attempt;

/// `TCA_TBF_PARMS` and `TCA_TBF_RATE64` of `linux/pkt_sched.h`.
const TBF_PARMS: u16 = 1;
const TBF_RATE64: u16 = 4;
/// `TC_LINKLAYER_ETHERNET`
const ETHERNET: u8 = 1;
/// Where a token bucket is, and what it is known by.
const BUCKET: TcHandle = TcHandle { major: 1, minor: 0 };
/// What `ingress` and `clsact` have in common.
const INCOMING: TcHandle = TcHandle {
    major: u16::MAX,
    minor: 0,
};

/// A discipline that a link has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// Its name, such as `tbf`.
    pub kind: String,
    /// What it is known by; 0 for one that the kernel has chosen.
    pub handle: u32,
    /// Its numbers, where it is a token bucket.
    pub bucket: Option<Bucket>,
}

/// A token bucket: packets leave at a rate, and bursts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes a second.
    pub rate: u64,
    /// How long a burst takes at that rate, in ticks of 64 nanoseconds.
    pub ticks: u32,
    /// How many bytes may wait.
    pub limit: u32,
}

impl Qdisc {
    /// Whether it is a token bucket as [`Link::add_bucket`] makes it.
    pub fn is_bucket(&self) -> bool {
        self.kind == "tbf" && self.handle == u32::from(BUCKET)
    }

    /// Of an answer; `None` where it is about something else.
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewQueueDiscipline(message) = answer else {
            return None;
        };
        let mut qdisc = Self {
            kind: String::new(),
            handle: message.header.handle.into(),
            bucket: None,
        };
        for attribute in message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => qdisc.kind = kind,
                TcAttribute::Options(options) if qdisc.kind == "tbf" => {
                    qdisc.bucket = options.iter().find_map(Bucket::of);
                }
                _ => {}
            }
        }
        Some(qdisc)
    }
}

impl Bucket {
    /// The attributes of a request that makes it.
    fn options(self) -> Vec<TcOption> {
        let low = u32::try_from(self.rate).unwrap_or(u32::MAX);
        let mut parms = Vec::new();
        // Twice a `struct tc_ratespec`: the rate, and the rate of bursts, which there is none of.
        parms.extend([0, ETHERNET, 0, 0, 0, 0, 0, 0]);
        parms.extend(low.to_ne_bytes());
        parms.extend([0; 12]);
        for number in [self.limit, self.ticks, 0] {
            parms.extend(number.to_ne_bytes());
        }
        let mut options = vec![DefaultNla::new(TBF_PARMS, parms)];
        if self.rate > u64::from(u32::MAX) {
            let rate = self.rate.to_ne_bytes().to_vec();
            options.push(DefaultNla::new(TBF_RATE64, rate));
        }
        options.into_iter().map(TcOption::Other).collect()
    }

    /// Reads the numbers of one that the kernel shows.
    fn of(option: &TcOption) -> Option<Self> {
        let TcOption::Other(nested) = option else {
            return None;
        };
        let mut bytes = vec![0; nested.value_len()];
        nested.emit_value(&mut bytes);
        let (mut bucket, mut rate64) = (None, None);
        for nla in NlasIterator::new(&*bytes).flatten() {
            match nla.kind() {
                TBF_PARMS => bucket = Self::of_parms(nla.value()),
                TBF_RATE64 => rate64 = nla.value().first_chunk().map(|n| u64::from_ne_bytes(*n)),
                _ => {}
            }
        }
        let bucket: Self = bucket?;
        let rate = rate64.unwrap_or(bucket.rate);
        Some(Self { rate, ..bucket })
    }

    fn of_parms(parms: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = parms.get(at..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        Some(Self {
            rate: number(8)?.into(),
            limit: number(24)?,
            ticks: number(28)?,
        })
    }
}

impl Link {
    /// The discipline at its root; none where packets are not queued.
    pub fn root_qdisc(&self) -> Result<Option<Qdisc>, Error> {
        self.qdisc(TcHandle::ROOT)
    }

    /// The discipline that holds filters of packets that come in: `ingress` or `clsact`.
    pub fn ingress_qdisc(&self) -> Result<Option<Qdisc>, Error> {
        self.qdisc(TcHandle::INGRESS)
    }

    fn qdisc(&self, parent: TcHandle) -> Result<Option<Qdisc>, Error> {
        let header = TcHeader {
            parent,
            ..self.tc_header()
        };
        let message = TcMessage::from_parts(header, Vec::new());
        let attempt = Attempt("look up qdisc of", &self.name);
        let request = RouteNetlinkMessage::GetQueueDiscipline(message);
        let found = self.rtnl.get_acknowledged(attempt, request)?;
        Ok(found.and_then(Qdisc::of))
    }

    /// Makes a token bucket its root; `EEXIST` where it has a root that somebody has made.
    pub fn add_bucket(&self, bucket: Bucket) -> Result<(), Error> {
        let options = TcAttribute::Options(bucket.options());
        self.add_qdisc((TcHandle::ROOT, BUCKET), "tbf", Some(options))
    }

    /// Makes it hold filters: of packets that come in, or of those that leave, too.
    pub fn add_filter_qdisc(&self, both_ways: bool) -> Result<(), Error> {
        let kind = if both_ways { "clsact" } else { "ingress" };
        self.add_qdisc((TcHandle::INGRESS, INCOMING), kind, None)
    }

    fn add_qdisc(
        &self,
        (parent, handle): (TcHandle, TcHandle),
        kind: &str,
        options: Option<TcAttribute>,
    ) -> Result<(), Error> {
        let header = TcHeader {
            parent,
            handle,
            ..self.tc_header()
        };
        let mut attributes = vec![TcAttribute::Kind(kind.to_owned())];
        attributes.extend(options);
        let message = TcMessage::from_parts(header, attributes);
        let request = RouteNetlinkMessage::NewQueueDiscipline(message);
        let object = format!("{kind} on {}", self.name);
        let attempt = Attempt("create qdisc", object);
        self.rtnl
            .change(attempt, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Removes the token bucket at its root.
    pub fn delete_bucket(&self) -> Result<(), Error> {
        self.delete_qdisc((TcHandle::ROOT, BUCKET))
    }

    /// Removes what holds its filters, and them with it.
    pub fn delete_filter_qdisc(&self) -> Result<(), Error> {
        self.delete_qdisc((TcHandle::INGRESS, INCOMING))
    }

    fn delete_qdisc(&self, (parent, handle): (TcHandle, TcHandle)) -> Result<(), Error> {
        let header = TcHeader {
            parent,
            handle,
            ..self.tc_header()
        };
        let message = TcMessage::from_parts(header, Vec::new());
        let request = RouteNetlinkMessage::DelQueueDiscipline(message);
        let attempt = Attempt("delete qdisc of", &self.name);
        self.rtnl.change(attempt, 0, request)
    }

    pub(crate) fn tc_header(&self) -> TcHeader {
        TcHeader {
            index: self.index.cast_signed(),
            ..TcHeader::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_as_it_is_written() {
        for rate in [1, 1_250_000, 50_000_000_000] {
            let bucket = Bucket {
                rate,
                ticks: 15_625_000,
                limit: 131_072,
            };
            let mut bytes = Vec::new();
            for option in bucket.options() {
                let mut nla = vec![0; 4 + option.value_len()];
                let len = u16::try_from(nla.len()).unwrap();
                nla[..2].copy_from_slice(&len.to_ne_bytes());
                nla[2..4].copy_from_slice(&option.kind().to_ne_bytes());
                option.emit_value(&mut nla[4..]);
                nla.resize(nla.len().next_multiple_of(4), 0);
                bytes.extend(nla);
            }
            let nested = TcOption::Other(DefaultNla::new(2, bytes));
            assert_eq!(Bucket::of(&nested), Some(bucket));
        }
    }
}
