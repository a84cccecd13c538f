//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use linkspan_protocol::schema::{Words, word};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The packet filter that accepts packets. Default: firewalld if it runs, else iptables if its table `filter` is
    /// in use, else nf_tables
    #[serde(deserialize_with = "word::<Backend, _>")]
    backend: Option<String>,
    /// The iptables chain whose rules take precedence over the plugin's. Default: `CNI-ADMIN`
    iptables_admin_chain_name: String,
    /// The firewalld zone for the container's addresses. Default: `trusted`
    firewalld_zone: String,
    /// Peers that may reach the container: everybody, its own bridge and the outside, or the outside alone. Default:
    /// `open`
    #[serde(deserialize_with = "word::<Policy, _>")]
    ingress_policy: Option<String>,
    /// Published ports can be reached from every bridge, whatever the policy.
    allow_published: bool,
}

/// The packet filter that accepts packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Iptables,
    Firewalld,
    Nftables,
}

impl Words for Backend {
    const WORDS: &'static [&'static str] = &["", "iptables", "ip6tables", "firewalld", "nftables"];
}

impl Backend {
    /// Parses the key; `None` for the automatic choice.
    fn parse(word: &str) -> Result<Option<Self>> {
        match word {
            "" => Ok(None),
            // Nomad configures a plugin for each family. Each word means both families here.
            "iptables" | "ip6tables" => Ok(Some(Self::Iptables)),
            "firewalld" => Ok(Some(Self::Firewalld)),
            "nftables" => Ok(Some(Self::Nftables)),
            other => Err(Failure::config(format!("unknown backend {other:?}")).hint(
                "set \"backend\" to \"iptables\", \"firewalld\" or \"nftables\", or leave it out",
            )),
        }
    }
}

/// The peers that may reach a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    SameBridge,
    Isolated,
}

impl Words for Policy {
    const WORDS: &'static [&'static str] = &["", "open", "same-bridge", "isolated"];
}

impl Policy {
    pub(crate) const ALL: [Self; 2] = [Self::SameBridge, Self::Isolated];

    /// The word in a configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::SameBridge => "same-bridge",
            Self::Isolated => "isolated",
        }
    }

    /// Parses the key; `None` for `open`.
    fn parse(word: &str) -> Result<Option<Self>> {
        if matches!(word, "" | "open") {
            return Ok(None);
        }
        let found = Self::ALL.into_iter().find(|policy| policy.word() == word);
        found.map(Some).ok_or_else(|| {
            Failure::config(format!("unknown ingress policy: {word:?}"))
                .hint("set \"ingressPolicy\" to \"open\", \"same-bridge\" or \"isolated\"")
        })
    }
}

/// The checked plan of a call.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The packet filter; `None` for the automatic choice.
    pub(crate) backend: Option<Backend>,
    pub(crate) admin: String,
    pub(crate) zone: String,
    /// The policy; `None` for `open`.
    pub(crate) policy: Option<Policy>,
    pub(crate) allow_published: bool,
}

const ADMIN: &str = "CNI-ADMIN";
const ZONE: &str = "trusted";

/// The longest name of a chain (`XT_EXTENSION_MAXNAMELEN` less its final NUL).
const CHAIN_LEN: usize = 28;

impl Plan {
    pub(crate) fn new(conf: Conf) -> Result<Self> {
        Ok(Self {
            backend: Backend::parse(&conf.backend.unwrap_or_default())?,
            admin: admin(conf.iptables_admin_chain_name)?,
            zone: zone(conf.firewalld_zone),
            policy: Policy::parse(&conf.ingress_policy.unwrap_or_default())?,
            allow_published: conf.allow_published,
        })
    }
}

/// The backend and zone for DEL, which must work under an edited configuration: an invalid value means the default.
pub(crate) fn leniently(conf: Conf) -> (Option<Backend>, String) {
    let backend = Backend::parse(&conf.backend.unwrap_or_default());
    (backend.unwrap_or_default(), zone(conf.firewalld_zone))
}

fn zone(name: String) -> String {
    if name.is_empty() {
        ZONE.to_owned()
    } else {
        name
    }
}

fn admin(name: String) -> Result<String> {
    if name.is_empty() {
        return Ok(ADMIN.to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\!".contains(&byte);
    if name.len() > CHAIN_LEN || name.starts_with('-') || !name.bytes().all(is_plain) {
        return Err(Failure::config(format!(
            "iptablesAdminChainName: {name:?} is not the name of a chain"
        ))
        .hint("use at most 28 letters, digits and hyphens, not beginning with a hyphen"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::error::ErrorCode;
    use linkspan_protocol::json::Json;

    fn plan(keys: &str) -> Result<Plan> {
        Plan::new(Json::parse(keys.as_bytes()).unwrap().decode().unwrap())
    }

    #[test]
    fn nothing_is_the_automatic_choice_and_open() {
        let plan = plan(r#"{"backend":"","ingressPolicy":""}"#).unwrap();
        assert_eq!((plan.backend, plan.policy), (None, None));
        assert_eq!((&*plan.admin, &*plan.zone), (ADMIN, ZONE));
    }

    #[test]
    fn words_and_names_that_cannot_be_are_refused() {
        for keys in [
            r#"{"backend":"nft"}"#,
            r#"{"ingressPolicy":"closed"}"#,
            r#"{"iptablesAdminChainName":"-A"}"#,
            r#"{"iptablesAdminChainName":"a b"}"#,
            r#"{"iptablesAdminChainName":"a\nCOMMIT"}"#,
            r#"{"iptablesAdminChainName":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#,
        ] {
            assert_eq!(
                plan(keys).unwrap_err().code(),
                ErrorCode::INVALID_NETWORK_CONFIG,
                "{keys}"
            );
        }
    }
}
