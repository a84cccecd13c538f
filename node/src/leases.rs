//! The addresses of this node's pods: their holders, and those outside of the node's parts, which remain after the
//! node was registered again with other parts.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};
use serde_json::Value;

/// Maximum number of addresses in a line.
const NAMED: usize = 5;

/// A line about leases of the list's network outside of the node's parts; `None` if all are inside.
pub fn strays(leases: &Path, list: &str, parts: &[IpNetwork]) -> Option<String> {
    let list: Value = serde_json::from_str(list).ok()?;
    let dir = leases.join(list.get("name")?.as_str()?);
    // A missing directory has no leases.
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let name = |file: fs::DirEntry| file.file_name().into_string().ok();
    let mut strays: Vec<IpAddr> = files
        .filter_map(name)
        .filter_map(|name| name.parse().ok())
        .filter(|ip: &IpAddr| !parts.iter().any(|part| part.contains(*ip)))
        .collect();
    strays.sort();
    if strays.is_empty() {
        return None;
    }
    let named: Vec<String> = strays.iter().take(NAMED).map(ToString::to_string).collect();
    let further = strays.len().saturating_sub(NAMED);
    let further = if further > 0 {
        format!(" and {further} more")
    } else {
        String::new()
    };
    Some(format!(
        "pods have addresses outside of this node's parts, and no other node reaches them: {}{further}; delete those pods",
        named.join(", ")
    ))
}

/// The attachments with an address of the network. A file that names no attachment is not a lease.
pub fn holders(leases: &Path, network: &str) -> Vec<AttachmentId> {
    let files = fs::read_dir(leases.join(network)).into_iter().flatten();
    let of_file = |file: fs::DirEntry| {
        file.file_name().to_str()?.parse::<IpAddr>().ok()?;
        let text = fs::read_to_string(file.path()).ok()?;
        let (container, ifname) = text.trim().split_once("\r\n")?;
        Some(AttachmentId {
            container_id: ContainerId::parse(container).ok()?,
            ifname: IfName::parse(ifname).ok()?,
        })
    };
    files.flatten().filter_map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_an_address_is_stands_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("net");
        assert!(holders(dir.path(), "net").is_empty());
        fs::create_dir(&network).unwrap();
        for (name, text) in [
            ("10.244.1.2", "c1\r\neth0"),
            ("fd44::2", "c2\r\neth1\n"),
            ("10.244.1.3", "c3"),
            ("last_reserved_ip.0", "c4\r\neth0"),
        ] {
            fs::write(network.join(name), text).unwrap();
        }
        let mut found: Vec<String> = holders(dir.path(), "net")
            .iter()
            .map(|at| format!("{} {}", at.container_id, at.ifname))
            .collect();
        found.sort();
        assert_eq!(found, ["c1 eth0", "c2 eth1"]);
    }

    #[test]
    fn leases_outside_of_the_parts_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("net");
        let parts = [
            "10.244.1.0/24".parse().unwrap(),
            "fd44::/64".parse().unwrap(),
        ];
        let list = r#"{"name":"net"}"#;
        assert_eq!(strays(dir.path(), list, &parts), None);
        fs::create_dir(&network).unwrap();
        for name in ["10.244.1.5", "fd44::5", "lock", "last_reserved_ip.0"] {
            fs::write(network.join(name), "").unwrap();
        }
        assert_eq!(strays(dir.path(), list, &parts), None);
        for last in 1..=6 {
            fs::write(network.join(format!("10.244.9.{last}")), "").unwrap();
        }
        let told = strays(dir.path(), list, &parts).unwrap();
        assert!(
            told.contains("10.244.9.1, ") && told.contains(" and 1 more"),
            "{told}"
        );
    }
}
