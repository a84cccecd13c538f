//! The link that a container's link is born on: its choice, its MTU, and whether it exists.

use linkspan_netlink::link::{Kind, Link};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{Call, Result};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use crate::{Side, Sides, kernel};

/// Maximum number of links that an error names.
const NAMED: usize = 8;

/// How a configuration names the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// By its name.
    Named(String),
    /// By its place in `interfaces` of the previous result.
    At(usize),
    /// The only interface of the previous result.
    Only,
    /// The link of the first default route.
    DefaultRoute,
}

/// The parent as a configuration asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// How it is chosen.
    pub choice: Choice,
    /// Whether it is in the container.
    pub in_container: bool,
    /// Whether STATUS checks it.
    pub is_checked: bool,
}

impl Parent {
    /// Parses the keys `master`, `masterIndex` and `linkInContainer`. Without the first two, the choice is
    /// `otherwise`.
    pub fn new(
        master: &str,
        index: Option<i64>,
        in_container: bool,
        otherwise: Choice,
    ) -> Result<Self> {
        let choice = match index {
            Some(_) if !master.is_empty() => {
                return Err(Failure::config("both master and masterIndex are set")
                    .hint("leave out one of them"));
            }
            Some(index) => Choice::At(usize::try_from(index).map_err(|_negative| {
                Failure::config(format!("masterIndex {index} is not a place of a list"))
            })?),
            None if master.is_empty() => otherwise,
            None => Choice::Named(master.to_owned()),
        };
        Ok(Self {
            choice,
            in_container,
            is_checked: true,
        })
    }

    /// The same, with the value of `checkMaster`.
    #[must_use]
    pub fn checked(self, is_checked: bool) -> Self {
        Self { is_checked, ..self }
    }

    /// The link, for an ADD.
    pub fn find(&self, call: &Call, sides: &Sides) -> Result<Link> {
        self.find_with_side(call, sides).map(|(_, link)| link)
    }

    /// The same, with the side that it is on.
    pub fn find_with_side<'s>(&self, call: &Call, sides: &'s Sides) -> Result<(&'s Side, Link)> {
        let (name, in_container) = match &self.choice {
            Choice::Named(name) => (name.clone(), self.in_container),
            Choice::DefaultRoute => {
                let side = side_of(sides, self.in_container);
                return Ok((side, by_default_route(side)?));
            }
            Choice::At(index) => {
                let previous = call.netconf.prev_result()?.unwrap_or_default();
                let interface = previous.interfaces.get(*index).ok_or_else(|| {
                    let count = previous.interfaces.len();
                    Failure::config(format!(
                        "masterIndex {index}: prevResult has {count} interfaces"
                    ))
                    .hint("chain the plugin after one that makes the master")
                })?;
                let in_container = self.in_container || !interface.sandbox.is_empty();
                (interface.name.clone(), in_container)
            }
            Choice::Only => {
                let previous = call.netconf.prev_result()?.unwrap_or_default();
                (only(&previous)?, self.in_container)
            }
        };
        let side = side_of(sides, in_container);
        Ok((side, named(side, &name)?))
    }

    /// CHECK: the configured parent exists, and `link` is born on it. A default route may lead elsewhere since ADD.
    pub fn verify(&self, sides: &Sides, link: &Link) -> Result<()> {
        let Choice::Named(name) = &self.choice else {
            return Ok(());
        };
        let side = side_of(sides, self.in_container);
        let parent = named(side, name)?;
        let is_here = self.in_container || link.peer_netns.is_none() && sides.are_one()?;
        if is_born_on(link, &parent, is_here) {
            return Ok(());
        }
        let found = link.peer_index.map_or_else(
            || "none".to_owned(),
            |index| format!("the link with index {index}"),
        );
        let expected = format!("{name} of {side} with index {}", parent.index);
        Err(mismatch(
            format!("master of {:?}", link.name),
            &expected,
            &found,
        ))
    }

    /// STATUS: the parent exists and is set up; code 50 otherwise. `None` if only an ADD knows the parent, or if
    /// `checkMaster` is off.
    pub fn status(&self, host: &Side) -> Result<Option<Link>> {
        if self.in_container || !self.is_checked {
            return Ok(None);
        }
        let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
        let parent = match &self.choice {
            Choice::Named(name) => named(host, name).map_err(unavailable)?,
            Choice::DefaultRoute => by_default_route(host).map_err(unavailable)?,
            Choice::At(_) | Choice::Only => return Ok(None),
        };
        is_up(&parent).map_err(unavailable)?;
        Ok(Some(parent))
    }
}

fn side_of(sides: &Sides, in_container: bool) -> &Side {
    if in_container {
        &sides.sandbox
    } else {
        &sides.host
    }
}

/// Verifies that the parent is set up.
pub fn is_up(parent: &Link) -> Result<()> {
    if parent.up {
        return Ok(());
    }
    let name = &parent.name;
    Err(
        Failure::new(ErrorCode::INTERNAL, format!("master {name:?} is down"))
            .hint(format!("set it up: ip link set {name} up")),
    )
}

/// The `mtu` key, refused if the parent cannot carry it; 0 keeps the parent's MTU.
pub fn mtu(key: i64, parent: &Link) -> Result<Option<u32>> {
    let most = parent.mtu;
    match u32::try_from(key) {
        Ok(0) => Ok(None),
        Ok(mtu) if mtu <= most => Ok(Some(mtu)),
        _ => Err(Failure::config(format!(
            "invalid MTU {key}, must be [0, master MTU({most})]"
        ))
        .hint(format!(
            "set a smaller \"mtu\", or a larger one on {}",
            parent.name
        ))),
    }
}

/// Returns whether `link` is born on `parent`, in the same namespace or in another one. If the parent is of the same
/// kind, the kernel uses that link's own parent instead.
pub(crate) fn is_born_on(link: &Link, parent: &Link, is_same_namespace: bool) -> bool {
    let is_of_kind = link.kind.as_str() == parent.kind.as_str();
    if is_of_kind && !matches!(link.kind, Kind::Vlan(_)) {
        return link.peer_index == parent.peer_index;
    }
    link.peer_index == Some(parent.index) && link.peer_netns.is_none() == is_same_namespace
}

fn named(side: &Side, name: &str) -> Result<Link> {
    if let Some(link) = side.find(name)? {
        return Ok(link);
    }
    let failure = Failure::new(
        ErrorCode::INTERNAL,
        format!("master {name:?} not found in {side}"),
    );
    let links = side.rtnl.links().map_err(kernel)?;
    let mut names: Vec<&str> = links.iter().map(|link| &*link.name).collect();
    names.retain(|name| *name != "lo");
    names.sort_by_key(|candidate| std::cmp::Reverse(common(candidate, name)));
    names.truncate(NAMED);
    Err(if names.is_empty() {
        failure.hint("only lo exists: create a link, or attach the missing one")
    } else {
        failure.hint(format!("name one of {}", names.join(", ")))
    })
}

/// The length of the common beginnings and ends of two names.
fn common(one: &str, other: &str) -> usize {
    let same = |(a, b): &(char, char)| a == b;
    let start = one.chars().zip(other.chars()).take_while(same).count();
    let end = one.chars().rev().zip(other.chars().rev());
    start + end.take_while(same).count()
}

fn by_default_route(side: &Side) -> Result<Link> {
    for family in [Family::V4, Family::V6] {
        let routes = side.rtnl.routes(family).map_err(kernel)?;
        let mut defaults = routes.iter().filter(|route| route.dst.1 == 0);
        let Some(index) = defaults.find_map(|route| route.oif) else {
            continue;
        };
        if let Some(link) = side.rtnl.link_by_index(index).map_err(kernel)? {
            return Ok(link);
        }
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!("no default route interface found in {side}"),
    )
    .hint("name the \"master\", or add a default route"))
}

/// The name of the only interface.
fn only(previous: &AddResult) -> Result<String> {
    match previous.interfaces.as_slice() {
        [interface] if !interface.name.is_empty() => Ok(interface.name.clone()),
        all => {
            let names: Vec<&str> = all.iter().map(|interface| &*interface.name).collect();
            let names = names.join(", ");
            let told =
                "chained master failure. PrevResult lacks a single named interface".to_owned();
            Err(Failure::config(told)
                .detail(format!("its interfaces: [{names}]"))
                .hint("name the \"master\", or its place by \"masterIndex\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::result::Interface;

    fn parent(master: &str, index: Option<i64>) -> Result<Choice> {
        Parent::new(master, index, false, Choice::DefaultRoute).map(|parent| parent.choice)
    }

    #[test]
    fn a_parent_is_told_by_one_key_or_by_none() {
        assert_eq!(parent("eth0", None).unwrap(), Choice::Named("eth0".into()));
        assert_eq!(parent("", Some(2)).unwrap(), Choice::At(2));
        assert_eq!(parent("", None).unwrap(), Choice::DefaultRoute);
        for (master, index, told) in [("eth0", 0, "both master"), ("", -1, "masterIndex -1")] {
            let failure = parent(master, Some(index)).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG);
            assert!(failure.message().contains(told), "{}", failure.message());
        }
    }

    #[test]
    fn the_only_interface_of_a_result_has_to_have_a_name() {
        let result = |names: &[&str]| AddResult {
            interfaces: names
                .iter()
                .map(|name| Interface {
                    name: (*name).to_owned(),
                    ..Interface::default()
                })
                .collect(),
            ..AddResult::default()
        };
        assert_eq!(only(&result(&["bond0"])).unwrap(), "bond0");
        for names in [&[][..], &[""], &["a", "b"]] {
            assert!(only(&result(names)).is_err(), "{names:?}");
        }
    }

    #[test]
    fn names_that_are_alike_come_first() {
        assert!(common("eth0", "eht0") > common("wlan1", "eht0"));
        assert!(common("bond0.100", "bond0.10") > common("bond1", "bond0.10"));
    }
}
