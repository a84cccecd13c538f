//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::time::Duration;

use linkspan_filter::backend::Backend;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::AddResult;
use linkspan_protocol::schema::word;
use serde::Deserialize;

use crate::mapping::{self, Mapping, MappingConf};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The packet filter. Default: nf_tables if the kernel has it, else iptables
    #[serde(deserialize_with = "word::<Backend, _>")]
    backend: Option<String>,
    /// The ports can be reached from the container's own network and from the host's loopback addresses, too. Default: `true`
    snat: Option<bool>,
    /// The container always sees the host's address as the source of a connection.
    masq_all: bool,
    /// The bit, 0 to 31, that marks packets to be masqueraded. Only with iptables, and chooses that backend. Default:
    /// [`MARK_BIT`]
    mark_masq_bit: Option<i64>,
    /// A chain that marks packets to be masqueraded, instead of our own. Only with iptables, and chooses that backend.
    external_set_mark_chain: Option<String>,
    /// Additional conditions of the rules for IPv4, as arguments of iptables. Only with iptables, and chooses that
    /// backend.
    conditions_v4: Option<Vec<String>>,
    /// The same for IPv6.
    conditions_v6: Option<Vec<String>>,
    /// Seconds, 0 to 60, for which ADD waits for a port of a living container, with nothing locked; 0 refuses at once.
    /// Default: [`PORT_WAIT`]
    port_wait_seconds: Option<i64>,
    /// The capabilities that the runtime fills in.
    runtime_config: RuntimeConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConf {
    /// The capability `portMappings`: the ports to publish.
    port_mappings: Vec<MappingConf>,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Absent: nf_tables where the kernel has it, else iptables.
    pub(crate) backend: Option<Backend>,
    pub(crate) snat: bool,
    pub(crate) masq_all: bool,
    /// The longest wait for a port of a living owner.
    pub(crate) port_wait: Duration,
    pub(crate) iptables: IptablesPlan,
    pub(crate) mappings: Vec<Mapping>,
}

/// The options of iptables alone.
#[derive(Debug)]
pub(crate) struct IptablesPlan {
    /// The mark, one bit.
    pub(crate) mark: u32,
    pub(crate) set_mark_chain: Option<String>,
    pub(crate) conditions_v4: Vec<String>,
    pub(crate) conditions_v6: Vec<String>,
}

/// Seconds. kubelet was seen to end a predecessor 0.8 to 3.8 s after it had asked for the successor.
const PORT_WAIT: i64 = 5;

/// Seconds. A CRI call may take minutes.
const PORT_WAIT_MAX: i64 = 60;

/// The bit of the reference's mark.
const MARK_BIT: i64 = 13;

impl Plan {
    pub(crate) fn new(conf: Conf) -> Result<Self> {
        let backend = Backend::parse("backend", conf.backend.as_deref())?;
        if conf.mark_masq_bit.is_some() && conf.external_set_mark_chain.is_some() {
            return Err(Failure::config(
                "Cannot specify externalSetMarkChain and markMasqBit",
            ));
        }
        let bit = conf.mark_masq_bit.unwrap_or(MARK_BIT);
        let mark = u32::try_from(bit)
            .ok()
            .and_then(|bit| 1u32.checked_shl(bit));
        let mark = mark.ok_or_else(|| Failure::config("MasqMarkBit must be between 0 and 31"))?;
        let backend = choose(backend, &conf)?;
        let port_wait = port_wait(conf.port_wait_seconds)?;
        let mappings = mapping::parse(&conf.runtime_config.port_mappings)?;
        Ok(Self {
            backend,
            snat: conf.snat.unwrap_or(true),
            masq_all: conf.masq_all,
            port_wait,
            iptables: IptablesPlan {
                mark,
                set_mark_chain: conf.external_set_mark_chain,
                conditions_v4: conf.conditions_v4.unwrap_or_default(),
                conditions_v6: conf.conditions_v6.unwrap_or_default(),
            },
            mappings,
        })
    }
}

impl Plan {
    /// Returns whether there are no ports to publish. The other keys do not matter then.
    pub(crate) fn has_no_mappings(conf: &Conf) -> bool {
        conf.runtime_config.port_mappings.is_empty()
    }
}

fn port_wait(seconds: Option<i64>) -> Result<Duration> {
    let seconds = seconds.unwrap_or(PORT_WAIT);
    match u64::try_from(seconds) {
        Ok(wait) if seconds <= PORT_WAIT_MAX => Ok(Duration::from_secs(wait)),
        _ => Err(
            Failure::config(format!("portWaitSeconds {seconds} is out of range")).hint(format!(
                "wait 0 to {PORT_WAIT_MAX} seconds for a port of a container that is still there"
            )),
        ),
    }
}

/// Keys that only iptables understands choose it, and are refused beside another choice.
fn choose(backend: Option<Backend>, conf: &Conf) -> Result<Option<Backend>> {
    let conditions = [
        ("conditionsV4", &conf.conditions_v4),
        ("conditionsV6", &conf.conditions_v6),
    ];
    let mut of_iptables = Vec::new();
    let mut of_nft = Vec::new();
    if conf.external_set_mark_chain.is_some() {
        of_iptables.push("externalSetMarkChain");
    }
    for (key, words) in conditions {
        match words.iter().flatten().next().map(String::as_str) {
            None | Some("") => {}
            Some(word) if word.starts_with(['-', '!']) => of_iptables.push(key),
            Some(_) => of_nft.push(key),
        }
    }
    let wrong = |asked: &str, other: &str, keys: &[&str]| {
        let keys = keys.join(" ");
        Failure::config(format!(
            "{asked} backend was requested but configuration contains {other}-specific options [{keys}]"
        ))
    };
    match backend {
        Some(Backend::Nftables) if !of_iptables.is_empty() => {
            Err(wrong("nftables", "iptables", &of_iptables))
        }
        Some(Backend::Iptables) if !of_nft.is_empty() => {
            Err(wrong("iptables", "nftables", &of_nft))
        }
        _ if !of_nft.is_empty() => Err(Failure::config(format!(
            "conditions in the language of nft are not supported [{}]",
            of_nft.join(" ")
        ))
        .hint("restrict the ports by hostIP, or write the conditions for iptables")),
        None if !of_iptables.is_empty() || conf.mark_masq_bit.is_some() => {
            Ok(Some(Backend::Iptables))
        }
        chosen => Ok(chosen),
    }
}

/// The container's address of each family: the first one that belongs neither to another interface nor to the host.
pub(crate) fn addresses(result: &AddResult, ifname: &IfName) -> Vec<Cidr> {
    let mut found: Vec<Cidr> = Vec::new();
    for ip in &result.ips {
        let interface = ip
            .interface
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| result.interfaces.get(index));
        let foreign =
            interface.is_some_and(|item| item.name != ifname.as_str() || item.sandbox.is_empty());
        let family = Family::of(ip.address.ip());
        let known = |known: &Cidr| Family::of(known.ip()) == family;
        if !foreign && !found.iter().any(known) {
            found.push(ip.address);
        }
    }
    found.sort_by_key(|address| Family::of(address.ip()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;
    use linkspan_protocol::result::{Interface, IpConfig};

    fn plan(keys: &str) -> Result<Plan> {
        Plan::new(Json::parse(format!("{{{keys}}}").as_bytes())?.decode()?)
    }

    #[test]
    fn keys_of_iptables_choose_it_and_contradictions_are_refused() {
        for (keys, backend) in [
            ("", None),
            (r#""backend":null,"markMasqBit":null"#, None),
            (r#""conditionsV4":[],"conditionsV6":[""]"#, None),
            (r#""backend":"nftables""#, Some(Backend::Nftables)),
            (
                r#""backend":"nftables","markMasqBit":5"#,
                Some(Backend::Nftables),
            ),
            (r#""markMasqBit":5"#, Some(Backend::Iptables)),
            (
                r#""externalSetMarkChain":"KUBE-MARK-MASQ""#,
                Some(Backend::Iptables),
            ),
            (
                r#""conditionsV4":["!","-s","10.0.0.0/8"]"#,
                Some(Backend::Iptables),
            ),
        ] {
            assert_eq!(plan(keys).unwrap().backend, backend, "{keys}");
        }
        for (keys, message) in [
            (
                r#""backend":"iptables","conditionsV4":["a"],"conditionsV6":["b"]"#,
                "iptables backend was requested but configuration contains nftables-specific options [conditionsV4 conditionsV6]",
            ),
            (
                r#""backend":"nftables","externalSetMarkChain":"X","conditionsV4":["-a"],"conditionsV6":["!"]"#,
                "nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain conditionsV4 conditionsV6]",
            ),
            (
                r#""conditionsV4":["ip saddr 10.0.0.0/8"]"#,
                "conditions in the language of nft are not supported [conditionsV4]",
            ),
            (r#""backend":"pf""#, "unknown backend \"pf\""),
            (
                r#""markMasqBit":1,"externalSetMarkChain":"X""#,
                "Cannot specify externalSetMarkChain and markMasqBit",
            ),
            (
                r#""portWaitSeconds":61"#,
                "portWaitSeconds 61 is out of range",
            ),
            (
                r#""markMasqBit":32"#,
                "MasqMarkBit must be between 0 and 31",
            ),
        ] {
            assert_eq!(plan(keys).unwrap_err().message(), message, "{keys}");
        }
    }

    #[test]
    fn the_containers_own_addresses_are_chosen() {
        let ip = |address: &str, interface| IpConfig {
            interface,
            address: Cidr::parse(address).unwrap(),
            gateway: None,
        };
        let interface = |name: &str, sandbox: &str| Interface {
            name: name.into(),
            sandbox: sandbox.into(),
            ..Interface::default()
        };
        let result = AddResult {
            interfaces: vec![
                interface("veth0", ""),
                interface("eth0", "/netns"),
                interface("eth1", "/netns"),
            ],
            ips: vec![
                ip("10.0.0.1/24", Some(0)),
                ip("10.0.0.9/24", Some(2)),
                ip("2001:db8:1::2/64", Some(7)),
                ip("10.0.0.2/24", Some(1)),
                ip("10.0.0.3/24", None),
            ],
            ..AddResult::default()
        };
        let found = addresses(&result, &IfName::parse("eth0").unwrap());
        let expected = ["10.0.0.2/24", "2001:db8:1::2/64"];
        assert_eq!(found, expected.map(|text| Cidr::parse(text).unwrap()));
    }
}
