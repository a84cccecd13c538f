//! One link of any kind that is born in the container: alone, or on a link of the host or of the container.

use std::os::fd::AsFd;

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::netns::Netns;
use linkspan_owner::Owner;
use linkspan_plugin::{AddCall, DelCall, Result, Undo, interface, step};
use linkspan_protocol::addr::{MacAddr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;
use nix::errno::Errno;

use crate::addressing::{self, Scheme};
use crate::creation::{self, is_free, uncreated};
use crate::wishes::Wishes;
use crate::{Side, kernel, tag};

/// The place of the interface in `interfaces`.
pub(crate) const CONTAINER: i64 = 0;

/// No link carries smaller packets (`IPV4_MIN_MTU` of net/ip.h).
const IPV4_MIN_MTU: u32 = 68;

/// The wanted link.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The parent link, where the kind has one.
    pub parent: Option<&'a Link>,
    /// MTU; default: the parent's, or the kernel's default.
    pub mtu: Option<u32>,
    /// Hardware address; default: the kernel's choice.
    pub mac: Option<MacAddr>,
}

/// Creates the link, down, and tags it. The link is born in the container's namespace under its final name where the
/// kernel allows that.
pub fn create(
    call: &AddCall,
    sandbox: &Side,
    request: &Request<'_>,
    undo: &mut Undo,
) -> Result<Link> {
    let _step = step("link");
    let (ifname, owner) = (&call.attachment.ifname, call.owner());
    is_free(sandbox, ifname)?;
    let mut name = ifname.as_str().to_owned();
    let mut made = make(sandbox, &name, &owner, request);
    if is_taken(&made) && request.parent.is_some() && sandbox.find(&name)?.is_none() {
        // Linux before 6.15 also looks for the name in the namespace of the parent.
        name = interim_name(&owner);
        let again = make(sandbox, &name, &owner, request);
        // Otherwise the place on the parent is taken.
        if !is_taken(&again) {
            made = again;
        }
    }
    if made.as_ref().map_or_else(Error::is_unanswered, |()| true) {
        let (netns, ifname) = (call.netns.clone(), ifname.as_str().to_owned());
        let owner = owner.clone();
        undo.push("delete the interface", move || {
            uncreate(&netns, &[ifname, interim_name(&owner)], &owner)
        });
    }
    made.map_err(|err| {
        let err = Error {
            object: ifname.as_str().to_owned(),
            ..err
        };
        refused(err, request)
    })?;
    let mut link = sandbox.link(&name)?;
    if name == ifname.as_str() {
        link.tag(&owner.line(), 0).map_err(kernel)?;
    } else {
        let tagged = link.tag_as(ifname.as_str(), &owner.line(), 0);
        tagged.map_err(kernel)?;
        link = sandbox.link(ifname.as_str())?;
    }
    // Some kinds start with the parent's address.
    if let Some(mac) = request.mac.filter(|mac| mac.0 != link.mac) {
        link.set_mac(mac.0).map_err(kernel)?;
        link.mac = mac.0;
    }
    Ok(link)
}

fn make(
    sandbox: &Side,
    name: &str,
    owner: &Owner,
    request: &Request<'_>,
) -> std::result::Result<(), Error> {
    let spec = LinkSpec {
        netns: sandbox.netns().map(Netns::as_fd),
        // The kernel takes no alias with the creation of a link; until the link has one, the group identifies the
        // owner.
        group: Some(owner.group()),
        mac: request.mac.map(|mac| mac.0),
        mtu: request.mtu,
        ..LinkSpec::new(name, request.kind.clone())
    };
    match request.parent {
        Some(parent) => parent.create_child(&spec),
        None => sandbox.rtnl.create(&spec),
    }
}

fn is_taken(made: &std::result::Result<(), Error>) -> bool {
    made.as_ref().is_err_and(|err| err.is(Errno::EEXIST))
}

/// The name of a link before it gets its own. The name is derived from the owner, so DEL finds the link of a killed
/// ADD.
fn interim_name(owner: &Owner) -> String {
    format!("new{:08x}", owner.group())
}

/// The kernel's refusal to create the link. The reason may be the parent; the kernel does not tell.
fn refused(err: Error, request: &Request<'_>) -> Failure {
    let is_tiny = request.mtu.is_some_and(|mtu| mtu < IPV4_MIN_MTU);
    let excluded = err.is(Errno::EBUSY) || err.is(Errno::EINVAL) && !is_tiny;
    match request.parent.filter(|_| excluded) {
        Some(parent) => kernel(err).hint(format!(
            "see whether {} has a use that excludes it: as a port of a bridge or bond, or with links of another kind or mode on it",
            parent.name
        )),
        None => uncreated(err, request.mtu),
    }
}

/// The same for a tap device, which `make` creates in the container's namespace.
pub fn create_tap(
    call: &AddCall,
    sandbox: &Side,
    make: impl FnOnce() -> Result<()>,
    (mtu, mac): (Option<u32>, Option<MacAddr>),
    undo: &mut Undo,
) -> Result<Link> {
    let _step = step("link");
    let (ifname, owner) = (&call.attachment.ifname, call.owner());
    is_free(sandbox, ifname)?;
    let (netns, own, name) = (call.netns.clone(), owner.clone(), ifname.to_string());
    undo.push_unless_refused(make(), "delete the interface", move || {
        uncreate_tap(&netns, &name, &own)
    })?;
    let link = sandbox.link(ifname.as_str())?;
    if let Some(mtu) = mtu {
        link.set_mtu(mtu).map_err(|err| uncreated(err, Some(mtu)))?;
    }
    if let Some(mac) = mac {
        link.set_mac(mac.0).map_err(kernel)?;
    }
    link.tag(&owner.line(), 0).map_err(kernel)?;
    sandbox.link(ifname.as_str())
}

/// Gives a link that only the container uses the addresses of IPAM, if any, sets it up and returns the result.
pub fn settle(
    call: &AddCall,
    sandbox: &Side,
    link: &Link,
    mtu: Option<u32>,
    undo: &mut Undo,
) -> Result<AddResult> {
    let layer3 = !call.netconf.ipam.kind.is_empty();
    let mut result = AddResult::default();
    if layer3 {
        result = interface::lease(call, CONTAINER, undo)?;
        addressing::possible(sandbox, &result, mtu)?;
    }
    result.interfaces = vec![creation::interface(link, &call.netns.to_string())];
    if layer3 {
        // The link has no other stations.
        let scheme = Scheme::Subnet { dad: false };
        addressing::apply(sandbox, link, &result, scheme, &Wishes::default())?;
    } else {
        link.set_up().map_err(kernel)?;
    }
    interface::resolve_names(call, &mut result);
    Ok(result)
}

/// Returns code 50 where the kernel lacks the kind. As with an ADD, the kernel loads its module.
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

/// Deletes the attachment's link. Does nothing where the namespace or its path is gone, since the link goes with it.
pub fn delete(call: &DelCall) -> Result<()> {
    let is_deleted = tag::delete_inside(call)?;
    match call.netns.as_ref().filter(|_| !is_deleted) {
        Some(netns) => uncreate(netns, &[interim_name(&call.owner())], &call.owner()),
        None => Ok(()),
    }
}

/// The kernel took no tag at the creation. No other process has made a tap device of that name since.
fn uncreate_tap(netns: &NetnsPath, ifname: &str, owner: &Owner) -> Result<()> {
    let Some(sandbox) = Side::sandbox(netns)? else {
        return Ok(());
    };
    let is_own =
        |link: &Link| link.kind == "tun" && (link.alias.is_empty() || link.alias == owner.line());
    match sandbox.find(ifname)?.filter(is_own) {
        Some(link) => link.delete().map_err(kernel),
        None => Ok(()),
    }
}

/// Uses a new connection, since the failed step may have broken the other one.
fn uncreate(netns: &NetnsPath, names: &[String], owner: &Owner) -> Result<()> {
    let Some(sandbox) = Side::sandbox(netns)? else {
        return Ok(());
    };
    let is_own = |link: &Link| link.group == owner.group() || link.alias == owner.line();
    for name in names {
        if let Some(link) = sandbox.find(name)?.filter(is_own) {
            link.delete().map_err(kernel)?;
        }
    }
    Ok(())
}
