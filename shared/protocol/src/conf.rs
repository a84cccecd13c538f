//! The configuration keys that every plugin knows (spec 1.1.0, section 1).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{ErrorCode, Failure};
use crate::json::{Error, Json};
use crate::result::AddResult;
use crate::schema::Schema;
use crate::wire;

pub use crate::form::{DnsConf, RouteConf};

/// The standard keys of a network configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetConf {
    /// Version of the spec. Default: `0.1.0`
    pub cni_version: String,
    /// The network's name.
    pub name: String,
    /// The plugin's file name.
    #[serde(rename = "type")]
    pub kind: String,
    /// Capabilities that the runtime may fill in, in `runtimeConfig`.
    pub capabilities: BTreeMap<String, bool>,
    /// The IPAM plugin.
    pub ipam: IpamConf,
    /// Name resolution for the result.
    pub dns: DnsConf,
    /// The result of the plugin before this one, or of ADD. It is not yet decoded: DEL must work with a malformed one.
    #[serde(deserialize_with = "raw")]
    pub prev_result: Option<Json>,
    /// GC: the attachments that are still valid. Where the key is absent, nothing is collected.
    #[serde(rename = "cni.dev/valid-attachments")]
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// STATUS: code 50 is also the answer where all addresses or ports are taken, although the end of a container
    /// changes that.
    pub strict_status: bool,
}

/// Standard keys that every plugin gives a meaning of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OpenKeys {
    /// Values of the capabilities that the configuration declares.
    runtime_config: Option<Json>,
    /// Values from the orchestrator, by convention below `cni`.
    args: Option<Json>,
}

/// The schema of the keys that every plugin knows.
pub fn standard_schema() -> Schema {
    Schema::of::<NetConf>().and(Schema::of::<OpenKeys>())
}

/// The part of `ipam` that the caller of an IPAM plugin reads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct IpamConf {
    /// The IPAM plugin's file name. Empty or absent: the network has no IPAM.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An element of `cni.dev/valid-attachments`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ValidAttachment {
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Interface name.
    pub ifname: String,
}

fn raw<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl NetConf {
    /// The key of GC's list, and its first published spelling.
    pub const VALID_ATTACHMENTS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];

    /// The keys that DEL and GC need: the network's name and version, the IPAM plugin, and the attachments that stay.
    const NEEDED: [&str; 5] = [
        "cniVersion",
        "name",
        "ipam.type",
        Self::VALID_ATTACHMENTS[0],
        Self::VALID_ATTACHMENTS[1],
    ];

    /// Decodes the standard keys and ignores the others.
    pub fn decode(json: &Json) -> Result<Self, Error> {
        Self::complete(json.decode()?, json)
    }

    /// The same for DEL and GC: leaves out values of the wrong type under keys that these verbs do not need.
    pub fn decode_leniently(json: &Json) -> Result<Self, Error> {
        Self::complete(json.decode_leniently(&Self::NEEDED)?, json)
    }

    fn complete(mut conf: Self, json: &Json) -> Result<Self, Error> {
        if conf.valid_attachments.is_none() {
            let [_, older] = Self::VALID_ATTACHMENTS;
            let older = json.get(older);
            conf.valid_attachments = older.map(Json::decode).transpose()?;
        }
        // Go may write an empty list as null, so the key alone means that there is a list.
        if conf.valid_attachments.is_none()
            && Self::VALID_ATTACHMENTS.iter().any(|key| json.has(key))
        {
            conf.valid_attachments = Some(Vec::new());
        }
        Ok(conf)
    }

    /// The previous result, which must be of the configuration's own result family.
    pub fn prev_result(&self) -> Result<Option<AddResult>, Failure> {
        let Some(json) = &self.prev_result else {
            return Ok(None);
        };
        wire::decode_family(json, &self.cni_version)
            .map(Some)
            .map_err(|failure| {
                failure
                    .with_code(ErrorCode::DECODING)
                    .context("could not parse prevResult")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<NetConf, Error> {
        NetConf::decode(&Json::parse(text.as_bytes())?)
    }

    #[test]
    fn standard_keys_in_any_case() {
        let conf =
            decode(r#"{"CNIVersion":"1.0.0","NAME":"n","Type":"bridge","IPAM":{"Type":"x"}}"#);
        let conf = conf.unwrap();
        assert_eq!(
            (
                &*conf.cni_version,
                &*conf.name,
                &*conf.kind,
                &*conf.ipam.kind
            ),
            ("1.0.0", "n", "bridge", "x")
        );
    }

    #[test]
    fn a_malformed_previous_result_fails_only_who_reads_it() {
        let conf = decode(r#"{"name":"n","cniVersion":"1.0.0","prevResult":"x"}"#).unwrap();
        let failure = conf.prev_result().unwrap_err();
        assert!(
            failure
                .message()
                .starts_with("could not parse prevResult: ")
        );
        assert!(
            decode(r#"{"prevResult":null}"#)
                .unwrap()
                .prev_result
                .is_none()
        );
    }

    #[test]
    fn both_spellings_of_valid_attachments() {
        for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
            let text = format!(r#"{{"{key}":[{{"containerID":"a","ifname":"eth0"}}]}}"#);
            assert_eq!(decode(&text).unwrap().valid_attachments.unwrap().len(), 1);
        }
        assert_eq!(decode("{}").unwrap().valid_attachments, None);
    }

    #[test]
    fn a_key_with_null_is_an_empty_list_unless_another_key_has_one() {
        let valid = |text: &str| decode(text).unwrap().valid_attachments;
        for key in NetConf::VALID_ATTACHMENTS {
            for value in ["[]", "null"] {
                assert_eq!(valid(&format!(r#"{{"{key}":{value}}}"#)), Some(vec![]));
            }
        }
        let [key, older] = NetConf::VALID_ATTACHMENTS;
        let both = format!(r#"{{"{key}":null,"{older}":[{{"containerID":"a"}}]}}"#);
        assert_eq!(valid(&both).unwrap().len(), 1);
        let twice = format!(r#"{{"{key}":[{{"containerID":"a"}}],"{key}":null}}"#);
        assert_eq!(valid(&twice).unwrap().len(), 1);
    }

    #[test]
    fn del_and_gc_do_without_what_they_do_not_need() {
        let lenient =
            |text: &str| NetConf::decode_leniently(&Json::parse(text.as_bytes()).unwrap());
        let conf = lenient(
            r#"{"name":"n","ipam":{"type":"x"},"dns":"y","capabilities":{"a.b":"on"},"type":7,"strictStatus":"no"}"#,
        );
        let conf = conf.unwrap();
        assert_eq!((&*conf.name, &*conf.ipam.kind), ("n", "x"));
        for needed in [
            r#"{"name":7}"#,
            r#"{"cniVersion":1}"#,
            r#"{"ipam":"x"}"#,
            r#"{"ipam":{"type":7}}"#,
            r#"{"cni.dev/valid-attachments":"none"}"#,
            r#"{"cni.dev/valid-attachments":[{"containerID":7}]}"#,
            r#"{"cni.dev/attachments":[7]}"#,
        ] {
            lenient(needed).unwrap_err();
        }
    }

    #[test]
    fn an_empty_list_is_present_dns() {
        assert!(decode(r#"{"dns":{"search":[]}}"#).unwrap().dns.is_present());
        assert!(
            !decode(r#"{"dns":{"search":null}}"#)
                .unwrap()
                .dns
                .is_present()
        );
    }
}
