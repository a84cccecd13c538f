//! The `portmap` plugin: ports of the host that lead to the container. A chained plugin: it works on the result of the
//! interface plugin before it and passes that on unchanged.
//!
//! An attachment owns the elements of its ports. The table and everything in [`rules`] are shared and stay. Without
//! `portMappings` the plugin does nothing.

mod conf;
mod conflict;
mod elements;
mod flows;
mod foreign;
mod iptables;
mod lives;
mod localnet;
mod mapping;
mod native;
mod publication;
mod published;
mod room;
mod rules;
mod sets;
mod stolen;
mod upgrade;

use std::time::Duration;

use linkspan_attach::{Side, kernel};
use linkspan_filter::backend::Backend;
use linkspan_filter::table;
use linkspan_filter::table::{Part, Support};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Netfilter;
use linkspan_owner::home::Home;
use linkspan_owner::{Owner, Subject};
use linkspan_plugin::check::promised;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};
use elements::{Target, Translate};
use publication::Publication;
use rules::PART;

pub use foreign::Keeper;
pub use mapping::Protocol;
pub use published::{Published, published};
pub use stolen::{Stolen, stolen};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Portmap>();

/// The part of the table, for those who tell what is in it.
pub fn part() -> &'static Part {
    &PART
}

#[derive(Debug)]
struct Portmap;

impl Plugin for Portmap {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["portmap"];
    const NEEDED: &'static [&'static str] = &["runtimeConfig.portMappings"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let result = chained::previous(call)?;
        if !plan.mappings.is_empty() {
            let addresses = conf::addresses(&result, &call.attachment.ifname);
            let home = Home::of(&call.netns);
            publish(call.into(), home.as_ref(), &plan, &addresses, undo)?;
        }
        Ok(result)
    }

    /// DEL needs no previous result, and searches every packet filter: another suite, or another configuration, may
    /// have published the ports.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        if Plan::has_no_mappings(&conf) {
            return Ok(());
        }
        let opened = table::open_whole(&PART)?;
        let netfilter = opened.as_ref().map(|(netfilter, _)| netfilter);
        let mut teardown = Teardown::default();
        let mut withdrawn = Vec::new();
        let told = told(call, conf);
        if let Some(netfilter) = netfilter {
            let own = call.owner();
            teardown.run("withdraw the ports", || {
                withdrawn = match &told {
                    Some(told) => native::withdraw_told(netfilter, told)?,
                    None => native::withdraw(netfilter, |owner| *owner == own)?,
                };
                Ok(())
            });
        }
        teardown.run("withdraw from iptables", || {
            iptables::withdraw(call, netfilter)
        });
        // Chains of iptables do not list their ports in a useful form, so the result names them.
        withdrawn.extend(told.iter().flat_map(Publication::led));
        teardown.run("forget flows", || flows::forget_own(&withdrawn));
        teardown.finish()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        if plan.mappings.is_empty() {
            return Ok(());
        }
        let addresses = conf::addresses(&promised, &call.attachment.ifname);
        let netfilter = table::open()?;
        match netfilter.as_ref() {
            Some(netfilter)
                if plan.backend != Some(Backend::Iptables)
                    && !iptables::is_there(call, Some(netfilter))? =>
            {
                let host = Side::host()?;
                let publication = publication(&host.rtnl, &plan, &addresses, call.into())?;
                native::verify(netfilter, &publication)
            }
            netfilter => iptables::verify(call, &plan, &addresses, netfilter),
        }
    }

    /// Reads no mappings: a runtime has none for GC. Nft rules of the Go suite do not name their network, and stay.
    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        let stale = call.stale();
        let opened = table::open_whole(&PART)?;
        let netfilter = opened.as_ref().map(|(netfilter, _)| netfilter);
        let mut teardown = Teardown::default();
        if let Some(netfilter) = netfilter {
            teardown.run("withdraw the ports", || {
                withdraw(netfilter, |owner| stale.includes(owner))
            });
        }
        teardown.run("withdraw from iptables", || {
            iptables::collect(call, netfilter)
        });
        teardown.finish()
    }

    /// Puts back only what is missing, and nothing beside ports in the Go suite's form.
    fn restore(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        let netfilter = table::open()?;
        if plan.mappings.is_empty() || iptables::is_there(call, netfilter.as_ref())? {
            return Ok(());
        }
        let addresses = conf::addresses(&promised, &call.attachment.ifname);
        if let Some(netfilter) = netfilter.filter(|_| plan.backend != Some(Backend::Iptables)) {
            let host = Side::host()?;
            let promised = publication(&host.rtnl, &plan, &addresses, call.into())?;
            if native::verify(&netfilter, &promised).is_ok() {
                return Ok(());
            }
        }
        let home = Home::of(&call.netns);
        // A port that another owner has by now is refused at once.
        let plan = Plan {
            port_wait: Duration::ZERO,
            ..plan
        };
        let restored =
            Undo::scope(|undo| publish(call.into(), home.as_ref(), &plan, &addresses, undo));
        restored.map(|_| ())
    }

    fn status(_call: &StatusCall, plan: Plan) -> Result<()> {
        match native(plan.backend, table::support) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => iptables::status(&plan),
            Err(failure) => Err(failure),
        }
        .map_err(|failure| {
            failure
                .with_code(ErrorCode::NOT_AVAILABLE)
                .context("portmap has no usable packet filter")
        })
    }
}

/// Publishes the ports of `plan` at the container's addresses.
fn publish(
    subject: Subject<'_>,
    home: Option<&Home>,
    plan: &Plan,
    addresses: &[Cidr],
    undo: &mut Undo,
) -> Result<()> {
    let host = Side::host()?;
    if let Some(netfilter) = native(plan.backend, table::ready)? {
        let publication = publication(&host.rtnl, plan, addresses, subject)?;
        let room = || room::make(&netfilter, subject, &plan.mappings, addresses);
        let published = conflict::publish(&netfilter, &publication, home, plan.port_wait, room);
        // The step opens a connection of its own, because unread answers may be left in this one.
        undo.push_unless_refused(published, "withdraw the ports", move || {
            let of_us = |owner: &Owner| *owner == publication.owner;
            table::open()?.map_or(Ok(()), |netfilter| withdraw(&netfilter, of_us))
        })?;
    } else {
        iptables::publish(subject, plan, addresses, undo)?;
    }
    flows::forget_others(&host.rtnl, &plan.mappings, addresses)
}

/// A connection to nf_tables; `None` where the configuration or the kernel leaves only iptables.
fn native(
    backend: Option<Backend>,
    support: fn(&Part) -> Result<Support>,
) -> Result<Option<Netfilter>> {
    if backend == Some(Backend::Iptables) {
        return Ok(None);
    }
    let why = match support(&PART)? {
        Support::Whole(netfilter) => return Ok(Some(netfilter)),
        _ if backend.is_none() => return Ok(None),
        Support::Absent => "this kernel has no nf_tables".to_owned(),
        Support::Lacking(err) => format!("this kernel's nf_tables lacks a part: {err}"),
    };
    Err(
        Failure::new(ErrorCode::INTERNAL, format!("publish ports: {why}")).hint(
            "load the kernel modules nf_tables, nft_chain_nat, nft_nat, nft_masq and nft_fib_inet, or set \"backend\" to \"iptables\"",
        ),
    )
}

/// The publication that the input of DEL tells; `None` where it has no ports or no result, or where either is malformed. The
/// routes at ADD are not known, so the sources in it are only there.
fn told(call: &DelCall, conf: Conf) -> Option<Publication> {
    let plan = Plan::new(conf).ok()?;
    let result = call.netconf.prev_result().ok()??;
    let target = |address: Cidr| Target {
        address,
        source: Some(address.ip()),
    };
    let addresses = conf::addresses(&result, &call.attachment.ifname);
    Some(Publication {
        owner: call.owner(),
        mappings: plan.mappings,
        targets: addresses.into_iter().map(target).collect(),
        translate: Translate {
            snat: plan.snat,
            masq_all: plan.masq_all,
        },
    })
}

fn publication(
    rtnl: &Rtnl,
    plan: &Plan,
    addresses: &[Cidr],
    subject: Subject<'_>,
) -> Result<Publication> {
    let target = |address: &Cidr| {
        let lookup = rtnl.lookup(address.ip()).map_err(kernel)?;
        Ok(Target {
            address: *address,
            source: lookup.and_then(|lookup| lookup.src),
        })
    };
    Ok(Publication {
        owner: subject.owner(),
        mappings: plan.mappings.clone(),
        targets: addresses.iter().map(target).collect::<Result<_>>()?,
        translate: Translate {
            snat: plan.snat,
            masq_all: plan.masq_all,
        },
    })
}

/// Withdraws the ports of the condemned owners, and forgets the flows to them.
fn withdraw(netfilter: &Netfilter, condemned: impl Fn(&Owner) -> bool) -> Result<()> {
    flows::forget_own(&native::withdraw(netfilter, condemned)?)
}
