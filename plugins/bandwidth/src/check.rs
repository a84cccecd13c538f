//! CHECK: the buckets exist, with our numbers or the Go plugin's, and packets reach them.

use linkspan_attach::kernel;
use linkspan_netlink::link::Link;
use linkspan_netlink::tc_filter::Hook;
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};

use crate::clear::waiting;
use crate::conf::{Plan, Scope};
use crate::limit::Limit;
use crate::limit_of;
use crate::shape::{Point, Way};

pub(crate) fn run(point: &Point<'_>, plan: &Plan) -> Result<()> {
    let mtu = point.link.mtu;
    let (out, _) = limit_of(plan, Way::Out);
    if let Some(limit) = out {
        if plan.scope == Scope::All {
            bucket(point.link, limit, mtu)?;
        } else {
            led(point, Hook::ClsactEgress, limit)?;
        }
    }
    if let (Some(limit), _) = limit_of(plan, Way::In) {
        let there = point.link.ingress_qdisc().map_err(kernel)?;
        let is_clsact = there.is_some_and(|there| there.kind == "clsact");
        let hook = if is_clsact {
            Hook::ClsactIngress
        } else {
            Hook::Ingress
        };
        led(point, hook, limit)?;
    }
    Ok(())
}

/// Verifies that a filter redirects to a link with the bucket.
fn led(point: &Point<'_>, hook: Hook, limit: Limit) -> Result<()> {
    let ifbs = waiting(point.side, point.names, point.owner)?;
    let filters = point.link.filters(hook).map_err(kernel)?;
    let leads_to = |ifb: &&Link| {
        filters
            .iter()
            .any(|filter| filter.through == Some(ifb.index))
    };
    match ifbs.iter().find(leads_to) {
        Some(ifb) => bucket(ifb, limit, point.link.mtu),
        None if ifbs.is_empty() => Err(failed("get ifb device: Link not found".to_owned())),
        None => Err(failed(format!(
            "no filter of {} leads to an ifb",
            point.link.name
        ))),
    }
}

fn bucket(link: &Link, limit: Limit, mtu: u32) -> Result<()> {
    let root = link.root_qdisc().map_err(kernel)?;
    let found = root.and_then(|root| root.bucket);
    let Some(found) = found else {
        return Err(failed(format!("Failed to find qdisc tbf on {}", link.name)));
    };
    let accepted = [limit.bucket(mtu), limit.wrapped()];
    let [ours, _] = accepted;
    for (what, fits) in [
        ("Rate", found.rate == ours.rate),
        (
            "Limit",
            accepted.iter().any(|bucket| bucket.limit == found.limit),
        ),
        (
            "Buffer",
            accepted.iter().any(|bucket| bucket.ticks == found.ticks),
        ),
    ] {
        if !fits {
            return Err(failed(format!(
                "{what} doesn't match: {} has {found:?}, not {ours:?}",
                link.name
            )));
        }
    }
    Ok(())
}

fn failed(text: String) -> Failure {
    Failure::new(ErrorCode::INTERNAL, text).hint("attach the container anew")
}
