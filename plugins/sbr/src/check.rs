//! The comparisons of CHECK: rules and tables.

use std::net::IpAddr;

use linkspan_attach::Side;
use linkspan_netlink::link::Link;
use linkspan_netlink::rule::Rule;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::IpConfig;

use crate::claim::rules;
use crate::conf::Plan;
use crate::is_rule_of;

/// Verifies that each address has a rule. The rule leads to the table of the configuration, or else to one with a
/// default route through the gateway, if there is one.
pub(crate) fn run(
    side: &Side,
    link: &Link,
    routes: &[Stored],
    ips: &[IpConfig],
    plan: &Plan,
) -> Result<()> {
    let rules = rules(side)?;
    for ip in ips {
        let address = ip.address.ip();
        let family = Family::of(address);
        let of_address = rules.iter().filter(|rule| is_rule_of(rule, ip));
        let tables: Vec<u32> = of_address.filter_map(|rule| rule.table).collect();
        let what = format!("rule from {address} in {side}");
        let Some(first) = tables.first() else {
            return Err(mismatch(what, "lookup of a table", "none"));
        };
        let gateway = plan.gateways.of_family(family).or(ip.gateway);
        match (plan.table, gateway) {
            (Some(table), _) if !tables.contains(&table) => {
                let (expected, found) = (format!("lookup {table}"), format!("lookup {first}"));
                return Err(mismatch(what, &expected, &found));
            }
            (None, Some(gateway)) if !leads_to(gateway, routes, &tables) => {
                let expected = format!("default via {gateway} dev {}", link.name);
                return Err(mismatch(
                    format!("table {first} of {side}"),
                    &expected,
                    "none",
                ));
            }
            _ => {}
        }
        if plan.oif_rule && !rules.iter().any(|rule| is_for_bound(rule, family, link)) {
            let what = format!("rule for sockets bound to {} in {side}", link.name);
            return Err(mismatch(what, "lookup of a table", "none"));
        }
    }
    Ok(())
}

/// Returns whether one of the tables has a default route through the gateway.
fn leads_to(gateway: IpAddr, routes: &[Stored], tables: &[u32]) -> bool {
    let of_tables = routes.iter().filter(|route| {
        let is_of_family = route.family() == Family::of(gateway);
        is_of_family && route.is_default() && tables.contains(&route.table())
    });
    of_tables
        .flat_map(Stored::hops)
        .any(|hop| hop.gw == Some(gateway))
}

fn is_for_bound(rule: &Rule, family: Family, link: &Link) -> bool {
    let is_by_link = rule.oif.as_deref() == Some(&link.name);
    rule.family == family && is_by_link && rule.table.is_some()
}
