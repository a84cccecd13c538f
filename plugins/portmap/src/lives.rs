//! Whether the owners of published ports live.

use std::cell::OnceCell;

use linkspan_attach::Side;
use linkspan_netlink::link::Link;
use linkspan_nftables::ruleset::Element;
use linkspan_owner::home::Home;
use linkspan_owner::life::{HostEnd, Judge, Life};

/// The lives of owners at one moment.
#[derive(Debug)]
pub(crate) struct Lives {
    judge: Judge,
    /// The host's links, listed at the first use.
    links: OnceCell<Vec<Link>>,
}

impl Lives {
    pub(crate) fn now() -> Self {
        Self {
            judge: Judge::now(),
            links: OnceCell::new(),
        }
    }

    /// The life of the owner of an element. The element's record has the owner's namespace.
    pub(crate) fn of(&self, element: &Element) -> Life {
        let home = Home::parse_bytes(&element.record, &element.supplement);
        let end = || self.host_end(&element.comment);
        home.map_or(Life::Unknown, |home| self.judge.home(&home, end))
    }

    /// The host's end that has the owner's line as its tag.
    fn host_end(&self, line: &str) -> HostEnd {
        let list = || -> Option<Vec<Link>> { Side::host().ok()?.rtnl.links().ok() };
        let links = self.links.get_or_init(|| list().unwrap_or_default());
        let lives = |link: &Link| link.alias == line && link.peer_lives();
        if links.iter().any(lives) {
            HostEnd::Lives
        } else {
            HostEnd::Untold
        }
    }
}
