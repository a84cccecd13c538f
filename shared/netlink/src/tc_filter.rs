//! Filters that redirect packets to another link, or let packets pass, by address.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption,
    TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcHeader, TcMessage,
    TcMirror, TcMirrorActionType, TcOption, TcU32Key, TcU32Selector, TcU32SelectorFlags,
};
use nix::errno::Errno;

use crate::error::Error;
use crate::link::Link;
use crate::request::Attempt;

/// `ETH_P_ALL`, `ETH_P_IP` and `ETH_P_IPV6` of `linux/if_ether.h`.
const ALL: u16 = 0x0003;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The class of packets that a passing filter matched. No real class has the number, so it identifies our filters.
const PASSED: TcHandle = TcHandle {
    major: 0x4c53,
    minor: 1,
};

/// The packets that a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Incoming packets, at the discipline `ingress`.
    Ingress,
    /// Incoming packets, at the discipline `clsact`.
    ClsactIngress,
    /// Outgoing packets, at the discipline `clsact`.
    ClsactEgress,
}

/// The packets that a filter matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// All packets.
    All,
    /// Packets from the network.
    From(IpAddr, u8),
    /// Packets to the network.
    To(IpAddr, u8),
}

/// A filter to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterSpec {
    /// The hook.
    pub hook: Hook,
    /// Priority. Filters of one priority must be of one family.
    pub priority: u16,
    /// The packets to match.
    pub packets: Match,
    /// The index of the link to redirect to; `None` lets packets pass.
    pub through: Option<u32>,
}

/// A filter of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Priority.
    pub priority: u16,
    /// The index of the link that packets are redirected to.
    pub through: Option<u32>,
    /// Whether it is our filter that lets packets pass.
    pub passes: bool,
}

impl Hook {
    fn parent(self) -> TcHandle {
        let minor = match self {
            Self::Ingress => 0,
            Self::ClsactIngress => TcHandle::MIN_INGRESS,
            Self::ClsactEgress => TcHandle::MIN_EGRESS,
        };
        TcHandle {
            major: u16::MAX,
            minor,
        }
    }
}

impl Match {
    fn protocol(self) -> u16 {
        match self {
            Self::All => ALL,
            Self::From(ip, _) | Self::To(ip, _) if ip.is_ipv4() => IPV4,
            Self::From(..) | Self::To(..) => IPV6,
        }
    }

    /// Words to compare, each with its offset in the packet's network header.
    fn keys(self) -> Vec<TcU32Key> {
        let (ip, prefix, offset) = match self {
            Self::All => return vec![key(0, 0, 0)],
            Self::From(ip, prefix) => (ip, prefix, if ip.is_ipv4() { 12 } else { 8 }),
            Self::To(ip, prefix) => (ip, prefix, if ip.is_ipv4() { 16 } else { 24 }),
        };
        let words = match ip {
            IpAddr::V4(ip) => vec![u32::from(ip)],
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                let word = |at: u32| u32::try_from(bits >> (96 - 32 * at) & 0xffff_ffff);
                (0..4).filter_map(|at| word(at).ok()).collect()
            }
        };
        let mut keys = Vec::new();
        let mut rest = u32::from(prefix);
        for (at, word) in (0..).zip(words) {
            let bits = rest.min(32);
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            keys.push(key(word & mask, mask, offset + 4 * at));
            rest -= bits;
        }
        keys
    }
}

fn key(val: u32, mask: u32, off: i32) -> TcU32Key {
    let mut key = TcU32Key::default();
    key.val = val;
    key.mask = mask;
    key.off = off;
    key
}

/// The header's info field: priority, and protocol in network byte order.
fn info(priority: u16, protocol: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(protocol.to_be())
}

impl FilterSpec {
    fn options(self) -> Vec<TcOption> {
        let mut selector = TcU32Selector::default();
        let keys = self.packets.keys();
        selector.flags = TcU32SelectorFlags::Terminal;
        selector.nkeys = u8::try_from(keys.len()).unwrap_or(u8::MAX);
        selector.keys = keys;
        let class = if self.through.is_some() {
            TcHandle { major: 1, minor: 1 }
        } else {
            PASSED
        };
        let mut options = vec![
            TcFilterU32Option::ClassId(class),
            TcFilterU32Option::Selector(selector),
        ];
        options.extend(
            self.through
                .map(|index| TcFilterU32Option::Action(vec![redirect(index)])),
        );
        options.into_iter().map(TcOption::U32).collect()
    }
}

/// The action that redirects a packet to a link.
fn redirect(index: u32) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = index;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(
            mirror,
        ))]),
    ];
    action
}

impl Filter {
    /// Decodes a reply. Returns `None` for any other message type.
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewTrafficFilter(message) = answer else {
            return None;
        };
        let mut filter = Self {
            priority: u16::try_from(message.header.info >> 16).unwrap_or(u16::MAX),
            through: None,
            passes: false,
        };
        for attribute in message.attributes {
            if let TcAttribute::Options(options) = attribute {
                for option in options {
                    filter.read(option);
                }
            }
        }
        Some(filter)
    }

    fn read(&mut self, option: TcOption) {
        match option {
            TcOption::U32(TcFilterU32Option::ClassId(class)) => self.passes = class == PASSED,
            TcOption::U32(TcFilterU32Option::Action(actions)) => {
                let mut attributes = actions.into_iter().flat_map(|action| action.attributes);
                self.through = attributes.find_map(target);
            }
            _ => {}
        }
    }
}

/// The link that an action redirects to.
fn target(attribute: TcActionAttribute) -> Option<u32> {
    let TcActionAttribute::Options(options) = attribute else {
        return None;
    };
    options.into_iter().find_map(|option| match option {
        TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) => Some(mirror.ifindex),
        _ => None,
    })
}

impl Link {
    /// The link's filters at `hook`; none if the link has no discipline there.
    pub fn filters(&self, hook: Hook) -> Result<Vec<Filter>, Error> {
        let header = TcHeader {
            parent: hook.parent(),
            ..self.tc_header()
        };
        let message = TcMessage::from_parts(header, Vec::new());
        let attempt = Attempt("list filters of", &self.name);
        let request = RouteNetlinkMessage::GetTrafficFilter(message);
        match self.rtnl.dump(attempt, &request) {
            Err(err) if err.is(Errno::ENODEV) || err.is(Errno::EINVAL) => Ok(Vec::new()),
            found => Ok(found?.into_iter().filter_map(Filter::of).collect()),
        }
    }

    /// Adds a filter.
    pub fn add_filter(&self, spec: FilterSpec) -> Result<(), Error> {
        let header = TcHeader {
            parent: spec.hook.parent(),
            info: info(spec.priority, spec.packets.protocol()),
            ..self.tc_header()
        };
        let attributes = vec![
            TcAttribute::Kind(TcFilterU32::KIND.to_owned()),
            TcAttribute::Options(spec.options()),
        ];
        let message = TcMessage::from_parts(header, attributes);
        let request = RouteNetlinkMessage::NewTrafficFilter(message);
        let attempt = Attempt("add filter of", &self.name);
        self.rtnl
            .change(attempt, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Removes the filters with this priority.
    pub fn delete_filters(&self, hook: Hook, priority: u16) -> Result<(), Error> {
        let header = TcHeader {
            parent: hook.parent(),
            info: info(priority, 0),
            ..self.tc_header()
        };
        let message = TcMessage::from_parts(header, Vec::new());
        let request = RouteNetlinkMessage::DelTrafficFilter(message);
        let attempt = Attempt("delete filters of", &self.name);
        match self.rtnl.change(attempt, 0, request) {
            Err(err) if err.is(Errno::ENOENT) => Ok(()),
            deleted => deleted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_compared_word_by_word() {
        let keys = |text: &str, prefix| {
            let keys = Match::To(text.parse().unwrap(), prefix).keys();
            let told = keys.iter().map(|key| (key.val, key.mask, key.off));
            told.collect::<Vec<_>>()
        };
        assert_eq!(keys("10.1.2.3", 16), [(0x0a01_0000, 0xffff_0000, 16)]);
        assert_eq!(keys("0.0.0.0", 0), [(0, 0, 16)]);
        let six = keys("fd00:1::9", 40);
        assert_eq!(six[0], (0xfd00_0001, u32::MAX, 24));
        assert_eq!(six[1], (0, 0xff00_0000, 28));
        assert_eq!(six[3], (0, 0, 36));
    }
}
