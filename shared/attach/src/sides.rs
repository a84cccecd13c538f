//! The two namespaces of an attachment. Each is visited once for its socket; after that only sysctls need a visit.

use std::fmt;
use std::rc::Rc;

use linkspan_netlink::failure::{kernel, netns};
use linkspan_netlink::link::Link;
use linkspan_netlink::netns::{Netns, OpenError, OpenErrorKind};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::watch::Watch;
use linkspan_plugin::Result;
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::sysctl::Sysctls;

/// The host and the sandbox of one attachment.
#[derive(Debug)]
pub struct Sides {
    /// Where the plugin runs.
    pub host: Side,
    /// `CNI_NETNS`
    pub sandbox: Side,
}

impl Sides {
    /// Opens both sides. Fails where the sandbox is missing.
    pub fn open(path: &NetnsPath) -> Result<Self> {
        let host = Side::host()?;
        let netns = Netns::open(path.as_path()).map_err(|err| netns(&err))?;
        let sandbox = Side::visit(netns, path)?;
        Ok(Self { host, sandbox })
    }

    /// Returns whether both are one namespace, as `CNI_NETNS_OVERRIDE` allows.
    pub fn are_one(&self) -> Result<bool> {
        let host = Netns::current()
            .and_then(|netns| netns.id())
            .map_err(kernel)?;
        let sandbox = self.sandbox.netns().map(Netns::id).transpose();
        Ok(sandbox.map_err(kernel)?.is_none_or(|id| id == host))
    }
}

/// One namespace.
pub struct Side {
    /// Netlink socket inside the namespace.
    pub rtnl: Rtnl,
    netns: Option<Rc<Netns>>,
    place: String,
}

impl Side {
    /// A command for a person that acts on this side.
    pub fn command(&self, command: &str) -> String {
        match &self.netns {
            Some(_) => format!("nsenter --net={} {command}", self.place),
            None => command.to_owned(),
        }
    }

    /// The namespace that the plugin runs in.
    pub fn host() -> Result<Self> {
        Ok(Self {
            rtnl: Rtnl::here().map_err(kernel)?,
            netns: None,
            place: "the host".to_owned(),
        })
    }

    /// Opens the sandbox alone. Fails if the sandbox is missing.
    pub fn inside(path: &NetnsPath) -> Result<Self> {
        let netns = Netns::open(path.as_path()).map_err(|err| netns(&err))?;
        Self::visit(netns, path)
    }

    /// Opens the sandbox alone. `None` if the namespace is gone: the path is missing, or is a plain file that lost its
    /// mount.
    pub fn sandbox(path: &NetnsPath) -> Result<Option<Self>> {
        match Netns::open(path.as_path()) {
            Ok(netns) => Self::visit(netns, path).map(Some),
            Err(err) if err.is_gone() => Ok(None),
            Err(err) => Err(netns(&err)),
        }
    }

    /// Acts on a sandbox. A sandbox that is gone needs nothing, so this succeeds.
    pub fn unless_gone(path: &NetnsPath, act: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        match Self::sandbox(path)? {
            Some(sandbox) => act(&sandbox),
            None => Ok(()),
        }
    }

    fn visit(open: Netns, path: &NetnsPath) -> Result<Self> {
        let rtnl = match Rtnl::open(&open) {
            // setns(2): a namespace of another type.
            Err(err) if err.is(Errno::EINVAL) => {
                return Err(netns(&OpenError {
                    path: path.as_path().to_owned(),
                    kind: OpenErrorKind::NotNamespace,
                }));
            }
            opened => opened.map_err(kernel)?,
        };
        Ok(Self {
            rtnl,
            netns: Some(Rc::new(open)),
            place: path.to_string(),
        })
    }

    /// The namespace, unless it is the plugin's own.
    pub fn netns(&self) -> Option<&Netns> {
        self.netns.as_deref()
    }

    /// Runs `act` with this side's sysctls.
    pub fn sysctl<T>(&self, act: impl FnOnce(&Sysctls) -> Result<T>) -> Result<T> {
        self.within(|| act(&Sysctls::of_this_visit()))?
    }

    /// Runs `act` with the thread in this side's namespace.
    pub(crate) fn within<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        match &self.netns {
            Some(netns) => netns.scope(act).map_err(kernel),
            None => Ok(act()),
        }
    }

    /// The link with this name, if any.
    pub fn find(&self, name: &str) -> Result<Option<Link>> {
        self.rtnl.link_by_name(name).map_err(kernel)
    }

    /// The link with this name. Fails where it is missing.
    pub fn link(&self, name: &str) -> Result<Link> {
        self.find(name)?.ok_or_else(|| {
            Failure::new(
                ErrorCode::INTERNAL,
                format!("interface {name:?} not found in {self}"),
            )
        })
    }

    /// Subscribes to this side's events. Call it before causing them.
    pub fn watch(&self) -> Result<Watch> {
        Watch::open(self.netns()).map_err(kernel)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Side({})", self.place)
    }
}
