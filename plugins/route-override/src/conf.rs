//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::net::IpAddr;

use linkspan_attach::addressing::spec_of;
use linkspan_netlink::route::RouteSpec;
use linkspan_plugin::Result;
use linkspan_protocol::addr::{Cidr, optional_ip};
use linkspan_protocol::conf::RouteConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::Route;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conf {
    /// Deletes the routes of the interface that have a gateway.
    flushroutes: bool,
    /// Deletes the default routes of the interface, and removes the gateways from the result.
    flushgateway: bool,
    /// The routes to delete.
    delroutes: Vec<UnwantedConf>,
    /// The routes to add, after all deletions. One without `gw` is on-link.
    addroutes: Vec<RouteConf>,
    /// CHECK compares nothing.
    skipcheck: bool,
    /// The requests of an orchestrator.
    args: ArgsConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgsConf {
    /// Each key replaces the one of the configuration.
    cni: CniConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CniConf {
    /// Replaces `flushroutes`.
    flushroutes: Option<bool>,
    /// Replaces `flushgateway`.
    flushgateway: Option<bool>,
    /// Replaces `delroutes`.
    delroutes: Option<Vec<UnwantedConf>>,
    /// Replaces `addroutes`.
    addroutes: Option<Vec<RouteConf>>,
    /// Replaces `skipcheck`.
    skipcheck: Option<bool>,
}

/// Routes to delete; each key but `dst` narrows them.
#[derive(Debug, Deserialize)]
struct UnwantedConf {
    /// The destination; required.
    dst: Cidr,
    /// The next hop. Default: any
    #[serde(default, deserialize_with = "optional_ip")]
    gw: Option<IpAddr>,
    /// The metric. Default: any
    #[serde(default)]
    priority: i64,
    /// The routing table. Default: any
    #[serde(default)]
    table: Option<i64>,
}

impl UnwantedConf {
    fn into_route(self) -> Route {
        Route {
            priority: self.priority,
            table: self.table,
            ..Route::via(self.dst, self.gw)
        }
    }
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) flush_routes: bool,
    pub(crate) flush_gateway: bool,
    pub(crate) skip_check: bool,
    /// The routes to delete, in the kernel's form.
    pub(crate) delete: Vec<RouteSpec>,
    /// The routes to add, in the result's form and in the kernel's.
    pub(crate) add: Vec<(Route, RouteSpec)>,
}

impl Plan {
    pub(crate) fn new(conf: Conf) -> Result<Self> {
        let cni = conf.args.cni;
        let delete = cni.delroutes.unwrap_or(conf.delroutes);
        let add = cni.addroutes.unwrap_or(conf.addroutes);
        let delete = delete.into_iter().map(UnwantedConf::into_route);
        let delete = delete.map(|route| spec(&route));
        let add = add.into_iter().map(RouteConf::into_route);
        let add = add.map(|route| {
            let spec = spec(&route)?;
            Ok((route, spec))
        });
        Ok(Self {
            flush_routes: cni.flushroutes.unwrap_or(conf.flushroutes),
            flush_gateway: cni.flushgateway.unwrap_or(conf.flushgateway),
            skip_check: cni.skipcheck.unwrap_or(conf.skipcheck),
            delete: delete.collect::<Result<_>>()?,
            add: add.collect::<Result<_>>()?,
        })
    }

    /// Returns whether the container stays unchanged.
    pub(crate) fn is_empty(&self) -> bool {
        let flushes = self.flush_routes || self.flush_gateway;
        !flushes && self.delete.is_empty() && self.add.is_empty()
    }
}

fn spec(route: &Route) -> Result<RouteSpec> {
    let spec = spec_of(route)?;
    let family = Family::of(spec.dst.0);
    if let Some(gw) = route.gw.filter(|gw| Family::of(*gw) != family) {
        return Err(Failure::config(format!(
            "route to {}: gateway {gw} is not of {family}",
            route.dst
        )));
    }
    Ok(RouteSpec {
        gw: route.gw,
        ..spec
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    fn plan(text: &str) -> Result<Plan> {
        Plan::new(Json::parse(text.as_bytes())?.decode()?)
    }

    #[test]
    fn keys_of_the_orchestrator_replace_those_of_the_configuration() {
        let keys = r#"{"flushroutes":true,"delroutes":[{"dst":"10.0.0.0/8"}],
            "args":{"cni":{"flushroutes":false,"addroutes":[{"dst":"10.9.1.1/16","gw":"10.0.0.1","priority":7}]}}}"#;
        let plan = plan(keys).unwrap();
        assert!(!plan.flush_routes && !plan.is_empty());
        assert_eq!(plan.delete.len(), 1);
        let (_, spec) = &plan.add[0];
        assert_eq!(
            (spec.dst.0.to_string(), spec.priority),
            ("10.9.0.0".to_owned(), 7)
        );
    }

    #[test]
    fn what_is_absent_changes_nothing() {
        for keys in [
            "{}",
            r#"{"args":{}}"#,
            r#"{"args":{"cni":{}}}"#,
            r#"{"skipcheck":true}"#,
        ] {
            assert!(plan(keys).unwrap().is_empty(), "{keys}");
        }
    }

    #[test]
    fn an_impossible_route_is_refused_and_named() {
        for (keys, told) in [
            (
                r#"{"addroutes":[{"dst":"10.0.0.0/8","gw":"fd00::1"}]}"#,
                "fd00::1 is not of IPv4",
            ),
            (
                r#"{"delroutes":[{"dst":"10.0.0.0/8","table":4294967296}]}"#,
                "table 4294967296",
            ),
        ] {
            let failure = plan(keys).unwrap_err();
            assert!(failure.message().contains(told), "{}", failure.message());
        }
    }
}
