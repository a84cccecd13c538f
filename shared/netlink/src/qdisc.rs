//! Queueing disciplines of a link: the token bucket at the root, and the holders of filters for incoming packets.

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
/// The handle of our token bucket.
const BUCKET: TcHandle = TcHandle { major: 1, minor: 0 };
/// The common handle of `ingress` and `clsact`.
const INCOMING: TcHandle = TcHandle {
    major: u16::MAX,
    minor: 0,
};

/// A queueing discipline of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// Its name, such as `tbf`.
    pub kind: String,
    /// Its handle; 0 for the kernel's default.
    pub handle: u32,
    /// The parameters of a token bucket.
    pub bucket: Option<Bucket>,
}

/// A token bucket: packets leave at a rate, bursts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes per second.
    pub rate: u64,
    /// Duration of a full burst at that rate, in ticks of 64 nanoseconds.
    pub ticks: u32,
    /// Maximum number of queued bytes.
    pub limit: u32,
}

impl Qdisc {
    /// Returns whether the discipline is a token bucket of [`Link::add_bucket`].
    pub fn is_bucket(&self) -> bool {
        self.kind == "tbf" && self.handle == u32::from(BUCKET)
    }

    /// Decodes a reply. Returns `None` for any other message type.
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
    /// The attributes of a request to create the bucket.
    fn options(self) -> Vec<TcOption> {
        let low = u32::try_from(self.rate).unwrap_or(u32::MAX);
        let mut parms = Vec::new();
        // `struct tc_ratespec` twice: the rate, then the peak rate, which is unset.
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

    /// Decodes the kernel's parameters.
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
    /// The discipline at the link's root; `None` if packets are not queued.
    pub fn root_qdisc(&self) -> Result<Option<Qdisc>, Error> {
        self.qdisc(TcHandle::ROOT)
    }

    /// The holder of filters for incoming packets: `ingress` or `clsact`.
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

    /// Adds a token bucket at the root. Returns `EEXIST` if the root has an explicit discipline.
    pub fn add_bucket(&self, bucket: Bucket) -> Result<(), Error> {
        let options = TcAttribute::Options(bucket.options());
        self.add_qdisc((TcHandle::ROOT, BUCKET), "tbf", Some(options))
    }

    /// Adds a holder of filters for incoming packets, and with `both_ways` for outgoing packets, too.
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

    /// Removes the token bucket at the root.
    pub fn delete_bucket(&self) -> Result<(), Error> {
        self.delete_qdisc((TcHandle::ROOT, BUCKET))
    }

    /// Removes the holder of filters, along with its filters.
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
