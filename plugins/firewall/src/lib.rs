//! The `firewall` plugin: lets a container's packets through the host's packet filter, and limits the peers that may
//! reach the container. A chained plugin.
//!
//! An attachment owns its addresses and its place on a bridge, as elements of our table. The rules of an address go
//! with the last attachment that has it, and the policy of a bridge goes with its last container. Chains and the jumps
//! to them stay.
//!
//! - An accept is needed in the filter that drops the packet: in iptables if that is in use, in firewalld if it runs.
//! - A drop is final. So a policy is enforced in our own table. It is also in iptables, for the other suite.

mod bus;
mod chains;
mod claim;
mod conf;
mod establish;
mod firewalld;
mod held;
mod message;
mod part;
mod place;
mod port;
mod sets;
mod standing;
mod told;
mod verify;
mod withdraw;

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_filter::iptables::Iptables;
use linkspan_filter::table::{self, Support};
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use claim::Claim;
use conf::{Backend, Conf, Plan, Policy};
use establish::How;
use firewalld::Firewalld;
use part::PART;
use withdraw::Condemned;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Firewall>();

pub use told::{part, rules};

#[derive(Debug)]
struct Firewall;

impl Plugin for Firewall {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["firewall"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let result = call.netconf.prev_result()?.ok_or_else(|| {
            Failure::config("missing prevResult from earlier plugin")
                .hint("put firewall after an interface plugin in the list")
        })?;
        let claim = Claim::new(call.owner(), &plan, &result)?;
        if let Some(member) = &claim.member {
            port::isolate(&call.netns, call.attachment.ifname.as_str(), member, undo)?;
        }
        establish(call, &plan, &claim, undo)?;
        Ok(result)
    }

    /// DEL needs neither a namespace nor a previous result: the elements hold all state.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let (backend, zone) = conf::leniently(conf);
        let own = call.owner();
        let told = call.netconf.prev_result().ok().flatten();
        let ifname = call.attachment.ifname.as_str();
        let port = || {
            let netns = call.netns.as_ref()?;
            Some(port::host_end(netns, ifname).ok()??.index)
        };
        let condemned = Condemned {
            is: &|owner| *owner == own,
            own: Some(&own),
            told: told.map(|told| claim::addresses(&told)).unwrap_or_default(),
            port: &port,
        };
        remove(call, backend, &zone, &condemned)
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let claim = Claim::new(call.owner(), &plan, &promised(call)?)?;
        let firewalld = in_charge(call, plan.backend)?;
        let how = how(&plan, firewalld.is_some());
        verify::verify(&claim, how)?;
        if let Some(mut firewalld) = firewalld {
            for ip in &claim.addresses {
                firewalld.verify(&plan.zone, *ip)?;
            }
        }
        match &claim.member {
            Some(member) => port::verify(&call.netns, call.attachment.ifname.as_str(), member),
            None => Ok(()),
        }
    }

    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        let (backend, zone) = conf::leniently(conf);
        let stale = call.stale();
        let condemned = Condemned {
            is: &|owner| stale.includes(owner),
            own: None,
            told: BTreeSet::new(),
            port: &|| None,
        };
        remove(call, backend, &zone, &condemned)
    }

    fn restore(call: &CheckCall, plan: Plan) -> Result<()> {
        let claim = Claim::new(call.owner(), &plan, &promised(call)?)?;
        let restored = Undo::scope(|undo| {
            if let Some(member) = &claim.member {
                port::isolate(&call.netns, call.attachment.ifname.as_str(), member, undo)?;
            }
            establish(call, &plan, &claim, undo)
        });
        restored.map(|_| ())
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin])?;
        if plan.policy == Some(Policy::Isolated) {
            require(&[Capability::SysAdmin])?;
        }
        let firewalld = in_charge(call, plan.backend).map(|found| found.is_some());
        let refused = firewalld.and_then(|_| match table::support(&PART)? {
            Support::Whole(_) => Ok(()),
            _ => Iptables::of(Family::V4).on("filter").saved().map(drop),
        });
        refused.map_err(|failure| {
            failure
                .with_code(ErrorCode::NOT_AVAILABLE)
                .context("firewall has no usable packet filter")
        })
    }
}

/// firewalld, if it decides which packets are accepted.
fn in_charge(call: &Call, backend: Option<Backend>) -> Result<Option<Firewalld>> {
    match backend {
        Some(Backend::Iptables | Backend::Nftables) => Ok(None),
        Some(Backend::Firewalld) => {
            let found = Firewalld::find(call.system_bus())?;
            found.ok_or_else(firewalld::absent).map(Some)
        }
        // The configuration does not name firewalld, so an inaccessible bus is not an error.
        None => Ok(Firewalld::find(call.system_bus()).unwrap_or_default()),
    }
}

fn how(plan: &Plan, has_firewalld: bool) -> How<'_> {
    How {
        iptables: plan.backend != Some(Backend::Nftables),
        makes_table: plan.backend == Some(Backend::Iptables),
        accepts: !has_firewalld,
        admin: &plan.admin,
    }
}

fn establish(call: &Call, plan: &Plan, claim: &Claim, undo: &mut Undo) -> Result<()> {
    let firewalld = in_charge(call, plan.backend)?;
    establish::establish(claim, how(plan, firewalld.is_some()), undo)?;
    let Some(mut firewalld) = firewalld else {
        return Ok(());
    };
    for ip in &claim.addresses {
        let (address, zone, ip) = (call.system_bus().to_owned(), plan.zone.clone(), *ip);
        let added = firewalld.add(&plan.zone, ip);
        undo.push_unless_refused(added, "remove the source of the zone", move || {
            leave(&address, None, &zone, &[ip].into())
        })?;
    }
    Ok(())
}

/// Removes the state of the condemned attachments.
fn remove(
    call: &Call,
    backend: Option<Backend>,
    zone: &str,
    condemned: &Condemned<'_>,
) -> Result<()> {
    let mut teardown = Teardown::default();
    let mut gone = BTreeSet::new();
    teardown.run("withdraw the rules", || {
        gone = withdraw::withdraw(condemned)?;
        Ok(())
    });
    teardown.run("remove the sources of the zone", || {
        leave(call.system_bus(), backend, zone, &gone)
    });
    teardown.finish()
}

/// Removes addresses without an attachment from the zone. If firewalld does not run or cannot be reached, there is
/// nothing to do.
fn leave(
    address: &str,
    backend: Option<Backend>,
    zone: &str,
    gone: &BTreeSet<IpAddr>,
) -> Result<()> {
    let is_elsewhere = matches!(backend, Some(Backend::Iptables | Backend::Nftables));
    if gone.is_empty() || is_elsewhere {
        return Ok(());
    }
    let found = Firewalld::find(address);
    let found = if backend.is_some() {
        found?
    } else {
        found.unwrap_or_default()
    };
    let Some(mut firewalld) = found else {
        return Ok(());
    };
    for ip in gone {
        firewalld.remove(zone, *ip)?;
    }
    Ok(())
}
