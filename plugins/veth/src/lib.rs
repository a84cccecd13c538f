//! The `ptp` plugin, also called `veth`: a pair of interfaces (veth, or netkit) and host routes, no bridge.
//!
//! The container reaches everything through its gateway, an address that the host's end has as a /32 or /128; the host
//! has a route for each address of the container. An attachment owns its pair, with it addresses and routes on both
//! sides, and its IPAM lease. Forwarding and the masquerade of the subnet are shared and stay.

mod conf;
mod device;

use std::net::IpAddr;

use linkspan_attach::addressing::{self, Scheme};
use linkspan_attach::pair::{self, Pair};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Side, Sides, creation, forwarding, kernel, verify};
use linkspan_filter::masquerade;
use linkspan_filter::masquerade::Ingress;
use linkspan_filter::obstacles::{Obstacle, Passage};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::RouteSpec;
use linkspan_owner::Owner;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::{mismatch, promised};
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
    warn,
};
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::json::Json;
use linkspan_protocol::result::AddResult;
use nix::errno::Errno;

use conf::{Conf, Plan};

/// The plugin under its names.
pub static ENTRY: Entry = Entry::of::<Veth>();

/// Where the container's end stands in `interfaces`.
const CONTAINER: i64 = 1;

/// `RT_SCOPE_HOST` of linux/rtnetlink.h, as the reference has it on its routes to containers.
const SCOPE_HOST: u8 = 254;

#[derive(Debug)]
struct Veth;

impl Plugin for Veth {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["ptp", "veth"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, &conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wishes = Wishes::of_interface(&plan.sysctl, call.attachment.ifname.as_str())?;
        let sides = Sides::open(&call.netns)?;
        creation::is_free(&sides.sandbox, &call.attachment.ifname)?;
        let given = plan.device.given(&sides.host)?;
        if let Some((what, _)) = given.warning() {
            warn(&format!("ptp: {what}"));
        }
        let mut result = interface::lease(call, CONTAINER, undo)?;
        let gateways = gateways(&result)?;
        addressing::possible(&sides.host, &result, plan.mtu)?;
        let owner = call.owner();
        let request = pair::Request {
            owner: &owner,
            ifname: &call.attachment.ifname,
            kind: given.kind,
            bridge: None,
            mtu: plan.mtu,
            mac: None,
        };
        let pair = pair::create(&sides, &request, undo)?;
        sides.host.sysctl(|sysctls| {
            sysctls.refuse_router_advertisements(&pair.host.name)?;
            sysctls.trust_link_local_address(&pair.host.name)
        })?;
        // Masquerade finds the network's host ends by this group.
        let group = owner.network_group();
        pair.host.tag(&owner.line(), group).map_err(kernel)?;
        pair.host.set_up().map_err(kernel)?;
        let interfaces = |pair: &Pair| {
            vec![
                creation::interface(&pair.host, ""),
                creation::interface(&pair.sandbox, &call.netns.to_string()),
            ]
        };
        result.interfaces = interfaces(&pair);
        addressing::apply(
            &sides.sandbox,
            &pair.sandbox,
            &result,
            Scheme::PointToPoint,
            &wishes,
        )?;
        for (address, gateway) in gateways {
            forwarding::enable(&sides.host, &pair.host, address)?;
            answer_as(&pair.host, gateway)?;
            reach(&pair.host, address)?;
        }
        if let Some(masquerade) = &plan.masquerade {
            masquerade.apply(call.into(), &ingress(&owner), &result, undo)?;
        }
        result.interfaces = interfaces(&pair::wait_until_up(&sides, &pair)?);
        interface::resolve_names(call, &mut result);
        Ok(result)
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        interface::detach(call, Ipam::Needed, |teardown| {
            teardown.run("remove masquerade", || masquerade::remove(call));
            teardown.run("delete the interface", || pair::delete(call));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        delegate::check(call)?;
        let sides = Sides::open(&call.netns)?;
        let kind = plan.device.given(&sides.host)?.kind;
        let container = verify::container(call, &sides.sandbox, &promised, kind.as_str())?;
        let host = verify::host_end(&sides.host, &container, &promised)?;
        device::verify_policy(&sides.host, &host)?;
        for (side, end) in [(&sides.sandbox, &container), (&sides.host, &host)] {
            verify::up(side, end)?;
            verify::mtu(side, end, plan.mtu, &promised)?;
        }
        verify::addresses(&sides.sandbox, &container, &promised)?;
        verify::routes(&sides.sandbox, &promised)?;
        interface::has_addresses(&promised)?;
        for ip in &promised.ips {
            let address = ip.address.ip();
            // A later plugin, such as route-override, may have taken the gateway out of the result.
            match ip.gateway {
                Some(gateway) => {
                    let prefix = Family::of(gateway).host_prefix();
                    verify::gateway(&sides.host, &host, gateway, prefix)?;
                }
                None => forwarding::verify(&sides.host, &host, address)?,
            }
            // An address of the host itself needs no way.
            if !sides.are_one()? {
                verify::route_by(&sides.host, &host, address)?;
            }
        }
        match &plan.masquerade {
            Some(masquerade) => {
                let owner = call.owner();
                masquerade.verify(call.into(), &ingress(&owner), &promised)?;
                in_group(&host, &owner)
            }
            None => Ok(()),
        }
    }

    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        let stale = call.stale();
        let interfaces = || pair::collect(&stale);
        interface::collect(call, Ipam::Needed, interfaces, |teardown| {
            teardown.run("remove masquerade", || masquerade::collect(call, &stale));
        })
    }

    fn restore(call: &CheckCall, plan: Plan) -> Result<()> {
        match &plan.masquerade {
            Some(masquerade) => {
                let owner = call.owner();
                masquerade.restore(call.into(), &ingress(&owner), &promised(call)?)
            }
            None => Ok(()),
        }
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        delegate::status(call)?;
        match &plan.masquerade {
            Some(masquerade) => masquerade.status(call),
            None => Ok(()),
        }
    }
}

/// The way by which packets of the containers enter the host. Host ends have random names and share the network's
/// group.
fn ingress(owner: &Owner) -> Ingress {
    Ingress::Group(owner.network_group())
}

/// Checks that a host end with our tag is in the network's group, by which masquerade finds it. Host ends of the Go
/// suite have neither.
fn in_group(host: &Link, owner: &Owner) -> Result<()> {
    let group = owner.network_group();
    if host.alias != owner.line() || host.group == group {
        return Ok(());
    }
    let what = format!("link group of {:?}", host.name);
    let failure = mismatch(what, &group.to_string(), &host.group.to_string());
    Err(failure.hint("`linkspan restore` puts back what is missing"))
}

/// The way of a network's packets through the host: by the pairs' ends, whose names [`pair::create`] makes.
pub fn passage() -> Passage {
    Passage {
        interface: "veth*".to_owned(),
        routed: true,
        bridged: false,
    }
}

/// Warnings about the network's pairs, each with the change that removes the cause.
pub fn warnings(stdin: &[u8]) -> Result<Vec<Obstacle>> {
    let Some(plan) = plan_of(stdin) else {
        return Ok(Vec::new());
    };
    let warning = plan.device.given(&Side::host()?)?.warning();
    let told = warning.map(|(what, remedy)| Obstacle {
        what,
        remedies: vec![remedy],
    });
    Ok(told.into_iter().collect())
}

fn plan_of(stdin: &[u8]) -> Option<Plan> {
    let json = Json::parse(stdin).ok()?;
    Plan::new(&NetConf::decode(&json).ok()?, &json.decode().ok()?).ok()
}

/// Each address with its gateway, without which the container could reach nothing.
fn gateways(result: &AddResult) -> Result<Vec<(IpAddr, IpAddr)>> {
    let refuse = |msg: String| Failure::new(ErrorCode::INTERNAL, msg);
    interface::has_addresses(result)?;
    result
        .ips
        .iter()
        .map(|ip| {
            let gateway = ip.gateway.ok_or_else(|| {
                refuse(format!(
                    "IPAM plugin returned no gateway for {}",
                    ip.address
                ))
                .hint("give the range a gateway: a point-to-point link needs one")
            })?;
            Ok((ip.address.ip(), gateway))
        })
        .collect()
}

/// Makes the host's end answer as the container's gateway. Every pair of the network has the same one.
fn answer_as(host: &Link, gateway: IpAddr) -> Result<()> {
    let flags = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    unless_there(host.add_addr(gateway, Family::of(gateway).host_prefix(), flags))
}

/// Routes the container's address to its pair, in the place of a route that is there: IPAM gave the address to us.
fn reach(host: &Link, address: IpAddr) -> Result<()> {
    let route = RouteSpec {
        scope: Some(SCOPE_HOST),
        ..RouteSpec::to(address, Family::of(address).host_prefix())
    };
    host.replace_route(&route).map_err(kernel)
}

/// Ignores an address that is there already: two addresses may share a gateway.
fn unless_there(added: std::result::Result<(), Error>) -> Result<()> {
    match added {
        Err(err) if !err.is(Errno::EEXIST) => Err(kernel(err)),
        _ => Ok(()),
    }
}
