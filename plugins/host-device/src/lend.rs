//! The loan: finds the device on the host, remembers its state, and moves it into the container.

use std::os::fd::AsFd;
use std::path::Path;

use linkspan_attach::device::Device;
use linkspan_attach::{Side, Sides, kernel};
use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::settings::Settings;
use linkspan_owner::Owner;
use linkspan_plugin::{AddCall, Result, Undo};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use nix::errno::Errno;

use crate::back::{self, Return};
use crate::conf::Plan;
use crate::kept::{Kept, Remembered, Store, remembered};
use crate::network::Network;
use crate::search::{self, Wanted, Way};

/// The configured device on the host. A device that the kernel returned has another name or address there until it is
/// lent again or collected.
pub(crate) fn find(host: &Side, wanted: &Wanted, dir: &Path) -> Result<Link> {
    if let Some(link) = wanted.link(host)? {
        return Ok(link);
    }
    let lent = remembered(dir)?;
    let mut lent = lent.iter().filter(|lent| is_wanted(&lent.kept, wanted));
    let mut holder = None;
    for Remembered {
        network,
        attachment,
        kept,
        ..
    } in lent.by_ref()
    {
        if let Some((link, _)) = back::noted(host, kept)? {
            return Ok(link);
        }
        holder = Some(Owner::of(network, attachment).to_string());
    }
    let links = host.rtnl.links().map_err(kernel)?;
    let mut links = links.into_iter();
    let is_it = |link: &Link| Way::Name(link.alias.clone()) == wanted.way && !link.up;
    links
        .find(is_it)
        .ok_or_else(|| search::missing(host, wanted, holder))
}

/// Returns whether the name or the address on the host is the wanted one.
fn is_wanted(kept: &Kept, wanted: &Wanted) -> bool {
    match &wanted.way {
        Way::Name(name) => kept.host_name() == name,
        Way::Mac(mac) => kept.before.mac == Some(mac.0),
        Way::Path(_) | Way::Pci(_) | Way::Id(_) => false,
    }
}

/// Moves the device into the container, where it is down. Returns the host's network on it, which the move deletes.
/// The alias is exactly its name on the host, as the reference's DEL needs it.
pub(crate) fn lend(
    call: &AddCall,
    sides: &Sides,
    (mut link, wanted, plan): (Link, &Wanted, &Plan),
    undo: &mut Undo,
) -> Result<(Link, Network)> {
    let (host, ifname, dir) = (&sides.host, call.attachment.ifname.as_str(), &plan.dir);
    let settings = settings(&link)?;
    let store = Store::new(dir, &call.network, &call.attachment);
    let ended = ended(&link, &settings, dir)?;
    let mut kept = Kept::of(&link, &settings, &call.netns);
    if let Some(last) = ended.first() {
        link = healed(host, &link, &settings, &last.kept)?;
        kept = Kept {
            home: kept.home,
            ..last.kept.clone()
        };
    } else if is_from_elsewhere(&link, ifname, wanted) {
        kept.device = Device::of(&link, &settings);
        kept.alias = String::new();
    }
    if let Some(other) = store.read()?.filter(|own| !own.device.is(&kept.device)) {
        back::undo(&other, ifname, &call.netns, &store)?;
    }
    kept.network = Network::of(host, &link)?;
    kept.fate = plan.fate;
    let (mut remembered, netns, own) = (kept.clone(), call.netns.clone(), ifname.to_owned());
    remembered.fate.put_back = true;
    let forgotten = Store::new(dir, &call.network, &call.attachment);
    undo.push("give the device back", move || {
        back::undo(&remembered, &own, &netns, &forgotten)
    });
    store.write(&kept)?;
    let name = kept.host_name();
    if link.alias != name {
        link.set_alias(name).map_err(kernel)?;
    }
    let netns = sides.sandbox.netns().map(Netns::as_fd);
    let moved = netns.map_or(Ok(()), |netns| link.move_to(netns, ifname));
    moved.map_err(|err| unmoved(err, &link))?;
    // This attachment takes over the ended loans.
    let own =
        |loan: &&Remembered| loan.network == call.network && loan.attachment == call.attachment;
    for loan in ended.iter().filter(|loan| !own(loan)) {
        loan.store.forget()?;
    }
    Ok((sides.sandbox.link(ifname)?, kept.network))
}

fn settings(link: &Link) -> Result<Settings> {
    let settings = link.settings().map_err(kernel)?;
    settings.ok_or_else(|| {
        let text = format!("device {:?} has left the host", link.name);
        Failure::new(ErrorCode::INTERNAL, text).hint("another container may have it by now")
    })
}

/// The loans of this device that ended without a DEL.
fn ended(link: &Link, settings: &Settings, dir: &Path) -> Result<Vec<Remembered>> {
    if link.alias.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = remembered(dir)?;
    all.retain(|loan| loan.kept.is_note_on(link, settings));
    Ok(all)
}

/// The device, restored to its state before a loan that ended without a DEL.
fn healed(host: &Side, link: &Link, settings: &Settings, kept: &Kept) -> Result<Link> {
    match back::settle(host, (link, settings), kept)? {
        // A device that waits for its name can still be lent.
        Return::Done | Return::Parked(_) => {}
    }
    let found = host.rtnl.link_by_index(link.index).map_err(kernel)?;
    found.ok_or_else(|| {
        let text = format!("device {:?} has left the host", link.name);
        Failure::new(ErrorCode::INTERNAL, text).hint("another container may have it by now")
    })
}

/// Returns whether another suite lent the device, so that its alias is its name on the host, and the kernel returned
/// it: it is down, under its name in the container or one that the kernel chose.
fn is_from_elsewhere(link: &Link, ifname: &str, wanted: &Wanted) -> bool {
    let digits = link.name.strip_prefix("dev").unwrap_or_default();
    let by_kernel = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_asked_for = wanted.way == Way::Name(link.alias.clone());
    let is_noted = IfName::parse(&link.alias).is_ok() && link.alias != link.name;
    is_noted && !link.up && (is_asked_for || by_kernel || link.name == ifname)
}

/// The kernel's refusal to move a device.
fn unmoved(err: Error, link: &Link) -> Failure {
    let hint = if err.is(Errno::EINVAL) {
        "devices of this kind belong to one namespace: lend one that is hardware, or one end of a pair"
    } else if err.is(Errno::EEXIST) {
        "detach the interface that has the name with DEL first, or choose another CNI_IFNAME"
    } else {
        return kernel(err);
    };
    kernel(err)
        .context(format!("failed to move link {}", link.name))
        .hint(hint)
}
