//! Runs of consecutive addresses, as numbers: IPv4 addresses by their place among the IPv4-mapped ones. Pure.

use std::fmt;
use std::net::IpAddr;

use linkspan_protocol::addr::{address, number};

/// Addresses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Span {
    pub(crate) fn new(first: IpAddr, last: IpAddr) -> Self {
        Self {
            first: number(first),
            last: number(last),
        }
    }

    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        let ip = number(ip);
        self.first <= ip && ip <= self.last
    }

    /// The number of addresses, capped at the largest number of the type.
    pub(crate) fn len(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// The rest of it without `hole`, in order.
    pub(crate) fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let before = hole.first.checked_sub(1).map(|last| Self {
            first: self.first,
            last: last.min(self.last),
        });
        let after = hole.last.checked_add(1).map(|first| Self {
            first: first.max(self.first),
            last: self.last,
        });
        let parts = before.into_iter().chain(after);
        parts.filter(|part| part.first <= part.last)
    }

    /// The part up to `ip`, and the part after it.
    pub(crate) fn split_after(self, ip: IpAddr) -> (Option<Self>, Option<Self>) {
        let at = number(ip);
        if at < self.first {
            return (None, Some(self));
        }
        let upto = Self {
            last: self.last.min(at),
            ..self
        };
        let after = at.checked_add(1).filter(|first| *first <= self.last);
        (Some(upto), after.map(|first| Self { first, ..self }))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", address(self.first), address(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u128, last: u128) -> Span {
        Span { first, last }
    }

    #[test]
    fn holes() {
        let cut = |hole| span(10, 20).without(hole).collect::<Vec<_>>();
        assert_eq!(cut(span(12, 14)), [span(10, 11), span(15, 20)]);
        assert_eq!(cut(span(0, 10)), [span(11, 20)]);
        assert_eq!(cut(span(20, u128::MAX)), [span(10, 19)]);
        assert_eq!(cut(span(0, 30)), []);
        assert_eq!(cut(span(0, 9)), [span(10, 20)]);
        assert_eq!(cut(span(21, 22)), [span(10, 20)]);
    }

    #[test]
    fn splits_and_numbers() {
        let ten = |n: u8| IpAddr::from([10, 0, 0, n]);
        let net = Span::new(ten(2), ten(6));
        let part = |a, b| Some(Span::new(ten(a), ten(b)));
        assert_eq!(net.split_after(ten(1)), (None, Some(net)));
        assert_eq!(net.split_after(ten(2)), (part(2, 2), part(3, 6)));
        assert_eq!(net.split_after(ten(6)), (Some(net), None));
        assert_eq!(net.to_string(), "10.0.0.2-10.0.0.6");
        assert_eq!(net.len(), 5);
        let six: IpAddr = "fd00::5".parse().unwrap();
        assert_eq!(address(number(six)), six);
    }
}
