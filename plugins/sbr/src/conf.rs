//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::net::IpAddr;

use linkspan_plugin::Result;
use linkspan_protocol::addr::parse_ip;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::{Family, PerFamily};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// Only rules are created. They lead to this routing table, which others fill. Default: a free table for each
    /// address
    table: Option<i64>,
    /// The gateways to use instead of those of the previous result: at most one of each family.
    gateways: Vec<String>,
    /// The subnets of the interface stay in the main table, with the address as source.
    add_source_hints: bool,
    /// Packets of sockets that are bound to the interface use its table, too.
    oif_rule: bool,
    /// The capabilities that the runtime fills in.
    runtime_config: RuntimeConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeConf {
    /// The capability `gateways`, which comes before the key.
    gateways: Vec<String>,
}

/// The checked plan of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The table of all rules; default: a separate one for each address.
    pub(crate) table: Option<u32>,
    /// The gateways that replace those of the result.
    pub(crate) gateways: PerFamily<Option<IpAddr>>,
    /// Whether subnets stay in the main table.
    pub(crate) source_hints: bool,
    /// Whether bound sockets get a rule.
    pub(crate) oif_rule: bool,
}

impl Plan {
    pub(crate) fn new(conf: &Conf) -> Result<Self> {
        let table = conf.table.map(|table| {
            let number = u32::try_from(table).ok().filter(|table| *table > 0);
            number.ok_or_else(|| {
                Failure::config(format!(
                    "table {table} is not the number of a routing table"
                ))
                .hint("give a number from 1 to 4294967295")
            })
        });
        let mut gateways = of_key("gateways", &conf.gateways)?;
        let by_runtime = of_key("runtimeConfig.gateways", &conf.runtime_config.gateways)?;
        for family in Family::BOTH {
            let gateway = by_runtime.of_family(family);
            *gateways.get_mut(family) = gateway.or(gateways.of_family(family));
        }
        Ok(Self {
            table: table.transpose()?,
            gateways,
            source_hints: conf.add_source_hints,
            oif_rule: conf.oif_rule,
        })
    }
}

fn of_key(key: &str, texts: &[String]) -> Result<PerFamily<Option<IpAddr>>> {
    let mut gateways = PerFamily::<Option<IpAddr>>::default();
    if texts.len() > Family::BOTH.len() {
        return Err(Failure::config(format!(
            "{key} list cannot contain more than 2 entries (one IPv4, one IPv6)"
        )));
    }
    for text in texts {
        // A value of the runtime may be a misplaced secret, so it is not quoted.
        let gateway = parse_ip(text).map_err(|_text| {
            Failure::config(format!("{key}: invalid static gateway IP address"))
        })?;
        let family = Family::of(gateway);
        let place = gateways.get_mut(family);
        if let Some(first) = place {
            return Err(Failure::config(format!(
                "{key} list contains multiple {family} addresses: {first} and {gateway}"
            )));
        }
        *place = Some(gateway);
    }
    Ok(gateways)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    fn plan(text: &str) -> Result<Plan> {
        Plan::new(&Json::parse(text.as_bytes())?.decode()?)
    }

    #[test]
    fn the_runtimes_gateway_wins_over_the_keys_in_its_family() {
        let keys =
            r#"{"gateways":["10.1.0.1","fd01::1"],"runtimeConfig":{"gateways":["fd01::2"]}}"#;
        let gateways = plan(keys).unwrap().gateways;
        let told = [gateways.v4, gateways.v6].map(|gateway| gateway.unwrap().to_string());
        assert_eq!(told, ["10.1.0.1", "fd01::2"]);
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, told) in [
            (
                r#"{"gateways":["1.1.1.1","::1","::2"]}"#,
                "more than 2 entries",
            ),
            (r#"{"gateways":["x"]}"#, "gateways: invalid static gateway"),
            (
                r#"{"gateways":["10.0.0.1","10.0.0.2"]}"#,
                "multiple IPv4 addresses: 10.0.0.1 and 10.0.0.2",
            ),
            (
                r#"{"runtimeConfig":{"gateways":["::1","::2"]}}"#,
                "runtimeConfig.gateways list contains multiple IPv6",
            ),
            (r#"{"table":0}"#, "table 0"),
            (r#"{"table":-1}"#, "table -1"),
            (r#"{"table":4294967296}"#, "table 4294967296"),
        ] {
            let failure = plan(keys).unwrap_err();
            assert!(failure.message().contains(told), "{}", failure.message());
        }
    }
}
