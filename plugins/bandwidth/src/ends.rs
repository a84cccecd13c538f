//! The two ends of the container's interface.

use linkspan_attach::{Side, Sides, kernel};
use linkspan_netlink::link::Link;
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

/// The host's end of the container's interface, which must be in the result.
pub(crate) fn on_host(sides: &Sides, ifname: &str, result: &AddResult) -> Result<Link> {
    if result.interfaces.is_empty() {
        return Err(Failure::config("no interfaces provided")
            .hint("put bandwidth after an interface plugin in the list"));
    }
    let peerless = |why: String| {
        let text = format!("container interface {ifname} has no veth peer: {why}");
        Failure::new(ErrorCode::INTERNAL, text)
            .hint("set \"shapeIn\" to \"container\" for macvlan, ipvlan and devices")
    };
    let Some(inside) = sides.sandbox.find(ifname)? else {
        return Err(peerless(format!("Link not found in {}", sides.sandbox)));
    };
    let Some(index) = inside.peer_index.filter(|_| inside.kind.is_pair()) else {
        return Err(peerless(format!(
            "interface {ifname:?} was not a veth interface"
        )));
    };
    let Some(end) = sides.host.rtnl.link_by_index(index).map_err(kernel)? else {
        let text = format!("veth peer with index {index} is not in host ns");
        return Err(Failure::new(ErrorCode::INTERNAL, text));
    };
    let mut named = result.interfaces.iter();
    if named.any(|item| item.name == end.name && item.sandbox.is_empty()) {
        return Ok(end);
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        "no veth peer of container interface found in host ns",
    )
    .hint(format!("the previous result does not name {}", end.name)))
}

/// The same for DEL; `None` if either end is gone.
pub(crate) fn left_on_host(host: &Side, sandbox: &Side, ifname: &str) -> Result<Option<Link>> {
    let inside = sandbox.find(ifname)?.filter(|link| link.kind.is_pair());
    let Some((inside, index)) = inside.and_then(|link| Some((link.index, link.peer_index?))) else {
        return Ok(None);
    };
    let end = host.rtnl.link_by_index(index).map_err(kernel)?;
    Ok(end.filter(|end| end.kind.is_pair() && end.peer_index == Some(inside)))
}
