//! The node's state at one time: configurations, remembered attachments, links, addresses, routes and ports.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use linkspan_netlink::link::Link;
use linkspan_netlink::neighbour::Neighbour;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::Route;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_owner::life::Life;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;
use linkspan_protocol::wire;
use linkspan_runtime::cache::{Cache, Entry};
use linkspan_runtime::chain::{Runtime, reparse};
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::lives::Lives;
use linkspan_runtime::{Result, confdir, kernel};

use crate::addressing::Conf;
use crate::suite::{Port, Suite};

/// The places and plugins that are examined.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// The directory of network configurations.
    pub(crate) net_dir: &'a Path,
    /// The directory of remembered results.
    pub(crate) cache_dir: &'a Path,
    /// The directories in which an engine finds plugins.
    pub(crate) plugin_dirs: &'a [PathBuf],
    /// Executes plugins.
    pub(crate) runtime: &'a Runtime,
    /// The plugins of this binary.
    pub(crate) suite: Suite<'a>,
    /// Whether it may send packets, to ask for the holders of addresses.
    pub(crate) probes: bool,
}

/// The state of the node that checks use.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) places: Places<'a>,
    /// The networks with their files, in the order of engines.
    pub(super) lists: Vec<(PathBuf, NetworkList)>,
    /// Files that are not networks.
    pub(super) broken: Vec<(PathBuf, Failure)>,
    /// Attachments that live, with their namespaces.
    pub(super) pods: Vec<Pod>,
    /// Attachments whose namespace is gone.
    pub(super) gone: Vec<Entry>,
    /// Files of the cache that are not attachments.
    pub(super) unreadable: Vec<PathBuf>,
    /// The host's links.
    pub(super) links: Vec<Link>,
    /// The host's routes in its main table.
    pub(super) routes: Vec<Route>,
    /// The host's neighbours.
    pub(super) neighbours: Vec<Neighbour>,
    /// Read at the first use.
    ports: OnceCell<Vec<Port>>,
}

/// A living attachment, and the state of its namespace.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) entry: Entry,
    pub(super) result: AddResult,
    /// Absent if the namespace cannot be entered.
    pub(super) inside: Option<Inside>,
}

/// The state of a pod's namespace.
#[derive(Debug)]
pub(super) struct Inside {
    /// The links, with their addresses.
    pub(super) links: Vec<(Link, Vec<IpAddr>)>,
    /// The gateways of default routes.
    pub(super) gateways: Vec<IpAddr>,
}

impl<'a> Node<'a> {
    pub(super) fn read(places: Places<'a>) -> Result<Self> {
        let (mut lists, mut broken) = (Vec::new(), Vec::new());
        for (path, list) in confdir::each(places.net_dir)? {
            match list {
                Ok(list) => lists.push((path, list)),
                Err(failure) => broken.push((path, failure)),
            }
        }
        let here = Rtnl::here().map_err(kernel)?;
        let cache = Cache::new(places.cache_dir);
        let listing = cache.all()?;
        let lives = Lives::now(&cache);
        let (mut pods, mut gone) = (Vec::new(), Vec::new());
        for entry in listing.entries {
            match lives.of(&entry) {
                Life::Alive => pods.push(Pod::read(entry)),
                Life::Gone => gone.push(entry),
                Life::Unknown => {}
            }
        }
        let mut routes = Vec::new();
        for family in Family::BOTH {
            routes.extend(here.routes(family).map_err(kernel)?);
        }
        Ok(Self {
            places,
            lists,
            broken,
            pods,
            gone,
            unreadable: listing.unreadable,
            links: here.links().map_err(kernel)?,
            routes,
            neighbours: here.neighbours().map_err(kernel)?,
            ports: OnceCell::new(),
        })
    }

    /// The first network of each name. Engines use no other.
    pub(super) fn networks(&self) -> impl Iterator<Item = Conf<'_>> {
        let first = |at: usize, name: &str| {
            let earlier = self.lists.iter().take(at);
            !earlier.into_iter().any(|(_, list)| list.name == name)
        };
        let lists = self.lists.iter().enumerate();
        let unique = lists.filter(move |(at, (_, list))| first(*at, &list.name));
        unique.map(|(_, (_, list))| Conf(list))
    }

    /// The network of a name.
    pub(super) fn network(&self, name: &str) -> Option<Conf<'_>> {
        self.networks().find(|conf| conf.0.name == name)
    }

    /// The pods of a network.
    pub(super) fn pods_of(&self, network: &str) -> impl Iterator<Item = &Pod> {
        let of = move |pod: &&Pod| pod.entry.network_name == network;
        self.pods.iter().filter(of)
    }

    /// The published ports.
    pub(super) fn ports(&self) -> Result<&[Port]> {
        if let Some(ports) = self.ports.get() {
            return Ok(ports);
        }
        let ports = (self.places.suite.ports)()?;
        Ok(self.ports.get_or_init(|| ports))
    }

    /// A link of the host.
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Pod {
    fn read(entry: Entry) -> Self {
        let result = entry.result.as_ref();
        let result = result.and_then(|result| wire::decode(&reparse(result).ok()?, "").ok());
        Self {
            inside: Inside::read(Path::new(&entry.netns)),
            result: result.map(|(result, _)| result).unwrap_or_default(),
            entry,
        }
    }
}

impl Inside {
    fn read(path: &Path) -> Option<Self> {
        let rtnl = Rtnl::open(&Netns::open(path).ok()?).ok()?;
        let mut links = Vec::new();
        for link in rtnl.links().ok()? {
            let addrs = link.addrs(None).ok()?;
            links.push((link, addrs.into_iter().map(|addr| addr.ip).collect()));
        }
        let mut gateways = Vec::new();
        for family in Family::BOTH {
            gateways.extend(rtnl.gateways(family).ok()?);
        }
        Some(Self { links, gateways })
    }

    /// A link of the namespace with its addresses.
    pub(super) fn link(&self, name: &str) -> Option<&(Link, Vec<IpAddr>)> {
        self.links.iter().find(|(link, _)| link.name == name)
    }
}
