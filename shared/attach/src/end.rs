//! One link that is born in the container, of any kind: alone, or on a link of the host or of the container.

use std::os::fd::AsFd;

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::netns::Netns;
use linkspan_owner::Owner;
use linkspan_plugin::{AddCall, DelCall, Result, Undo};
use linkspan_protocol::addr::{MacAddr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::creation::{is_free, uncreated};
use crate::{Side, kernel, tag};

/// What the link shall be.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The link that it is born on, where its kind has one.
    pub parent: Option<&'a Link>,
    /// MTU; where absent, the parent's, or the kernel's default.
    pub mtu: Option<u32>,
    /// Hardware address; where absent, the kernel's choice.
    pub mac: Option<MacAddr>,
}

/// Makes the link, down, in the container's namespace and under its final name, so that no name can clash on the way, and
/// tags it with its owner.
pub fn create(
    call: &AddCall,
    sandbox: &Side,
    request: &Request<'_>,
    undo: &mut Undo,
) -> Result<Link> {
    let (ifname, owner) = (&call.attachment.ifname, call.owner());
    is_free(sandbox, ifname)?;
    let spec = LinkSpec {
        netns: sandbox.netns().map(Netns::as_fd),
        // The kernel takes no alias with the creation of a link; until it has one, the group tells whose it is.
        group: Some(owner.group()),
        mac: request.mac.map(|mac| mac.0),
        mtu: request.mtu,
        ..LinkSpec::new(ifname.as_str(), request.kind.clone())
    };
    let made = match request.parent {
        Some(parent) => parent.create_child(&spec),
        None => sandbox.rtnl.create(&spec),
    };
    if made.as_ref().map_or_else(Error::is_unanswered, |()| true) {
        let (netns, ifname) = (call.netns.clone(), ifname.as_str().to_owned());
        let owner = owner.clone();
        undo.push("delete the interface", move || {
            uncreate(&netns, &ifname, &owner)
        });
    }
    match made {
        Ok(()) => {}
        Err(err) if err.is(Errno::EEXIST) => {
            // Somebody else may have been faster. Otherwise it is not the name that is taken, but the place on the parent.
            is_free(sandbox, ifname)?;
            return Err(kernel(err));
        }
        Err(err) => return Err(uncreated(err, request.mtu)),
    }
    let link = sandbox.link(ifname.as_str())?;
    link.tag(&owner.line(), 0).map_err(kernel)?;
    Ok(link)
}

/// Code 50 where the kernel has no links of that kind. The kernel loads the module that it has for them, as for an ADD.
pub fn status(host: &Side, kind: &Kind) -> Result<()> {
    if host.rtnl.knows(kind).map_err(kernel)? {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::NOT_AVAILABLE,
        format!("this kernel has no links of kind {kind}"),
    )
    .hint(format!("load the kernel module {kind}")))
}

/// Deletes the link of the attachment. Where its namespace is gone, or has no path any more, the link goes with it.
pub fn delete(call: &DelCall) -> Result<()> {
    tag::delete_inside(call).map(drop)
}

/// Over a connection of its own, since what failed may have been the other one.
fn uncreate(netns: &NetnsPath, ifname: &str, owner: &Owner) -> Result<()> {
    let Some(sandbox) = Side::sandbox(netns)? else {
        return Ok(());
    };
    let is_own = |link: &Link| link.group == owner.group() || link.alias == owner.line();
    match sandbox.find(ifname)?.filter(is_own) {
        Some(link) => link.delete().map_err(kernel),
        None => Ok(()),
    }
}
