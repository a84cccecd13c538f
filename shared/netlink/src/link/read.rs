//! Decoding of a link.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoPortData, LinkAttribute, LinkFlags, LinkInfo,
    State,
};

use super::{Filtering, Kind, Link};
use crate::routing::Routing;
use crate::rtnl::Rtnl;

impl Link {
    /// Decodes a reply that came over `rtnl`. Returns `None` for any other message type.
    pub fn of(rtnl: &Rtnl, answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else {
            return None;
        };
        let mut link = Self {
            rtnl: rtnl.clone(),
            index: message.header.index,
            name: String::new(),
            mac: [0; 6],
            mtu: 0,
            kind: Kind::None,
            alias: String::new(),
            group: 0,
            controller: None,
            peer_index: None,
            peer_netns: None,
            up: message.header.flags.contains(LinkFlags::Up),
            oper_up: false,
            oper_state: String::new(),
            promiscuity: 0,
            hairpin: None,
            isolated: None,
            filtering: None,
            forwarding: None,
            routing: Routing::default(),
        };
        for attribute in message.attributes {
            link.read(attribute);
        }
        Some(link)
    }

    fn read(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::Address(mac) => self.mac = mac.try_into().unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::IfAlias(alias) => self.alias = alias,
            LinkAttribute::Group(group) => self.group = group,
            LinkAttribute::Controller(index) => self.controller = Some(index),
            LinkAttribute::Link(index) => self.peer_index = Some(index),
            LinkAttribute::LinkNetNsId(number) => self.peer_netns = Some(number),
            LinkAttribute::Promiscuity(count) => self.promiscuity = count,
            LinkAttribute::OperState(state) => {
                self.oper_up = state == State::Up;
                self.oper_state = format!("{state:?}").to_lowercase();
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    self.read_info(info);
                }
            }
            LinkAttribute::AfSpecUnspec(families) => self.routing = Routing::of(families),
            _ => {}
        }
    }

    fn read_info(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Kind::of(&kind),
            LinkInfo::Data(InfoData::Bridge(told)) => self.filtering = Filtering::of(&told),
            LinkInfo::Data(data) => self.kind.read(data),
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                for setting in port {
                    match setting {
                        InfoBridgePort::HairpinMode(on) => self.hairpin = Some(on),
                        InfoBridgePort::Isolated(on) => self.isolated = Some(on),
                        InfoBridgePort::State(state) => {
                            self.forwarding = Some(state == BridgePortState::Forwarding);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}
