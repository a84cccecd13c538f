//! The other links on one parent. If one of them blocks an ADD, the error names it.

use std::path::Path;

use linkspan_netlink::link::Link;
use linkspan_netlink::named;
use linkspan_owner::Owner;
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::Failure;

use crate::{Side, Sides};

/// Adds to `failure` the place of the sibling of `own` that `is_in_the_way` picks: on the host, in the container, or
/// in a named namespace. Other namespaces cannot be searched. For an ADD that has failed.
pub fn blamed(
    failure: Failure,
    sides: &Sides,
    parent: &Link,
    own: &Owner,
    is_in_the_way: impl Fn(&Link) -> bool,
) -> Failure {
    let beside = |side: &Side| {
        let links = side.rtnl.links().ok()?;
        let mut others = links
            .into_iter()
            .filter(|link| link.alias != own.line() && is_in_the_way(link));
        others.find(|link| is_on(link, parent))
    };
    for side in [&sides.host, &sides.sandbox] {
        if let Some(link) = beside(side) {
            return failure.detail(told(&link, &side.to_string()));
        }
    }
    for name in named::list().unwrap_or_default() {
        let path = Path::new(named::DIR).join(name).display().to_string();
        let side = NetnsPath::new(&path).map(|path| Side::sandbox(&path));
        let Some(Ok(Some(side))) = side else { continue };
        if let Some(link) = beside(&side) {
            return failure.detail(told(&link, &path));
        }
    }
    failure
}

/// Returns whether `link`, which may be in any namespace, is born on `wanted`. Indexes are numbers of one namespace,
/// so the other properties of the parent confirm it.
fn is_on(link: &Link, wanted: &Link) -> bool {
    let parent = link.peer().ok().flatten();
    parent.is_some_and(|found| {
        (found.index, &found.name, found.mac) == (wanted.index, &wanted.name, wanted.mac)
    })
}

fn told(link: &Link, place: &str) -> String {
    let owner = if link.alias.is_empty() {
        String::new()
    } else {
        format!(" of {}", link.alias)
    };
    format!(
        "{} {:?}{owner} in {place} is in the way",
        link.kind, link.name
    )
}
