//! The node's own network list: its parts of the cluster's addresses, put into a template.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use linkspan_protocol::family::Family;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The default template.
pub const TEMPLATE: &str = include_str!("template.conflist");

/// The list does not name the MTU if links have this one.
const USUAL_MTU: u32 = 1500;

/// The number of addresses that a part needs: the network's own, the gateway and a pod. IPv4 also has the broadcast
/// address.
const LEAST: u32 = 3;

/// The list for these parts: the template, whose first plugin gets missing ranges, routes and the MTU.
pub fn render(template: &str, parts: &[IpNetwork], mtu: Option<u32>) -> Result<String> {
    let refuse = |why: &str| Error::Settings(format!("the template of the list: {why}"));
    let mut list: Value = serde_json::from_str(template).map_err(|err| refuse(&err.to_string()))?;
    let first = list
        .get_mut("plugins")
        .and_then(|plugins| plugins.get_mut(0));
    let first = first.and_then(Value::as_object_mut);
    let first = first.ok_or_else(|| refuse("\"plugins\" has no plugin"))?;
    if let Some(mtu) = mtu.filter(|mtu| *mtu != USUAL_MTU) {
        first.entry("mtu").or_insert_with(|| json!(mtu));
    }
    let ipam = first.get_mut("ipam").and_then(Value::as_object_mut);
    fill(
        ipam.ok_or_else(|| refuse("the first plugin has no \"ipam\""))?,
        parts,
    )?;
    Ok(format!("{list:#}\n"))
}

fn fill(ipam: &mut Map<String, Value>, parts: &[IpNetwork]) -> Result<()> {
    for part in parts {
        if gateway(*part).is_none() {
            return Err(Error::Settings(format!(
                "the node's part {part} has too few addresses for pods"
            )));
        }
    }
    let range = |part: &IpNetwork| json!([{ "subnet": part.to_string() }]);
    let route =
        |part: &IpNetwork| json!({ "dst": format!("{}/0", Family::of(part.ip()).unspecified()) });
    ipam.entry("ranges")
        .or_insert_with(|| parts.iter().map(range).collect());
    ipam.entry("routes")
        .or_insert_with(|| parts.iter().map(route).collect());
    Ok(())
}

/// The first address of a part, which host-local keeps for the gateway; `None` if a pod would have no room.
pub fn gateway(part: IpNetwork) -> Option<IpAddr> {
    match part {
        IpNetwork::V4(part) => {
            let (base, top) = (u32::from(part.network()), u32::from(part.broadcast()));
            (top - base >= LEAST).then(|| IpAddr::V4((base + 1).into()))
        }
        IpNetwork::V6(part) => {
            let (base, top) = (u128::from(part.network()), u128::from(part.broadcast()));
            (top - base >= LEAST.into()).then(|| IpAddr::V6((base + 1).into()))
        }
    }
}

/// Returns whether the file has this text.
pub fn is_there(path: &Path, list: &str) -> Result<bool> {
    match fs::read_to_string(path) {
        Ok(present) => Ok(present == list),
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => Ok(false),
        Err(err) => Err(Error::file(path)(err)),
    }
}

/// Removes the drafts that killed agents left beside the list.
pub fn clear_drafts(path: &Path) {
    linkspan_draft::sweep(linkspan_draft::directory_of(path));
}

/// Writes the list by rename, readable to its owner alone.
pub fn write(path: &Path, list: &str) -> Result<()> {
    linkspan_draft::replace(path, list.as_bytes(), 0o600).map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_first_plugin_gets_what_it_lacks() {
        let parts = networks(&["10.244.4.0/24", "fd44:0:0:4::/64"]);
        let list = value(&render(TEMPLATE, &parts, Some(1464)).unwrap());
        let plugin = &list["plugins"][0];
        assert_eq!(plugin["mtu"], 1464);
        assert_eq!(
            plugin["ipam"]["ranges"],
            json!([[{ "subnet": "10.244.4.0/24" }], [{ "subnet": "fd44:0:0:4::/64" }]])
        );
        let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        assert_eq!(plugin["ipam"]["routes"], routes);
        assert_eq!(list["plugins"][1], value(TEMPLATE)["plugins"][1]);
        let one = value(&render(TEMPLATE, &parts[..1], Some(1500)).unwrap());
        assert_eq!(one["plugins"][0]["mtu"], Value::Null);
        assert_eq!(
            one["plugins"][0]["ipam"]["routes"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_templates_own_words_stay() {
        let own = r#"{"plugins":[{"type":"ptp","mtu":1400,"ipam":{"routes":[]}}]}"#;
        let list = value(&render(own, &networks(&["10.244.4.0/24"]), Some(1464)).unwrap());
        assert_eq!(list["plugins"][0]["mtu"], 1400);
        assert_eq!(list["plugins"][0]["ipam"]["routes"], json!([]));
    }

    #[test]
    fn templates_and_parts_that_do_not_fit_are_refused() {
        let part = networks(&["10.244.0.0/24"]);
        for (template, parts, why) in [
            ("{", &part, "template"),
            (r#"{"plugins":[]}"#, &part, "has no plugin"),
            (r#"{"plugins":[{"type":"ptp"}]}"#, &part, "has no \"ipam\""),
            (TEMPLATE, &networks(&["10.244.0.0/31"]), "too few"),
        ] {
            let told = render(template, parts, None).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
