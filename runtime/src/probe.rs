//! VERSION: the versions of the spec that a plugin speaks, asked as libcni asks.

use linkspan_invoke::find;
use linkspan_protocol::command::Command;
use linkspan_protocol::env::Var;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::json::Json;
use serde::Deserialize;

use crate::Result;
use crate::chain::Runtime;

/// The answer of a plugin without this verb.
const UNKNOWN: &str = "unknown CNI_COMMAND: VERSION";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Versions {
    cni_version: String,
    supported_versions: Vec<String>,
}

impl Runtime {
    /// The versions that the plugin `kind` speaks, as it writes them.
    pub fn versions(&self, kind: &str) -> Result<Vec<String>> {
        let exe = find(kind, &self.plugin_dirs)?;
        let env = Var::ALL.map(|var| {
            let value = match var {
                Var::Command => Command::Version.name(),
                Var::Netns | Var::IfName | Var::Path => "dummy",
                Var::ContainerId | Var::Args | Var::NetnsOverride => "",
            };
            (var.name(), value.to_owned())
        });
        match self.telling(Command::Version, &exe, &env, br#"{"cniVersion":"1.1.0"}"#) {
            Ok(printed) => decode(&printed).map_err(|err| err.context("decoding version info")),
            Err(err) if err.to_string() == UNKNOWN => Ok(vec!["0.1.0".to_owned()]),
            Err(err) => Err(err),
        }
    }
}

fn decode(printed: &[u8]) -> Result<Vec<String>> {
    let told: Versions = Json::parse(printed)?.decode()?;
    let missing = |field| Failure::new(ErrorCode::DECODING, format!("missing field {field}"));
    match (told.cni_version.as_str(), told.supported_versions) {
        ("", _) => Err(missing("cniVersion")),
        ("0.2.0", none) if none.is_empty() => Ok(vec!["0.1.0".to_owned(), "0.2.0".to_owned()]),
        (_, none) if none.is_empty() => Err(missing("supportedVersions")),
        (_, versions) => Ok(versions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_old_plugins_print_is_understood() {
        let old = decode(br#"{"cniVersion":"0.2.0"}"#).unwrap();
        assert_eq!(old, ["0.1.0", "0.2.0"]);
        let new = decode(br#"{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}"#).unwrap();
        assert_eq!(new, ["1.1.0"]);
        for bad in ["{}", r#"{"cniVersion":"1.0.0"}"#, "", "[]"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
