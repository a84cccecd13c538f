//! Any bytes as an answer of rtnetlink, split as our connection does it: message by message, without undecodable ones.

use std::cell::OnceCell;

use linkspan_netlink::addr::Addr;
use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Link, VLAN_IDS, port_vlans};
use linkspan_netlink::route::{Lookup, Route};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::rule::Rule;
use linkspan_netlink::stored::Stored;
use linkspan_protocol::family::Family;
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

thread_local! {
    /// A link belongs to a connection, which sends nothing here.
    static RTNL: OnceCell<Rtnl> = const { OnceCell::new() };
}

pub(crate) fn target(mut data: &[u8]) {
    while let Ok(header) = NetlinkBuffer::new_checked(data) {
        let len = (header.length() as usize).min(data.len());
        if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&data[..len]) {
            read(message.payload);
        }
        data = data.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn read(payload: NetlinkPayload<RouteNetlinkMessage>) {
    match payload {
        NetlinkPayload::InnerMessage(answer) => value(&answer),
        NetlinkPayload::Error(refused) => {
            let error = Error::refused("try", "it", &refused);
            assert!(error.to_string().starts_with("try it: "));
        }
        _ => {}
    }
}

fn value(answer: &RouteNetlinkMessage) {
    Addr::of(answer.clone());
    for family in Family::BOTH {
        drop(Route::of(answer.clone(), family));
        let _rule = Rule::of(answer.clone(), family);
        if let Some(route) = Stored::of(answer.clone(), family) {
            let moved = route.clone().in_table(1000);
            assert_eq!((moved.table(), moved.hops()), (1000, route.hops()));
        }
    }
    let _lookup = Lookup::of(answer.clone());
    if let Some((_, vlans)) = port_vlans(answer.clone()) {
        assert!(vlans.iter().all(|vlan| VLAN_IDS.contains(&vlan.id)));
    }
    RTNL.with(|rtnl| {
        let rtnl = rtnl.get_or_init(|| Rtnl::here().unwrap());
        drop(Link::of(rtnl, answer.clone()));
    });
}
