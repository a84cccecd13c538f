//! The parameters of one attachment.

use std::path::{Component, Path, PathBuf};

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};
use linkspan_protocol::json::Json;
use serde_json::{Map, Value};
use sha2::{Digest, Sha512};

use crate::Result;

/// The parameters of ADD, CHECK and DEL.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// `CNI_CONTAINERID`
    pub container_id: ContainerId,
    /// `CNI_NETNS`; empty where the namespace is gone.
    pub netns: String,
    /// `CNI_IFNAME`
    pub ifname: IfName,
    /// `CNI_ARGS`, in order.
    pub args: Vec<(String, String)>,
    /// Values for the capabilities that plugins declare.
    pub capability_args: Map<String, Value>,
}

impl Attachment {
    /// An attachment without arguments.
    pub fn new(container_id: &str, netns: &str, ifname: &str) -> Result<Self> {
        Ok(Self {
            container_id: ContainerId::parse(container_id)?,
            netns: netns.to_owned(),
            ifname: IfName::parse(ifname)?,
            args: Vec::new(),
            capability_args: Map::new(),
        })
    }

    /// Its identity within a network.
    pub fn id(&self) -> AttachmentId {
        AttachmentId {
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
        }
    }

    /// `CNI_ARGS` as plugins read it.
    pub fn args_text(&self) -> String {
        let pairs: Vec<String> = self.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(";")
    }
}

/// The container id that `cnitool` gives to a namespace: ten bytes of the path's SHA-512.
pub fn id_of_netns(path: &Path) -> String {
    let mut hex = format!("{:x}", Sha512::digest(path.as_os_str().as_encoded_bytes()));
    hex.truncate(20);
    format!("cnitool-{hex}")
}

/// A namespace's absolute path as `cnitool` makes it: from the text alone, without a look at the filesystem.
pub fn absolute(netns: &str) -> Result<PathBuf> {
    let path = std::path::absolute(netns).map_err(crate::io(format!("resolve {netns:?}")))?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    Ok(clean)
}

/// `K=V;K=V`, each pair with exactly one `=` and nothing empty.
pub fn parse_args(text: &str) -> Result<Vec<(String, String)>> {
    text.split(';')
        .filter(|_| !text.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
                Ok((key.to_owned(), value.to_owned()))
            }
            // The value may be a secret, and so may a pair without a key.
            found => Err(Failure::new(
                ErrorCode::INVALID_ENVIRONMENT,
                match found {
                    Some((key, _)) => format!("invalid CNI_ARGS pair {key:?}"),
                    None => "invalid CNI_ARGS pair".to_owned(),
                },
            )
            .hint("write KEY=VALUE;KEY=VALUE")),
        })
        .collect()
}

/// A JSON object of values for capabilities.
pub fn parse_capability_args(text: &str) -> Result<Map<String, Value>> {
    let decoded = Json::parse(text.as_bytes()).and_then(|json| json.decode());
    decoded.map_err(|err| {
        Failure::from(err)
            .context("decode the capability arguments")
            .hint("write a JSON object, one key for each capability")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_one_that_cnitool_gives() {
        let id = id_of_netns(Path::new("/var/run/netns/cnitest"));
        assert_eq!(id, "cnitool-20c433bb2b1d6ede56d6");
    }

    #[test]
    fn a_path_is_cleaned_by_its_text() {
        for (given, clean) in [
            ("/var/run/netns/../netns/./x//", "/var/run/netns/x"),
            ("/../x", "/x"),
        ] {
            assert_eq!(absolute(given).unwrap(), Path::new(clean));
        }
        assert!(absolute("x").unwrap().is_absolute());
    }

    #[test]
    fn pairs_have_exactly_one_equals_sign() {
        assert_eq!(parse_args("").unwrap(), []);
        assert_eq!(parse_args("A=1;B=2").unwrap().len(), 2);
        for bad in ["A", "A=", "=1", "A=1;", "A=1=2"] {
            assert!(parse_args(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_object_of_capabilities_is_not_quoted() {
        let given = parse_capability_args(r#"{"mac":"02:00:00:00:00:01","ips":[1,{"a":null}]}"#);
        assert_eq!(given.unwrap().len(), 2);
        for bad in [r#""canary""#, "canary", "[]", "{\"canary\"}"] {
            let told = parse_capability_args(bad).unwrap_err().to_string();
            assert!(!told.contains("canary"), "{told}");
        }
    }
}
