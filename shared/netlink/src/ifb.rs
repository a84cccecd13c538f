//! Intermediate functional blocks: links that have a queue for packets which come in by another link.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo};

use crate::error::Error;
use crate::link::message;
use crate::request::Attempt;
use crate::rtnl::Rtnl;

/// A block to be made, down.
#[derive(Debug, Clone)]
pub struct IfbSpec {
    /// Name.
    pub name: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// The group that it is in until it is tagged.
    pub group: u32,
}

impl Rtnl {
    /// Makes a block without a queue of its own; `EEXIST` where any link has its name.
    pub fn create_ifb(&self, spec: &IfbSpec) -> Result<(), Error> {
        let attributes = vec![
            LinkAttribute::IfName(spec.name.clone()),
            LinkAttribute::Mtu(spec.mtu),
            LinkAttribute::TxQueueLen(0),
            LinkAttribute::Group(spec.group),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]),
        ];
        let request = RouteNetlinkMessage::NewLink(message(0, attributes));
        let attempt = Attempt("create ifb", &spec.name);
        self.change(attempt, NLM_F_CREATE | NLM_F_EXCL, request)
    }
}
