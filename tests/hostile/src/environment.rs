//! Any text as the `CNI_*` variables, each ended by a NUL, in the order of `Var::ALL`; and as their parts.

use linkspan_protocol::addr::{Cidr, MacAddr, parse_ip};
use linkspan_protocol::args;
use linkspan_protocol::env::{Env, Var};
use linkspan_runtime::attachment::{Attachment, parse_args, parse_capability_args};

use crate::reply::{NOWHERE, nowhere, serve};

const CONF: &[u8] =
    br#"{"cniVersion":"1.1.0","name":"net","type":"any","cni.dev/valid-attachments":[],
    "ipam":{"type":"host-local","dataDir":"/nonexistent/leases","subnet":"10.1.0.0/29"}}"#;

pub(crate) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut values = text.split('\0');
    let mut given = Env::from_lookup(|_| None);
    for var in Var::ALL {
        let value = values.next().unwrap_or_default().to_owned();
        match var {
            Var::Command => given.command = value,
            Var::ContainerId => given.container_id = value,
            // Paths are below a missing directory.
            Var::Netns if !value.is_empty() => given.netns = format!("{NOWHERE}/{value}"),
            Var::Path if !value.is_empty() => {
                given.path = format!("{NOWHERE}/{}", value.replace(':', "/"));
            }
            Var::IfName => given.ifname = value,
            Var::Args => given.args = value,
            Var::NetnsOverride => given.netns_override = value,
            Var::Netns | Var::Path => {}
        }
    }
    served(&given);
    parts(&given);
}

fn served(given: &Env) {
    serve(&linkspan_loopback::ENTRY, given, CONF);
    let of = |verb: &str| Env {
        command: verb.to_owned(),
        ..given.clone()
    };
    for entry in [&linkspan_bridge::ENTRY, &linkspan_veth::ENTRY] {
        serve(entry, &of("ADD"), CONF);
        serve(entry, &of("CHECK"), CONF);
    }
    serve(&linkspan_portmap::ENTRY, &of("ADD"), CONF);
    serve(&linkspan_host_local::ENTRY, &of("STATUS"), CONF);
    // The arguments alone, with valid other variables.
    let alone = Env {
        args: given.args.clone(),
        ..nowhere("ADD")
    };
    serve(&linkspan_bridge::ENTRY, &alone, CONF);
    let alone = Env {
        args: given.args.clone(),
        ..nowhere("STATUS")
    };
    serve(&linkspan_host_local::ENTRY, &alone, CONF);
}

/// Decoded values decode again from their own text.
fn parts(given: &Env) {
    if let Ok(pairs) = args::parse(&given.args, &["IP", "MAC"]) {
        for (_, value) in pairs {
            address(&value);
        }
    }
    address(&given.args);
    if let Ok(mut attachment) = Attachment::new(&given.container_id, &given.netns, &given.ifname)
        && let Ok(pairs) = parse_args(&given.args)
    {
        attachment.args = pairs;
        assert_eq!(
            parse_args(&attachment.args_text()).unwrap(),
            attachment.args
        );
    }
    drop(parse_capability_args(&given.args));
}

fn address(text: &str) {
    if let Ok(cidr) = Cidr::parse(text) {
        assert_eq!(Cidr::parse(&cidr.to_string()), Ok(cidr));
        assert!(
            cidr.contains(cidr.network()) && cidr.contains(cidr.last()),
            "{cidr}"
        );
    }
    if let Ok(ip) = parse_ip(text) {
        assert_eq!(parse_ip(&ip.to_string()), Ok(ip));
    }
    if let Ok(mac) = MacAddr::parse(text) {
        assert_eq!(MacAddr::parse(&mac.to_string()), Ok(mac));
    }
}
