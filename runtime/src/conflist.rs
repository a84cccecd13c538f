//! A network configuration list (spec section 1), read as libcni reads it.

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::NetworkName;
use linkspan_protocol::version::numbers;
use serde_json::{Map, Value};

use crate::Result;

/// A network: its plugins in the order of ADD.
#[derive(Debug, Clone)]
pub struct NetworkList {
    /// As written; [`NetworkList::network`] validates it.
    pub name: String,
    /// The version that its plugins are asked in; neither validated nor capped.
    pub version: String,
    /// CHECK is not to be run.
    pub disable_check: bool,
    /// GC is not to be run.
    pub disable_gc: bool,
    /// Fragments in the directory named after the network are not to be read.
    pub only_inlined: bool,
    /// The plugins.
    pub plugins: Vec<PluginConf>,
    /// The bytes as they were loaded, for the cache.
    pub raw: Vec<u8>,
}

/// The configuration of one plugin in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConf {
    /// Its file name, not yet checked.
    pub kind: String,
    /// Every key as written.
    pub keys: Map<String, Value>,
}

impl NetworkList {
    /// Decodes a list.
    pub fn parse(raw: &[u8]) -> Result<Self> {
        let mut list =
            Self::head(raw).map_err(|err| err.context("error parsing configuration list"))?;
        for (index, plugin) in std::mem::take(&mut list.inlined).into_iter().enumerate() {
            let plugin = PluginConf::from_value(plugin)
                .map_err(|err| err.context(format!("failed to parse plugin config {index}")))?;
            list.network.plugins.push(plugin);
        }
        Ok(list.network)
    }

    fn head(raw: &[u8]) -> Result<Head> {
        let keys: Option<Map<String, Value>> =
            serde_json::from_slice(raw).map_err(|err| undecodable(&err))?;
        let keys = keys.unwrap_or_default();
        let name = match keys.get("name") {
            None => return Err(Failure::config("no name")),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(wrong_type("name", other)),
        };
        let version = version(&keys)?;
        let disable_check = boolean(&keys, "disableCheck")?;
        let disable_gc = boolean(&keys, "disableGC")?;
        let only_inlined = boolean(&keys, "loadOnlyInlinedPlugins")?;
        let inlined = match keys.get("plugins") {
            None if only_inlined => {
                return Err(Failure::config(
                    "`loadOnlyInlinedPlugins` is true, and no 'plugins' key",
                ));
            }
            None => Vec::new(),
            Some(Value::Array(plugins)) if plugins.is_empty() => {
                return Err(Failure::config("no plugins in list"));
            }
            Some(Value::Array(plugins)) => plugins.clone(),
            Some(other) => return Err(wrong_type("'plugins'", other)),
        };
        let network = Self {
            name,
            version,
            disable_check,
            disable_gc,
            only_inlined,
            plugins: Vec::new(),
            raw: raw.to_owned(),
        };
        Ok(Head { network, inlined })
    }

    /// A list of one plugin, from a file that holds nothing else.
    pub fn of_single(raw: &[u8]) -> Result<Self> {
        let plugin = PluginConf::parse(raw)?;
        let text = |key| {
            plugin
                .keys
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        Ok(Self {
            name: text("name").to_owned(),
            version: text("cniVersion").to_owned(),
            disable_check: false,
            disable_gc: false,
            only_inlined: true,
            plugins: vec![plugin],
            raw: raw.to_owned(),
        })
    }

    /// Decodes bytes that [`NetworkList::raw`] once held: a list, or a single plugin.
    pub fn parse_either(raw: &[u8]) -> Result<Self> {
        let is_single = serde_json::from_slice::<Map<String, Value>>(raw)
            .is_ok_and(|keys| keys.contains_key("type") && !keys.contains_key("plugins"));
        if is_single {
            Self::of_single(raw)
        } else {
            Self::parse(raw)
        }
    }

    /// The name, fit for a file name.
    pub fn network(&self) -> Result<NetworkName> {
        NetworkName::parse(&self.name)
    }
}

struct Head {
    network: NetworkList,
    inlined: Vec<Value>,
}

impl PluginConf {
    /// Decodes one plugin's configuration.
    pub fn parse(raw: &[u8]) -> Result<Self> {
        let value = serde_json::from_slice(raw)
            .map_err(|err| undecodable(&err).context("error parsing configuration"))?;
        Self::from_value(value)
    }

    fn from_value(value: Value) -> Result<Self> {
        let refuse =
            |what: &'static str| Failure::config(what).context("error parsing configuration");
        let keys = match value {
            Value::Object(keys) => keys,
            Value::Null => Map::new(),
            _ => return Err(refuse("not an object")),
        };
        // Go's decoder, which every other reader of these files uses, matches keys in any case.
        let kind = keys
            .iter()
            .rev()
            .find(|(key, _)| key.eq_ignore_ascii_case("type"))
            .map_or(&Value::Null, |(_, kind)| kind);
        match kind.as_str() {
            Some(kind) if !kind.is_empty() => Ok(Self {
                kind: kind.to_owned(),
                keys,
            }),
            None if !kind.is_null() => Err(refuse("'type' is not a string")),
            _ => Err(refuse("missing 'type'")),
        }
    }

    /// How errors name it.
    pub fn describe(&self) -> String {
        let named = match self.keys.get("name").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => format!(" name={name:?}"),
            _ => String::new(),
        };
        format!("plugin type={:?}{named}", self.kind)
    }
}

/// `cniVersion`, or the greatest of `cniVersions` that we speak.
fn version(keys: &Map<String, Value>) -> Result<String> {
    let own = match keys.get("cniVersion") {
        None => "",
        Some(Value::String(version)) => version,
        Some(other) => return Err(wrong_type("cniVersion", other)),
    };
    let listed = match keys.get("cniVersions") {
        None => return Ok(own.to_owned()),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            return Err(Failure::config(
                "invalid type for cniVersions: []interface {}",
            ));
        }
    };
    let mut candidates = Vec::new();
    for (index, entry) in listed.iter().enumerate() {
        let Value::String(entry) = entry else {
            let kind = go_type(entry);
            return Err(Failure::config(format!(
                "invalid type for cniVersions index {index}: {kind}"
            )));
        };
        let parsed = numbers(entry).map_err(|err| {
            Failure::config(format!(
                "invalid cniVersions entry {entry} at index {index}: {err}"
            ))
        })?;
        candidates.push((parsed, entry.as_str()));
    }
    if !own.is_empty() {
        let parsed = numbers(own)
            .map_err(|err| Failure::config(format!("invalid cniVersion {own}: {err}")))?;
        candidates.push((parsed, own));
    }
    candidates.retain(|(version, _)| *version <= (1, 1, 0));
    Ok(candidates
        .into_iter()
        .max_by_key(|(version, _)| *version)
        .map_or(own, |(_, text)| text)
        .to_owned())
}

fn boolean(keys: &Map<String, Value>, key: &str) -> Result<bool> {
    match keys.get(key) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) => match text.to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(Failure::config(format!(
                "invalid value {other:?} for {key}"
            ))),
        },
        Some(other) => Err(Failure::config(format!(
            "invalid type {} for {key}",
            go_type(other)
        ))),
    }
}

fn wrong_type(what: &str, value: &Value) -> Failure {
    Failure::config(format!("invalid {what} type {}", go_type(value)))
}

/// The type as libcni's messages name it.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn undecodable(err: &serde_json::Error) -> Failure {
    Failure::new(ErrorCode::DECODING, err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(keys: &str) -> Result<NetworkList> {
        NetworkList::parse(format!(r#"{{"name":"n","plugins":[{{"type":"a"}}]{keys}}}"#).as_bytes())
    }

    #[test]
    fn the_greatest_version_that_we_speak_is_chosen() {
        for (keys, chosen) in [
            (r#","cniVersions":["1.1.0","0.4.0","1.0.0"]"#, "1.1.0"),
            (r#","cniVersions":["99.0.0","1.1.0","0.4.0"]"#, "1.1.0"),
            (
                r#","cniVersion":"1.0.0","cniVersions":["0.1.0","0.4.0"]"#,
                "1.0.0",
            ),
            (r#","cniVersions":[]"#, ""),
            (r#","cniVersion":"1.2.3""#, "1.2.3"),
            ("", ""),
        ] {
            assert_eq!(list(keys).unwrap().version, chosen, "{keys}");
        }
    }

    #[test]
    fn errors_read_as_libcni_has_them() {
        let cases: [(&str, &str); 9] = [
            (
                "[]",
                "error parsing configuration list: invalid type: sequence, expected a map at line 1 column 0",
            ),
            ("null", "error parsing configuration list: no name"),
            (
                r#"{"name":1}"#,
                "error parsing configuration list: invalid name type float64",
            ),
            (
                r#"{"name":"n","disableCheck":"maybe"}"#,
                "error parsing configuration list: invalid value \"maybe\" for disableCheck",
            ),
            (
                r#"{"name":"n","disableGC":7}"#,
                "error parsing configuration list: invalid type float64 for disableGC",
            ),
            (
                r#"{"name":"n","plugins":[]}"#,
                "error parsing configuration list: no plugins in list",
            ),
            (
                r#"{"name":"n","plugins":{}}"#,
                "error parsing configuration list: invalid 'plugins' type map[string]interface {}",
            ),
            (
                r#"{"name":"n","plugins":[{}]}"#,
                "failed to parse plugin config 0: error parsing configuration: missing 'type'",
            ),
            (
                r#"{"name":"n","cniVersions":["1.0.f"]}"#,
                "error parsing configuration list: invalid cniVersions entry 1.0.f at index 0: failed to convert micro version part \"f\": invalid digit found in string",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                NetworkList::parse(text.as_bytes()).unwrap_err().message(),
                expected
            );
        }
    }

    #[test]
    fn booleans_may_be_text_in_any_case() {
        let parsed = list(r#","disableCheck":"TRUE","disableGC":false"#).unwrap();
        assert!(parsed.disable_check && !parsed.disable_gc);
    }

    #[test]
    fn a_cached_configuration_may_be_a_list_or_a_single_plugin() {
        let single = br#"{"cniVersion":"0.4.0","name":"s","type":"loopback"}"#;
        let parsed = NetworkList::parse_either(single).unwrap();
        assert_eq!((parsed.name.as_str(), parsed.plugins.len()), ("s", 1));
        let listed = br#"{"name":"l","plugins":[{"type":"a"},{"type":"b"}]}"#;
        assert_eq!(NetworkList::parse_either(listed).unwrap().plugins.len(), 2);
    }
}
