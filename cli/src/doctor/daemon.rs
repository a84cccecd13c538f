//! Checks of the daemons that plugins need: dhcp's.

use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::finding::Finding;
use super::node::Node;

/// The socket of the daemon by default.
const SOCKET: &str = "/run/cni/dhcp.sock";

/// Networks with dhcp whose daemon does not listen.
pub(super) fn dhcp(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        let ipams = conf.0.plugins.iter().filter_map(|one| one.keys.get("ipam"));
        let of_dhcp = |ipam: &&Value| ipam.get("type").and_then(Value::as_str) == Some("dhcp");
        let Some(ipam) = ipams.into_iter().find(of_dhcp) else {
            continue;
        };
        let socket = ipam.get("daemonSocketPath").and_then(Value::as_str);
        let socket = socket.filter(|path| !path.is_empty()).unwrap_or(SOCKET);
        if let Err(err) = UnixStream::connect(Path::new(socket)) {
            let what = format!("the daemon of dhcp does not listen at {socket}: {err}");
            let command = match socket {
                SOCKET => "systemctl start cni-dhcp.socket".to_owned(),
                other => format!("linkspan dhcp-daemon -socketpath {other}"),
            };
            let fault = Finding::fail("dhcp-daemon", what);
            found.push(fault.of_network(conf.name()).mend(command));
        }
    }
}
