//! Puts back ADD's changes, wherever the link is by now.

use linkspan_attach::Side;
use linkspan_netlink::link::Link;
use linkspan_owner::home::Home;
use linkspan_owner::life::{HostEnd, Judge, Life};
use linkspan_plugin::Result;
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::ident::{AttachmentId, NetworkName};
use std::path::Path;

use crate::kept::{self, Kept, Store};
use linkspan_attach::device::Device;
use linkspan_attach::tuned::Tuned;

/// Puts back the settings in our memory: in the container, or on the host where the device is there again.
pub(crate) fn by_memory(kept: &Kept, netns: Option<&NetnsPath>, ifname: &str) -> Result<()> {
    if kept.before.is_empty() {
        return Ok(());
    }
    let link = netns.map(|netns| inside(netns, ifname)).transpose()?;
    let home = netns.and_then(Home::of);
    let about = |link: &Link| kept.is_about(link, home.as_ref());
    if let Some(link) = link.flatten().filter(about) {
        return kept.before.restore(&link);
    }
    if !kept.device.may_return() {
        return Ok(());
    }
    // On the host another process may have changed a setting since.
    match kept.device.find(&Side::host()?)? {
        Some((link, now)) => {
            let ours = Tuned::of(&now).agreed(kept.set);
            kept.before.within(ours).restore(&link)
        }
        None => Ok(()),
    }
}

/// Puts back the settings in the Go plugin's backup, on the interface of that name.
pub(crate) fn by_backup(before: Tuned, netns: Option<&NetnsPath>, ifname: &str) -> Result<()> {
    let link = netns.map(|netns| inside(netns, ifname)).transpose()?;
    link.flatten().map_or(Ok(()), |link| before.restore(&link))
}

/// The interface in the container, if both are there.
pub(crate) fn inside(netns: &NetnsPath, ifname: &str) -> Result<Option<Link>> {
    let sandbox = Side::sandbox(netns)?;
    let link = sandbox.map(|sandbox| sandbox.find(ifname)).transpose()?;
    Ok(link.flatten())
}

/// The settings of a device before an attachment that is gone without a DEL, and that attachment's files.
pub(crate) fn inherited(dir: &Path, device: &Device) -> Result<Option<(Tuned, Store)>> {
    if !device.may_return() {
        return Ok(None);
    }
    let judge = Judge::now();
    for (network, attachment) in kept::remembered(dir)? {
        let store = Store::new(dir, &network, &attachment);
        let kept = store.memory();
        let Some(home) = kept.home.as_ref().filter(|_| kept.device.is(device)) else {
            continue;
        };
        if judge.home(home, || HostEnd::Untold) == Life::Gone {
            return Ok(Some((kept.before, store)));
        }
    }
    Ok(None)
}

/// Puts back the settings of an attachment without a DEL, and removes its files.
pub(crate) fn collect(dir: &Path, network: &NetworkName, attachment: &AttachmentId) -> Result<()> {
    let store = Store::new(dir, network, attachment);
    let kept = store.memory();
    // Another namespace may be at that path by now.
    let home = kept.home.as_ref().filter(|home| home.is_there());
    let netns = home.and_then(|home| NetnsPath::new(&home.path().to_string_lossy()));
    by_memory(&kept, netns.as_ref(), attachment.ifname.as_str())?;
    store.forget()
}
