//! Removes the state of an ADD, complete or not. Other state of the link stays.

use std::collections::BTreeSet;

use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_netlink::qdisc::Qdisc;
use linkspan_netlink::tc_filter::{Filter, Hook};
use linkspan_owner::line::{Owner, Stale};
use linkspan_plugin::{Result, Teardown};
use nix::errno::Errno;

use crate::names::{Names, PREFIX};
use crate::shape::{Point, WITH_QDISC, is_of_another};

impl Point<'_> {
    /// Removes the link's part of the state, then the ifbs.
    pub(crate) fn clear(&self) -> Result<()> {
        let ifbs = waiting(self.side, self.names, self.owner)?;
        let mut teardown = Teardown::default();
        clear(self.link, &ifbs, &mut teardown);
        if teardown.is_clean() {
            delete(&ifbs, &mut teardown);
        }
        teardown.finish()
    }
}

/// Removes the link's part of the state. The ifbs stay until that is done: they tell what ADD created.
fn clear(link: &Link, ifbs: &[Link], teardown: &mut Teardown) {
    teardown.run("delete the bucket", || {
        let root = link.root_qdisc().map_err(kernel)?;
        match root.filter(Qdisc::is_bucket) {
            Some(_) => gone(link.delete_bucket()),
            None => Ok(()),
        }
    });
    if !ifbs.is_empty() {
        teardown.run("delete filters", || delete_filters(link, ifbs));
    }
}

pub(crate) fn delete(ifbs: &[Link], teardown: &mut Teardown) {
    for ifb in ifbs {
        teardown.run("delete ifb", || ifb.delete().map_err(kernel));
    }
}

/// Deletes the link's filters that redirect to `ifbs`, and their discipline if it was created for them.
fn delete_filters(link: &Link, ifbs: &[Link]) -> Result<()> {
    let Some(there) = link.ingress_qdisc().map_err(kernel)? else {
        return Ok(());
    };
    let hooks: &[Hook] = if there.kind == "clsact" {
        &[Hook::ClsactIngress, Hook::ClsactEgress]
    } else {
        &[Hook::Ingress]
    };
    let mut left = 0;
    for hook in hooks {
        let filters = link.filters(*hook).map_err(kernel)?;
        let is_ours = |filter: &&Filter| {
            let leads = ifbs.iter().any(|ifb| filter.through == Some(ifb.index));
            leads || filter.passes
        };
        let ours = filters.iter().filter(is_ours);
        let places: BTreeSet<u16> = ours.map(|filter| filter.priority).collect();
        let others = filters.iter().filter(|one| !places.contains(&one.priority));
        left += others.count();
        for place in places {
            gone(link.delete_filters(*hook, place))?;
        }
    }
    if left == 0 && ifbs.iter().any(|ifb| ifb.group == WITH_QDISC) {
        gone(link.delete_filter_qdisc())?;
    }
    Ok(())
}

/// Accepts that a thing is gone already.
fn gone(deleted: std::result::Result<(), linkspan_netlink::error::Error>) -> Result<()> {
    match deleted {
        Err(err) if err.is(Errno::ENOENT) || err.is(Errno::ENODEV) || err.is(Errno::EINVAL) => {
            Ok(())
        }
        deleted => deleted.map_err(kernel),
    }
}

/// The attachment's ifbs, the Go plugin's included.
pub(crate) fn waiting(side: &Side, names: &Names, owner: &Owner) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for name in names.all() {
        let link = side.find(name)?;
        found.extend(link.filter(|link| link.kind == "ifb" && !is_of_another(link, owner)));
    }
    Ok(found)
}

/// Removes the limits of stale attachments from their remaining links on the host. Links of the Go plugin do not tell
/// their network, and stay.
pub(crate) fn collect(stale: &Stale) -> Result<()> {
    let host = Side::host()?;
    let links = host.rtnl.links().map_err(kernel)?;
    let is_tagged = |link: &Link| {
        let owner = Owner::parse(&link.alias);
        owner.is_some_and(|owner| stale.includes(&owner))
    };
    // Created, but not tagged yet. Anybody may choose any group number, so it counts only on links with our names.
    let is_pending = |link: &Link| link.alias.is_empty() && stale.includes_group(link.group);
    let (ifbs, others): (Vec<Link>, Vec<Link>) = links
        .into_iter()
        .partition(|link| link.kind == "ifb" && link.name.starts_with(PREFIX));
    let ifbs: Vec<Link> = ifbs
        .into_iter()
        .filter(|ifb| is_tagged(ifb) || is_pending(ifb))
        .collect();
    let ends = others
        .iter()
        .filter(|link| link.kind.is_pair() && is_tagged(link));
    let mut teardown = Teardown::default();
    for end in ends {
        let of_end = ifbs.iter().filter(|ifb| ifb.alias == end.alias);
        clear(end, &of_end.cloned().collect::<Vec<_>>(), &mut teardown);
    }
    delete(&ifbs, &mut teardown);
    teardown.finish()
}

/// The host's end with the attachment's tag, whether the container exists or not.
pub(crate) fn tagged(host: &Side, owner: &Owner) -> Result<Option<Link>> {
    let links = host.rtnl.links().map_err(kernel)?;
    let mut ends = links.into_iter().filter(|link| link.kind.is_pair());
    Ok(ends.find(|link| link.alias == owner.line()))
}
