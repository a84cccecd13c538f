//! The return of a device: out of the container, under its earlier name, with its earlier settings.
//!
//! The alias marks a loan and is removed last. So if a call is killed, the next DEL, GC or ADD finds the device at
//! either place.

use std::os::fd::AsFd;
use std::path::Path;

use linkspan_attach::device::Device;
use linkspan_attach::tuned::Tuned;
use linkspan_attach::{Side, kernel};
use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::settings::Settings;
use linkspan_owner::home::Home;
use linkspan_plugin::warn;
use linkspan_plugin::{DelCall, GcCall, Result, Teardown};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::ident::IfName;
use nix::errno::Errno;

use crate::kept::{Kept, Store, listed, remembered};

/// The name of a device on the host while its own name is taken. The kernel inserts a number, as it does for a device
/// whose container has ended.
const PARKED: &str = "dev%d";

/// The outcome of a return.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// The device is at home, or does not exist.
    Done,
    /// The device is on the host under this name, because its own name is taken.
    Parked(String),
}

/// DEL: returns the attachment's device.
pub(crate) fn take_back(call: &DelCall, dir: &Path) -> Result<()> {
    let store = Store::new(dir, &call.network, &call.attachment);
    let sandbox = call.netns.as_ref().map(Side::sandbox).transpose()?;
    let sandbox = sandbox.flatten();
    let kept = match (store.read()?, &sandbox) {
        (Some(kept), _) => Some(kept),
        (None, Some(sandbox)) => {
            let kept = lent_by_others(call, sandbox, dir)?;
            // The record is only for a DEL that is killed midway, so errors do not matter.
            kept.as_ref().map(|kept| store.write(kept).ok());
            kept
        }
        (None, None) => None,
    };
    let Some(kept) = kept else {
        return store.forget();
    };
    let ifname = call.attachment.ifname.as_str();
    end(bring(&kept, ifname, call.netns.as_ref())?, &kept, &store)
}

/// GC: returns the devices of stale attachments.
pub(crate) fn collect(call: &GcCall, dir: &Path) -> Result<()> {
    let mut teardown = Teardown::default();
    for (network, attachment) in listed(dir)? {
        if network != call.network || call.valid_attachments.contains(&attachment) {
            continue;
        }
        let store = Store::new(dir, &network, &attachment);
        teardown.run("take a device back", || match store.read()? {
            None => store.forget(),
            Some(kept) => {
                let returned = bring(&kept, attachment.ifname.as_str(), None)?;
                end(returned, &kept, &store)
            }
        });
    }
    teardown.finish()
}

/// Undoes a failed loan.
pub(crate) fn undo(kept: &Kept, ifname: &str, netns: &NetnsPath, store: &Store) -> Result<()> {
    end(bring(kept, ifname, Some(netns))?, kept, store)
}

/// Forgets a device that is at home. A device that waits for its name stays remembered.
fn end(returned: Return, kept: &Kept, store: &Store) -> Result<()> {
    match returned {
        Return::Done => store.forget(),
        Return::Parked(name) => {
            let wanted = kept.host_name();
            warn(&format!(
                "host-device: {wanted} of the host came home as {name}, because another interface is called {wanted} now; \
                 the next GC or ADD gives it its name as soon as that is free"
            ));
            Ok(())
        }
    }
}

/// Returns the device, from the container or from an interrupted return.
fn bring(kept: &Kept, ifname: &str, netns: Option<&NetnsPath>) -> Result<Return> {
    let host = Side::host()?;
    if let Some(sandbox) = container(kept, netns)? {
        if kept.fate.taken {
            kept.network.take_rules_from(&sandbox)?;
        }
        if let Some(link) = lent_to(&sandbox, kept, ifname)? {
            leave(&host, &sandbox, &link, kept)?;
        }
    }
    match noted(&host, kept)? {
        Some((link, settings)) => settle(&host, (&link, &settings), kept),
        None => Ok(Return::Done),
    }
}

/// The container that has the device: by the given path, or by ADD's. Either may be another container's by now.
fn container(kept: &Kept, netns: Option<&NetnsPath>) -> Result<Option<Side>> {
    let is_home = |netns: &NetnsPath| match (Home::of(netns), &kept.home) {
        (Some(now), Some(home)) => now.is(home),
        _ => true,
    };
    let path = kept.home.as_ref().map(|home| home.path().to_string_lossy());
    let path = path.and_then(|path| NetnsPath::new(&path));
    for netns in [netns, path.as_ref()].into_iter().flatten() {
        if is_home(netns)
            && let Some(sandbox) = Side::sandbox(netns)?
        {
            return Ok(is_apart(&sandbox)?.then_some(sandbox));
        }
    }
    Ok(None)
}

/// Returns whether the sandbox is not the host itself.
pub(crate) fn is_apart(sandbox: &Side) -> Result<bool> {
    let host = Netns::current()
        .and_then(|netns| netns.id())
        .map_err(kernel)?;
    let sandbox = sandbox.netns().map(Netns::id).transpose();
    Ok(sandbox.map_err(kernel)?.is_some_and(|id| id != host))
}

/// The device in the container. The container's processes may have renamed it or removed its alias.
fn lent_to(sandbox: &Side, kept: &Kept, ifname: &str) -> Result<Option<Link>> {
    if let Some(link) = sandbox.find(ifname)?
        && is_lent(&link, kept, ifname)?
    {
        return Ok(Some(link));
    }
    for link in sandbox.rtnl.links().map_err(kernel)? {
        if ![ifname, "lo"].contains(&&*link.name) && is_lent(&link, kept, ifname)? {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

fn is_lent(link: &Link, kept: &Kept, ifname: &str) -> Result<bool> {
    let Some(settings) = link.settings().map_err(kernel)? else {
        return Ok(false);
    };
    let name = kept.host_name();
    let is_bare = link.alias.is_empty() && link.name == ifname;
    let is_known = settings.permanent_mac.is_some() || link.alias == name || is_bare;
    let device = Device::of(link, &settings).lent_by(name);
    Ok(is_known && device.is(&kept.device))
}

/// Moves the device to the host, down and with its alias. If its host name is free in the container, too, it takes
/// that name first, so the host never sees another one.
fn leave(host: &Side, sandbox: &Side, link: &Link, kept: &Kept) -> Result<()> {
    let name = kept.host_name();
    let is_taken = host.find(name)?.is_some();
    let own = Netns::current().map_err(kernel)?;
    let steps = || -> std::result::Result<(), Error> {
        if link.alias != name {
            link.set_alias(name)?;
        }
        let in_sandbox = sandbox.rtnl.link_by_name(name)?;
        if !is_taken && in_sandbox.is_none() {
            link.set_down()?;
            link.set_name(name)?;
        }
        let arrival = if is_taken { PARKED } else { name };
        match link.move_to(own.as_fd(), arrival) {
            // Another process took the name, on either side of the move.
            Err(err) if err.is(Errno::EEXIST) => link.move_to(own.as_fd(), PARKED),
            moved => moved,
        }
    };
    match steps() {
        // The device has left already.
        Err(err) if err.is(Errno::ENODEV) => Ok(()),
        left => left.map_err(kernel),
    }
}

/// The device on the host, if its alias marks its loan.
pub(crate) fn noted(host: &Side, kept: &Kept) -> Result<Option<(Link, Settings)>> {
    let is_noted = |link: &Link| link.alias == kept.host_name();
    let under_its_name = host.find(kept.host_name())?.filter(is_noted);
    if let Some(found) = under_its_name.map(|link| known(link, kept)).transpose()?
        && found.is_some()
    {
        return Ok(found);
    }
    for link in host.rtnl.links().map_err(kernel)? {
        if is_noted(&link)
            && let Some(found) = known(link, kept)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn known(link: Link, kept: &Kept) -> Result<Option<(Link, Settings)>> {
    let settings = link.settings().map_err(kernel)?;
    let known = settings.filter(|settings| kept.is_note_on(&link, settings));
    Ok(known.map(|settings| (link, settings)))
}

/// Restores name and settings of a device on the host, and removes the alias. Tries every step, whatever fails.
pub(crate) fn settle(
    host: &Side,
    (link, settings): (&Link, &Settings),
    kept: &Kept,
) -> Result<Return> {
    let name = kept.host_name();
    let mut teardown = Teardown::default();
    let put_back = kept.before.unlike(Tuned::of(settings));
    teardown.run("put back its settings", || put_back.restore(link));
    if link.name != name && !rename(host, link, name)? {
        teardown.finish()?;
        return Ok(Return::Parked(link.name.clone()));
    }
    if kept.up && !(link.up && link.name == name) {
        teardown.run("set it up", || link.set_up().map_err(kernel));
    }
    if kept.fate.put_back {
        kept.network.put_back(host, link, &mut teardown);
    }
    let noted = link.set_alias(&kept.alias).map_err(kernel);
    teardown.run("take the note off", || noted);
    teardown.finish().map(|()| Return::Done)
}

/// Renames the device. Returns false if the name is taken.
fn rename(host: &Side, link: &Link, name: &str) -> Result<bool> {
    if host.find(name)?.is_some() {
        return Ok(false);
    }
    if link.up {
        // Before Linux 6.2 an interface cannot be renamed while it is up.
        link.set_down().map_err(kernel)?;
    }
    match link.set_name(name) {
        Err(err) if err.is(Errno::EEXIST) => Ok(false),
        renamed => renamed.map(|()| true).map_err(kernel),
    }
}

/// The device of an attachment without a memory: another suite lent it, and its alias is its name on the host. A
/// hardware device without an alias keeps its present name.
fn lent_by_others(call: &DelCall, sandbox: &Side, dir: &Path) -> Result<Option<Kept>> {
    let ifname = &call.attachment.ifname;
    let Some(link) = sandbox.find(ifname.as_str())? else {
        return Ok(None);
    };
    let is_hardware = link.kind == Kind::None && link.mac != [0; 6];
    let host_name = match link.alias.as_str() {
        "" if is_hardware => link.name.clone(),
        noted if IfName::parse(noted).is_ok() => noted.to_owned(),
        _ => return Ok(None),
    };
    let home = call.netns.as_ref().and_then(Home::of);
    // The path may belong to another container by now, with a device of its own under the same name.
    let is_its = |kept: &Kept| {
        kept.home
            .as_ref()
            .zip(home.as_ref())
            .is_some_and(|(one, other)| one.is(other))
    };
    let mut others = remembered(dir)?.into_iter();
    if !is_apart(sandbox)?
        || others.any(|other| other.attachment.ifname == *ifname && is_its(&other.kept))
    {
        return Ok(None);
    }
    let settings = link.settings().map_err(kernel)?;
    Ok(settings.map(|settings| Kept::foreign((&link, &settings), &host_name, home)))
}
