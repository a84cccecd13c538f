//! A published port in the words of container engines: `[HOSTIP:]HOSTPORT:PORT[/PROTOCOL]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use serde_json::{Value, json};

/// A port as an element of `portMappings`. The plugin judges the protocol.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let mapping = || {
        let (ends, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        let (host, container_port) = ends.rsplit_once(':')?;
        let (host_ip, host_port) = match host.rsplit_once(':') {
            Some((ip, port)) => (Some(address(ip)?), port),
            None => (None, host),
        };
        let mut mapping = json!({
            "hostPort": number(host_port)?,
            "containerPort": number(container_port)?,
            "protocol": protocol,
        });
        if let (Some(ip), Some(keys)) = (host_ip, mapping.as_object_mut()) {
            keys.insert("hostIP".to_owned(), json!(ip));
        }
        Some(mapping)
    };
    mapping().ok_or_else(|| {
        Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            format!("invalid published port {text:?}"),
        )
        .hint("write [HOSTIP:]HOSTPORT:PORT[/PROTOCOL], an IPv6 address in brackets")
    })
}

fn number(text: &str) -> Option<NonZeroU16> {
    text.parse().ok()
}

fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let ip: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            Some(ip.into())
        }
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_write_is_understood() {
        let tcp = json!({ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" });
        assert_eq!(parse("8080:80").unwrap(), tcp);
        assert_eq!(parse("8080:80/tcp").unwrap(), tcp);
        assert_eq!(
            parse("[::1]:53:54/udp").unwrap(),
            json!({ "hostPort": 53, "containerPort": 54, "protocol": "udp", "hostIP": "::1" })
        );
        assert_eq!(parse("127.0.0.1:1:2").unwrap()["hostIP"], "127.0.0.1");
    }

    #[test]
    fn anything_else_is_refused_by_its_name() {
        for bad in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:65536",
            "x:80",
            "::1:53:53",
            "[::1:53:53",
            "1.2.3:53:53",
            "a.b:53:53",
            "80:80:80",
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(refused.message().contains(&format!("{bad:?}")), "{bad}");
        }
    }
}
