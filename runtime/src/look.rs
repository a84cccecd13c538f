//! Whether an attachment's interface exists in its namespace.

use std::path::Path;

use linkspan_netlink::netns::{Netns, OpenErrorKind};
use linkspan_netlink::rtnl::Rtnl;

use crate::attachment::Attachment;

/// The interface that every namespace has.
pub(crate) const LOOPBACK: &str = "lo";

/// Returns whether an interface of that name may exist in the namespace. `lo` always exists, and counts once it is up.
pub(crate) fn may_be_there(at: &Attachment) -> bool {
    look(at) != Look::Absent
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    There,
    Absent,
    /// The kernel refuses the look.
    Unknown,
}

pub(crate) fn look(at: &Attachment) -> Look {
    let netns = match Netns::open(Path::new(&at.netns)).map_err(|err| err.kind) {
        Ok(netns) => netns,
        Err(OpenErrorKind::Missing | OpenErrorKind::NotNamespace) => return Look::Absent,
        Err(OpenErrorKind::Io(_)) => return Look::Unknown,
    };
    let ifname = at.ifname.as_str();
    let link = Rtnl::open(&netns).and_then(|rtnl| rtnl.link_by_name(ifname));
    match link {
        Ok(Some(link)) if link.up || ifname != LOOPBACK => Look::There,
        Ok(_) => Look::Absent,
        Err(_) => Look::Unknown,
    }
}
