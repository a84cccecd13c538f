//! The `sbr` plugin: routing by source address. Packets from an address of the interface use the interface's own
//! routes, whatever else is in the main table. A chained plugin.
//!
//! It owns rules in the container, which have the attachment's number, and the routes of their tables. All of them go
//! with the container's namespace. DEL puts the routes back.

mod check;
mod claim;
mod conf;
mod steer;

use linkspan_attach::parking::Parking;
use linkspan_attach::routes::{Routes, SBR, table_of_vrf};
use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_netlink::route::MAIN;
use linkspan_netlink::rule::Rule;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, IpConfig};

use claim::{Claim, Marks, Tables};
use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Sbr>();

#[derive(Debug)]
struct Sbr;

impl Plugin for Sbr {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["sbr"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let result = chained::previous(call)?;
        let ifname = call.attachment.ifname.as_str();
        if result.ips.is_empty() {
            let text = format!("No IP addresses supplied on interface: {ifname}");
            return Err(Failure::new(ErrorCode::INTERNAL, text)
                .hint("give the interface plugin before sbr an IPAM plugin"));
        }
        let sandbox = Side::inside(&call.netns)?;
        let link = sandbox.link(ifname)?;
        let ips = addresses_of(&result, ifname);
        let claim = Claim {
            side: &sandbox,
            netns: &call.netns,
            marks: Marks::of(&call.owner()),
            oif: plan.oif_rule.then_some(ifname),
        };
        if let Some(table) = plan.table {
            claim.tables(&ips, Tables::Fixed(table), undo)?;
            return Ok(result);
        }
        let routes = by_link(&sandbox, &call.netns, &link);
        let all = routes.all()?;
        let ways = claim.tables(&ips, Tables::Free(&all), undo)?;
        let work = steer::Work {
            routes: &routes,
            ways: &ways,
            plan: &plan,
            home: home_of(&sandbox, &link)?,
            parked: Parking::of(&call.owner()).aside(),
        };
        work.run(routes.own_of(all), undo)?;
        Ok(result)
    }

    /// DEL finds the rules by the attachment's numbers. Rules of the Go plugin have none, so it finds those by their
    /// address. The rules tell which tables are ours, so they are deleted last.
    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        let Some(netns) = &call.netns else {
            return Ok(());
        };
        let Some(sandbox) = Side::sandbox(netns)? else {
            return Ok(());
        };
        let (marks, ifname) = (Marks::of(&call.owner()), call.attachment.ifname.as_str());
        let rules = claim::rules(&sandbox)?;
        let mut teardown = Teardown::default();
        // DEL works with a malformed previous result.
        let told = call.netconf.prev_result().ok().flatten();
        let told = addresses_of(&told.unwrap_or_default(), ifname);
        let mut ips: Vec<_> = told.iter().map(|ip| ip.address.ip()).collect();
        if let Some(link) = sandbox.find(ifname)? {
            let present = link.addrs(None).map_err(kernel)?;
            ips.extend(present.into_iter().map(|addr| addr.ip));
            let filled = rules.iter().filter(|rule| rule.owner == Some(marks.filled));
            let mut tables: Vec<_> = filled.filter_map(|rule| rule.table).collect();
            if !tables.is_empty() {
                tables.push(Parking::of(&call.owner()).aside());
                let main = home_of(&sandbox, &link)?;
                let home = |table| tables.contains(&table).then_some(main);
                by_link(&sandbox, netns, &link).put_back(home, &mut teardown);
            }
        }
        let is_of_address = |rule: &&Rule| {
            let is_free = rule.owner.is_none() && rule.table.is_some();
            is_free && rule.src.is_some_and(|(src, _)| ips.contains(&src))
        };
        for rule in rules
            .iter()
            .filter(|rule| marks.has(rule) || is_of_address(rule))
        {
            teardown.run("delete a rule", || claim::delete(&sandbox, rule));
        }
        teardown.finish()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        let sandbox = Side::inside(&call.netns)?;
        let ifname = call.attachment.ifname.as_str();
        let link = sandbox.link(ifname)?;
        let routes = by_link(&sandbox, &call.netns, &link);
        let ips = addresses_of(&promised, ifname);
        check::run(&sandbox, &link, &routes.list()?, &ips, &plan)
    }

    /// Rules and routes go with their namespaces.
    fn gc(_call: &GcCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    /// Every kernel has rules of IPv4; those of IPv6 come with IPv6.
    fn status(_call: &StatusCall, _plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        let host = Side::host()?;
        let rules = host.rtnl.rules(Family::V4);
        rules.map(drop).map_err(|err| {
            kernel(err)
                .with_code(ErrorCode::NOT_AVAILABLE)
                .hint("use a kernel with CONFIG_IP_MULTIPLE_TABLES")
        })
    }
}

fn by_link<'a>(side: &'a Side, netns: &'a NetnsPath, link: &'a Link) -> Routes<'a> {
    Routes {
        side,
        netns,
        link,
        protocol: SBR,
    }
}

/// The table that the interface's routes are in without the plugin.
fn home_of(side: &Side, link: &Link) -> Result<u32> {
    Ok(table_of_vrf(side, link)?.unwrap_or(MAIN))
}

/// The addresses of the interface. One without an interface, or with one that the result does not have, is taken for its
/// own, as the reference does.
fn addresses_of(result: &AddResult, ifname: &str) -> Vec<IpConfig> {
    let is_own = |ip: &&IpConfig| {
        let index = ip.interface.and_then(|index| usize::try_from(index).ok());
        let interface = index.and_then(|index| result.interfaces.get(index));
        interface.is_none_or(|interface| interface.name == ifname)
    };
    result.ips.iter().filter(is_own).cloned().collect()
}

/// Returns whether the rule, of whatever table, is for the address.
fn is_rule_of(rule: &Rule, ip: &IpConfig) -> bool {
    let address = ip.address.ip();
    rule.src == Some((address, Family::of(address).host_prefix())) && rule.table.is_some()
}
