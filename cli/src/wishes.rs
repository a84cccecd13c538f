//! Requests of a container beside the attachment itself, as values of capabilities.

use std::net::IpAddr;

use linkspan_protocol::addr::{Cidr, MacAddr};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use linkspan_runtime::conflist::{NetworkList, PluginConf};
use serde_json::{Map, Value, json};

use crate::publish;

/// The requests in the form of command lines and annotations.
#[derive(Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// Ports to publish.
    pub(crate) ports: Vec<&'a str>,
    /// Addresses, with or without the length of their prefix.
    pub(crate) addresses: Vec<&'a str>,
    /// The hardware address of the container's end.
    pub(crate) mac: Option<&'a str>,
}

impl Wishes<'_> {
    /// The values for the network's plugins. A request that none of them reads is refused.
    pub(crate) fn capability_args(&self, list: &NetworkList) -> Result<Map<String, Value>> {
        let mut args = Map::new();
        let mut grant = |name: &str, what: &str, value: Value| {
            let declares =
                |plugin: &PluginConf| plugin.standard.capabilities.get(name) == Some(&true);
            if !list.plugins.iter().any(declares) {
                let told = format!("no plugin of the network {:?} {what}", list.name);
                return Err(Failure::config(told).hint(format!(
                    "declare it for the plugin that does: \"capabilities\": {{ \"{name}\": true }}"
                )));
            }
            args.insert(name.to_owned(), value);
            Ok(())
        };
        if !self.ports.is_empty() {
            let mappings: Result<Value> =
                self.ports.iter().map(|port| publish::parse(port)).collect();
            grant("portMappings", "publishes ports", mappings?)?;
        }
        if !self.addresses.is_empty() {
            let addresses: Result<Value> = self.addresses.iter().map(|ip| address(ip)).collect();
            grant("ips", "takes requests for addresses", addresses?)?;
        }
        if let Some(text) = self.mac {
            grant("mac", "takes a MAC address", mac(text)?)?;
        }
        Ok(args)
    }
}

fn address(text: &str) -> Result<Value> {
    let is_address = text.parse::<IpAddr>().is_ok() || Cidr::parse(text).is_ok();
    if is_address {
        return Ok(json!(text));
    }
    let told = format!("invalid address {text:?}");
    Err(Failure::new(ErrorCode::INVALID_ENVIRONMENT, told)
        .hint("write it as 10.0.0.5, 10.0.0.5/24 or fd00::5"))
}

fn mac(text: &str) -> Result<Value> {
    MacAddr::parse(text).map(|_| json!(text)).map_err(|_text| {
        let told = format!("invalid MAC address {text:?}");
        Failure::new(ErrorCode::INVALID_ENVIRONMENT, told).hint("write it as 02:00:00:00:00:01")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_a_capability_that_some_plugin_declares() {
        let list = |capabilities: &str| {
            let text = format!(
                r#"{{"name":"n","plugins":[{{"type":"a"}},{{"type":"b","capabilities":{capabilities}}}]}}"#
            );
            NetworkList::parse(text.as_bytes()).unwrap()
        };
        let wishes = Wishes {
            ports: vec!["80:81"],
            addresses: vec!["10.0.0.5", "fd00::5/64"],
            mac: Some("02:00:00:00:00:01"),
        };
        let all = r#"{"portMappings":true,"ips":true,"mac":true}"#;
        let args = wishes.capability_args(&list(all)).unwrap();
        assert_eq!(args["portMappings"][0]["hostPort"], 80);
        assert_eq!(args["ips"], json!(["10.0.0.5", "fd00::5/64"]));
        assert_eq!(args["mac"], "02:00:00:00:00:01");
        assert!(
            Wishes::default()
                .capability_args(&list("{}"))
                .unwrap()
                .is_empty()
        );
        for name in ["portMappings", "ips", "mac"] {
            let less = list(&all.replace(&format!("\"{name}\":true"), "\"x\":false"));
            let refused = wishes.capability_args(&less).unwrap_err().to_string();
            assert!(refused.contains(&format!("\"{name}\": true")), "{refused}");
        }
        for (address, mac) in [
            (Some("10.0.0"), None),
            (Some("10.0.0.5/33"), None),
            (None, Some("02:00")),
        ] {
            let wishes = Wishes {
                addresses: address.into_iter().collect(),
                mac,
                ..Wishes::default()
            };
            let refused = wishes.capability_args(&list(all)).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::INVALID_ENVIRONMENT);
        }
    }
}
