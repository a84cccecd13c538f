//! The node's own network: its part of the cluster's addresses as a configuration list.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The list for these parts. The subnet is the cluster's, since an address's own subnet is excepted from masquerade, and
/// the range is the node's part.
pub fn render(parts: &[IpNetwork], cluster: &[IpNetwork]) -> Result<String> {
    let ranges = parts
        .iter()
        .map(|part| range(*part, cluster))
        .collect::<Result<Vec<_>>>()?;
    let routes: Vec<Value> = parts
        .iter()
        .map(|part| json!({ "dst": format!("{}/0", Family::of(part.ip()).unspecified()) }))
        .collect();
    let list = json!({
        "cniVersion": "1.0.0",
        "cniVersions": ["1.0.0", "1.1.0"],
        "name": "linkspan",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": true,
                "ipam": { "type": "host-local", "ranges": ranges, "routes": routes }
            },
            { "type": "portmap", "capabilities": { "portMappings": true } }
        ]
    });
    Ok(format!("{list:#}\n"))
}

fn range(part: IpNetwork, cluster: &[IpNetwork]) -> Result<Value> {
    let holds = |net: &&IpNetwork| net.prefix() <= part.prefix() && net.contains(part.network());
    let subnet = cluster.iter().find(holds).ok_or_else(|| {
        Error::Settings(format!(
            "no network of --cluster-cidrs holds the node's part {part}: name the cluster's networks there"
        ))
    })?;
    let (gateway, first, last) = places(part).ok_or_else(|| {
        Error::Settings(format!(
            "the node's part {part} has too few addresses for pods"
        ))
    })?;
    Ok(json!([{
        "subnet": subnet.to_string(),
        "rangeStart": first.to_string(),
        "rangeEnd": last.to_string(),
        "gateway": gateway.to_string(),
    }]))
}

/// Gateway, first and last address of pods; IPv4 keeps the last one for broadcasts.
fn places(part: IpNetwork) -> Option<(IpAddr, IpAddr, IpAddr)> {
    match part {
        IpNetwork::V4(part) => {
            let (base, top) = (u32::from(part.network()), u32::from(part.broadcast()));
            let ip = |number: u32| IpAddr::V4(number.into());
            (top - base >= 3).then(|| (ip(base + 1), ip(base + 2), ip(top - 1)))
        }
        IpNetwork::V6(part) => {
            let (base, top) = (u128::from(part.network()), u128::from(part.broadcast()));
            let ip = |number: u128| IpAddr::V6(number.into());
            (top - base >= 3).then(|| (ip(base + 1), ip(base + 2), ip(top)))
        }
    }
}

/// Writes the list by rename, readable to its owner alone; `false` where it is there already.
pub fn write(path: &Path, list: &str) -> Result<bool> {
    let fail = |err| Error::File(path.display().to_string(), err);
    match fs::read_to_string(path) {
        Ok(present) if present == list => return Ok(false),
        Err(err) if !matches!(err.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            return Err(fail(err));
        }
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    // Engines read names that end with .conflist, .conf or .json.
    let mut file = tempfile::Builder::new()
        .prefix(".linkspan-")
        .suffix(".tmp")
        .tempfile_in(dir)
        .map_err(fail)?;
    file.write_all(list.as_bytes()).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|err| fail(err.error))?;
    let dir = fs::File::open(dir).map_err(fail)?;
    dir.sync_all().map_err(fail)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_example_is_the_list_of_its_node() {
        let example = include_str!("../../conf-examples/ptp-cluster.conflist");
        let parts = networks(&["10.244.4.0/24", "fd44:0:0:4::/64"]);
        let made = render(&parts, &networks(&["10.244.0.0/16", "fd44::/56"])).unwrap();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&made), value(example));
    }

    #[test]
    fn a_part_outside_of_the_cluster_is_refused() {
        let told = render(&networks(&["10.9.0.0/24"]), &networks(&["10.244.0.0/16"]));
        let told = told.unwrap_err().to_string();
        assert!(
            told.contains("--cluster-cidrs holds the node's part 10.9.0.0/24"),
            "{told}"
        );
    }

    #[test]
    fn a_part_without_room_is_refused() {
        let net = networks(&["10.244.0.0/31"]);
        let told = render(&net, &net).unwrap_err().to_string();
        assert!(told.contains("too few"), "{told}");
    }
}
