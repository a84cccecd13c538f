//! The `bridge` plugin: a veth pair from the container to a port of a bridge on the host.
//!
//! An attachment owns its veth pair and its IPAM lease. The bridge, its gateway addresses, forwarding and the
//! masquerade of the subnet are shared by the attachments and stay, and so is the gateway of a VLAN.

mod check;
mod conf;
mod gateway;
mod trunk;
mod vlan;

use linkspan_attach::addressing::{self, Scheme};
use linkspan_attach::pair::{self, Pair};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Side, Sides, bridge, creation, forwarding, kernel, port_pair};
use linkspan_filter::obstacles::{Obstacle, Passage};
use linkspan_filter::spoof::{self, Guarded};
use linkspan_filter::{isolated, masquerade};
use linkspan_netlink::link::{Kind, Link, PortFlags};
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
    warn,
};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::json::Json;
use linkspan_protocol::result::{AddResult, Interface};

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Bridge>();

/// The place of the container's end in `interfaces`.
const CONTAINER: i64 = 2;

#[derive(Debug)]
struct Bridge;

impl Plugin for Bridge {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["bridge"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, &call.args, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wishes = Wishes::of_interface(&plan.sysctl, call.attachment.ifname.as_str())?;
        let sides = Sides::open(&call.netns)?;
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let bridge = bridge::ensure(&sides.host, plan.request())?;
        for (what, _) in plan.vlans.warnings(Some(&bridge)) {
            warn(&what);
        }
        let owner = call.owner();
        let request = pair::Request {
            owner: &owner,
            ifname: &call.attachment.ifname,
            kind: Kind::Veth,
            bridge: Some(&bridge),
            mtu: plan.mtu,
            mac: plan.mac,
        };
        let mut pair = pair::create(&sides, &request, undo)?;
        if plan.spoof_check {
            spoof::apply(&owner, guarded(&pair), undo)?;
        }
        plan.vlans.apply(&pair.host, &bridge)?;
        let flags = PortFlags {
            hairpin: plan.hairpin,
            isolated: plan.isolated || isolated::is_isolated(&plan.bridge)?,
        };
        bridge::start_port(&sides.host, &pair.host, flags, &owner)?;
        let mut result = AddResult {
            interfaces: interfaces(&bridge, &pair, &call.netns.to_string()),
            ..AddResult::default()
        };
        if plan.layer3 {
            let made = Made {
                sides: &sides,
                bridge: &bridge,
                pair: &pair,
                wishes: &wishes,
            };
            configure(call, &plan, &made, &mut result, undo)?;
        } else {
            wishes.apply(&sides.sandbox)?;
            if !plan.leave_down {
                pair.sandbox.set_up().map_err(kernel)?;
            }
        }
        if !plan.leave_down {
            pair = pair::wait_until_up(&sides, &pair)?;
        }
        interface::resolve_names(call, &mut result);
        // The hardware address of a bridge that is not pinned may follow its new port.
        let bridge = sides.host.link(&plan.bridge)?;
        let ends = interfaces(&bridge, &pair, &call.netns.to_string());
        result.interfaces.splice(..ends.len(), ends);
        Ok(result)
    }

    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let layer3 = !call.netconf.ipam.kind.is_empty();
        interface::detach(call, Ipam::Optional, |teardown| {
            if layer3 {
                teardown.run("remove masquerade", || masquerade::remove(call));
            }
            teardown.run("delete the interface", || pair::delete(call));
            teardown.run("remove the MAC spoof check", || spoof::remove(call));
            if conf.may_have_vlan_gateway() {
                let step = || port_pair::delete_unfinished(call);
                teardown.run("delete what is left of a gateway", step);
            }
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        check::run(call, &plan)
    }

    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        let stale = call.stale();
        let interfaces = || pair::collect(&stale);
        interface::collect(call, Ipam::Optional, interfaces, |teardown| {
            teardown.run("remove masquerade", || masquerade::collect(call, &stale));
            teardown.run("remove MAC spoof checks", || spoof::collect(&stale));
        })
    }

    fn restore(call: &CheckCall, plan: Plan) -> Result<()> {
        if let Some(masquerade) = plan.masquerade.as_ref().filter(|_| plan.layer3) {
            masquerade.restore(call.into(), &plan.ingress(), &promised(call)?)?;
        }
        if plan.spoof_check {
            let pair = check::pair(call, &Sides::open(&call.netns)?, &promised(call)?)?;
            spoof::restore(call.into(), guarded(&pair))?;
        }
        Ok(())
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        let (host, strict) = (Side::host()?, call.netconf.strict_status);
        bridge::status(&host, &plan.bridge, plan.vlans.filtering(), strict)?;
        if plan.layer3 {
            delegate::status(call)?;
        }
        if let Some(masquerade) = &plan.masquerade {
            masquerade.status(call)?;
        }
        if plan.spoof_check {
            spoof::status()?;
        }
        Ok(())
    }
}

/// The path of a network's packets through the host, for a configuration on stdin; `None` if the plugin would refuse
/// it.
pub fn passage(stdin: &[u8]) -> Option<Passage> {
    let plan = plan_of(stdin)?;
    Some(Passage {
        interface: plan.gateway(),
        routed: plan.layer3 && plan.is_gateway,
        bridged: true,
    })
}

/// Warnings about the network's VLANs, with the commands that remove the causes.
pub fn warnings(stdin: &[u8]) -> Result<Vec<Obstacle>> {
    let Some(plan) = plan_of(stdin) else {
        return Ok(Vec::new());
    };
    let bridge = Side::host()?.find(&plan.bridge)?;
    let warnings = plan.vlans.warnings(bridge.as_ref()).into_iter();
    Ok(warnings
        .map(|(what, remedies)| Obstacle { what, remedies })
        .collect())
}

fn plan_of(stdin: &[u8]) -> Option<Plan> {
    let json = Json::parse(stdin).ok()?;
    Plan::new(&NetConf::decode(&json).ok()?, "", json.decode().ok()?).ok()
}

/// The state that an ADD has made, or found, before it asks for addresses.
struct Made<'a> {
    sides: &'a Sides,
    bridge: &'a Link,
    pair: &'a Pair,
    wishes: &'a Wishes,
}

/// Addresses of the container and gateways of the bridge.
fn configure(
    call: &AddCall,
    plan: &Plan,
    made: &Made<'_>,
    result: &mut AddResult,
    undo: &mut Undo,
) -> Result<()> {
    let lease = interface::lease(call, CONTAINER, undo)?;
    addressing::possible(&made.sides.host, &lease, plan.mtu)?;
    result.ips = lease.ips;
    result.routes = lease.routes;
    result.dns = lease.dns;
    let gateways = gateway::adopt(result, plan);
    addressing::apply(
        &made.sides.sandbox,
        &made.pair.sandbox,
        result,
        Scheme::Subnet { dad: plan.dad },
        made.wishes,
    )?;
    let own = vlan_gateway(call, plan, made)?;
    let at = own.as_ref().unwrap_or(made.bridge);
    for gateway in &gateways {
        let given = (&*gateways, plan.force_address);
        bridge::ensure_address(&made.sides.host, at, *gateway, given)?;
        forwarding::enable(&made.sides.host, at, gateway.ip())?;
    }
    let own = own.map(|link| creation::interface(&link, ""));
    result.interfaces.extend(own);
    match &plan.masquerade {
        Some(masquerade) => masquerade.apply(call.into(), &plan.ingress(), result, undo),
        None => Ok(()),
    }
}

/// The host's own interface in the VLAN.
fn vlan_gateway(call: &AddCall, plan: &Plan, made: &Made<'_>) -> Result<Option<Link>> {
    let Some(name) = plan.vlan_gateway() else {
        return Ok(None);
    };
    let vlans = plan.vlans.of_gateway();
    let settle = |port: &Link| vlans.apply(port, made.bridge);
    let host = &made.sides.host;
    port_pair::ensure(host, &name, made.bridge, &call.owner(), settle).map(Some)
}

/// The port, and the source that the spoof check permits.
fn guarded(pair: &Pair) -> Guarded<'_> {
    Guarded {
        port: &pair.host.name,
        source: MacAddr(pair.sandbox.mac),
    }
}

fn interfaces(bridge: &Link, pair: &Pair, sandbox: &str) -> Vec<Interface> {
    vec![
        creation::interface(bridge, ""),
        creation::interface(&pair.host, ""),
        creation::interface(&pair.sandbox, sandbox),
    ]
}
