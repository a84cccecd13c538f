//! The host's part of an attachment: made, verified and taken away, one at a time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use linkspan_attach::{Side, kernel, verify};
use linkspan_netlink::addr::Addr;
use linkspan_netlink::link::{Kind, Link};
use linkspan_owner::home::Home;
use linkspan_owner::life::{HostEnd, Judge, Life};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{GcCall, Result, Teardown, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use crate::conf::Plan;
use crate::kept::{Kept, Store, Turn, remembered};
use crate::pod::{self, End, Pod, Through};
use crate::shim::{self, Shim};

/// The scope of addresses that others may reach, as the kernel numbers it.
const GLOBAL: u8 = 0;
/// How many addresses of its master a container is led to at most.
const MOST: usize = 32;

/// Whether an address means something on one link alone.
fn is_of_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// An attachment that the host is to reach.
#[derive(Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) host: &'a Side,
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) store: Store,
    /// The container's addresses.
    pub(crate) ips: Vec<IpAddr>,
}

/// The addresses of the interface in a result.
pub(crate) fn addresses(result: &AddResult, link: &Link) -> Result<Vec<IpAddr>> {
    let own = verify::addresses_of(result, link);
    let own: Vec<IpAddr> = own.map(|ip| ip.address.ip()).collect();
    if own.is_empty() {
        let text = format!("host-reach: interface {:?} has no addresses", link.name);
        return Err(Failure::config(text).hint("give the interface plugin an \"ipam\""));
    }
    Ok(own)
}

impl Reach<'_> {
    /// The destinations that the container reaches by the host: the addresses of the master, the host's source address in
    /// the container's network, and those of the plan.
    pub(crate) fn through(&self) -> Result<Through<'_>> {
        if !self.plan.networks.is_empty() && matches!(self.pod.link.kind, Kind::Ipvlan(_)) {
            let failure = Failure::config("networks are not possible with ipvlan");
            return Err(failure.hint("leave out \"networks\", or attach by macvlan"));
        }
        let mut found = Vec::new();
        for ip in &self.ips {
            let way = self.host.rtnl.lookup(*ip).map_err(kernel)?;
            found.extend(way.and_then(|way| way.src).filter(|src| !is_of_link(*src)));
        }
        let of_master = self.pod.master.addrs(None).map_err(kernel)?;
        let is_usable = |addr: &&Addr| addr.scope == GLOBAL && !addr.tentative;
        let of_master = of_master.iter().filter(is_usable);
        found.extend(of_master.map(|addr| addr.ip).take(MOST));
        found.extend(&self.plan.host_addresses);
        let mut seen = BTreeSet::new();
        // A link of ours has such an address where the host reaches the container already.
        found.retain(|ip| !shim::is_address(*ip) && seen.insert(*ip));
        Ok(Through {
            addresses: found,
            networks: &self.plan.networks,
        })
    }

    /// Makes the host's way to the container. Returns the host's end of it.
    pub(crate) fn make(&self, undo: &mut Undo) -> Result<End> {
        let _turn = Turn::take(&self.plan.dir)?;
        // An earlier ADD may have made one.
        free(self.host, &self.store.read()?)?;
        for ip in &self.ips {
            self.make_room(*ip)?;
        }
        let (pod, master) = (self.pod, &self.pod.master);
        self.store.write(&Kept {
            home: Home::of(pod.netns),
            link: shim::name(master),
            addresses: self.ips.clone(),
        })?;
        let store = self.store.clone();
        undo.push("take the host's way to the container", move || {
            release(&store, None)
        });
        let shim = Shim::ensure(self.host, master, &pod.link.kind, &self.families())?;
        for ip in &self.ips {
            shim.lead(*ip, pod.link.mac)?;
        }
        for network in &self.plan.networks {
            shim.forward(network.ip())?;
        }
        Ok(shim.end())
    }

    fn families(&self) -> Vec<Family> {
        let has = |family: &Family| self.ips.iter().any(|ip| Family::of(*ip) == *family);
        Family::BOTH.into_iter().filter(has).collect()
    }

    /// Takes an address from an attachment that is gone, and whose DEL never came. Refuses one of an attachment that may
    /// live.
    fn make_room(&self, ip: IpAddr) -> Result<()> {
        let way = self.host.rtnl.lookup(ip).map_err(kernel)?;
        let Some(shim) = Shim::at(self.host, way.and_then(|way| way.oif))? else {
            return Ok(());
        };
        for other in self.store.others()? {
            let mut kept = other.read()?;
            if kept.link != shim.link.name || !kept.addresses.contains(&ip) {
                continue;
            }
            let judge = Judge::now();
            let life = kept
                .home
                .as_ref()
                .map_or(Life::Unknown, |home| judge.home(home, || HostEnd::Untold));
            if life != Life::Gone {
                let text = format!(
                    "the host reaches {ip} by {} for {}",
                    kept.link,
                    other.owner()
                );
                return Err(Failure::new(ErrorCode::INTERNAL, text).hint(
                    "detach that one with DEL or GC, or give one of the two another address",
                ));
            }
            kept.addresses.retain(|told| *told != ip);
            other.write(&kept)?;
        }
        shim.unlead(ip)?;
        if shim.link.name == shim::name(&self.pod.master) {
            return Ok(());
        }
        shim.delete_if_idle()
    }
}

/// CHECK: the host still leads to the container. Returns the host's end.
pub(crate) fn verify(host: &Side, pod: &Pod<'_>, ips: &[IpAddr]) -> Result<End> {
    let name = shim::name(&pod.master);
    let shim = Shim::find(host, &name)?
        .ok_or_else(|| mismatch(format!("interface {name:?} on the host"), "a link", "none"))?;
    verify::up(host, &shim.link)?;
    let known = shim.link.neighbours().map_err(kernel)?;
    for ip in ips {
        let way = host.rtnl.lookup(*ip).map_err(kernel)?;
        let is_led = way.is_some_and(|way| way.oif == Some(shim.link.index));
        let told = known.iter().find(|one| one.ip == *ip);
        if !is_led || told.map(|one| one.mac) != Some(Some(pod.link.mac)) {
            let what = format!("way of the host to {ip}");
            return Err(mismatch(what, &name, "none"));
        }
    }
    Ok(shim.end())
}

/// Takes away what an ADD has made on the host. Where its memory is lost, `told` has its addresses.
pub(crate) fn release(store: &Store, told: Option<&AddResult>) -> Result<()> {
    let host = Side::host()?;
    let is_lost = store.read()? == Kept::default();
    if is_lost && (told.is_none() || Shim::all(&host)?.is_empty()) {
        return store.forget();
    }
    let _turn = Turn::take(store.dir())?;
    let mut teardown = Teardown::default();
    if is_lost {
        teardown.run("delete routes", || {
            by_result(&host, store, told.unwrap_or(&AddResult::default()))
        });
    } else {
        // Somebody may have been faster.
        let kept = store.read()?;
        teardown.run("delete routes", || free(&host, &kept));
    }
    if teardown.is_clean() {
        teardown.run("forget", || store.forget());
    }
    teardown.finish()
}

/// Deletes the routes of an attachment, and the link that nobody needs any more.
fn free(host: &Side, kept: &Kept) -> Result<()> {
    let Some(shim) = Shim::find(host, &kept.link)? else {
        return Ok(());
    };
    let mut teardown = Teardown::default();
    for ip in &kept.addresses {
        teardown.run("delete a route", || shim.unlead(*ip));
    }
    teardown.run("delete the link", || shim.delete_if_idle());
    teardown.finish()
}

/// The same by the addresses of a result, but of those that another attachment has.
fn by_result(host: &Side, store: &Store, told: &AddResult) -> Result<()> {
    let mut ips: Vec<IpAddr> = told.ips.iter().map(|ip| ip.address.ip()).collect();
    for other in store.others()? {
        let theirs = other.read()?.addresses;
        ips.retain(|ip| !theirs.contains(ip));
    }
    let mut teardown = Teardown::default();
    for shim in Shim::all(host)? {
        let kept = Kept {
            link: shim.link.name,
            addresses: ips.clone(),
            home: None,
        };
        teardown.run("delete routes", || free(host, &kept));
    }
    teardown.finish()
}

/// Takes the container's way to the host, where its namespace is still at the path that ADD had.
fn leave(store: &Store) -> Result<()> {
    let home = store.read()?.home.filter(Home::is_there);
    let path = home.as_ref().and_then(|home| home.path().to_str());
    let Some(netns) = path.and_then(NetnsPath::new) else {
        return Ok(());
    };
    let ifname = store.attachment().ifname.as_str();
    Side::unless_gone(&netns, |side| pod::unlead(side, &netns, ifname))
}

/// GC: takes away what belongs to no valid attachment of the network, and links that nobody needs.
pub(crate) fn collect(call: &GcCall, dir: &Path) -> Result<()> {
    let mut teardown = Teardown::default();
    for store in remembered(dir)? {
        if store.is_of(&call.network) && !call.valid_attachments.contains(store.attachment()) {
            teardown.run("take a way of a container", || leave(&store));
            teardown.run("take a way of the host", || release(&store, None));
        }
    }
    teardown.run("delete links", || {
        let host = Side::host()?;
        if Shim::all(&host)?.is_empty() {
            return Ok(());
        }
        let _turn = Turn::take(dir)?;
        let idle = Shim::all(&host)?;
        idle.iter().try_for_each(Shim::delete_if_idle)
    });
    teardown.finish()
}
