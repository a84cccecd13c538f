//! Whether the namespaces of remembered attachments live. Our own ADD remembers the namespace. An entry of libcni has
//! only the path, so the host's end in the result is examined, too.

use std::cell::OnceCell;
use std::path::Path;

use linkspan_netlink::link::Link;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_owner::home::Home;
use linkspan_owner::life::{HostEnd, Judge, Life};
use linkspan_protocol::ident::NetworkName;
use serde_json::Value;

use crate::cache::{Cache, Entry};

/// The lives of attachments at one moment.
#[derive(Debug)]
pub struct Lives<'a> {
    cache: &'a Cache,
    judge: Judge,
    /// The host's links, listed at the first use; `None` where the kernel refuses.
    links: OnceCell<Option<Vec<Link>>>,
}

impl<'a> Lives<'a> {
    /// The host as it is now.
    pub fn now(cache: &'a Cache) -> Self {
        Self {
            cache,
            judge: Judge::now(),
            links: OnceCell::new(),
        }
    }

    /// The life of a remembered attachment.
    pub fn of(&self, entry: &Entry) -> Life {
        let path = Path::new(&entry.netns);
        let end = || self.host_end(entry);
        match self.home(entry).filter(|home| home.path() == path) {
            Some(home) => self.judge.home(&home, end),
            None => self.judge.path(path, end),
        }
    }

    /// The attachment's namespace, if the attachment is ours.
    fn home(&self, entry: &Entry) -> Option<Home> {
        let network = NetworkName::parse(&entry.network_name).ok()?;
        let id = entry.attachment().ok()?.id();
        self.cache.memory(&network, &id).read().home
    }

    fn host_end(&self, entry: &Entry) -> HostEnd {
        let list = || Rtnl::here().ok()?.links().ok();
        let Some(links) = self.links.get_or_init(list) else {
            return HostEnd::Untold;
        };
        let mut end = HostEnd::Untold;
        for name in host_interfaces(entry) {
            match links.iter().find(|link| link.name == name) {
                Some(link) if link.peer_lives() => return HostEnd::Lives,
                // A bridge is shared and proves nothing.
                Some(link) if link.peer_netns.is_none() => {}
                _ => end = HostEnd::Gone,
            }
        }
        end
    }
}

/// The host's interfaces in an attachment's result.
fn host_interfaces(entry: &Entry) -> Vec<&str> {
    let result = entry.result.as_ref();
    let all = result.and_then(|result| result.get("interfaces")?.as_array());
    let is_elsewhere = |one: &Value| {
        let sandbox = one.get("sandbox").and_then(Value::as_str);
        sandbox.is_some_and(|sandbox| !sandbox.is_empty())
    };
    let of_host = all.into_iter().flatten().filter(|one| !is_elsewhere(one));
    of_host
        .filter_map(|one| one.get("name")?.as_str())
        .collect()
}
