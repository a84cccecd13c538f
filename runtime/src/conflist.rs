//! A network configuration list (spec section 1), read as libcni reads it.

use linkspan_protocol::conf::NetConf;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::NetworkName;
use linkspan_protocol::json::Json;
use linkspan_protocol::version::{Numbers, numbers};
use serde_json::{Map, Value};

use crate::Result;

/// A network: its plugins in the order of ADD.
#[derive(Debug, Clone)]
pub struct NetworkList {
    /// The name in the file; [`NetworkList::network`] validates it.
    pub name: String,
    /// The version in which its plugins are called; neither validated nor capped.
    pub version: String,
    /// CHECK is disabled.
    pub disable_check: bool,
    /// GC is disabled.
    pub disable_gc: bool,
    /// Fragments in the directory named after the network are ignored.
    pub only_inlined: bool,
    /// The plugins.
    pub plugins: Vec<PluginConf>,
    /// The bytes as they were loaded, for the cache.
    pub raw: Vec<u8>,
}

/// The configuration of one plugin in a list.
#[derive(Debug, Clone)]
pub struct PluginConf {
    /// The keys that every plugin knows; `type` is present, but not yet checked.
    pub standard: NetConf,
    /// Every key as written.
    pub keys: Map<String, Value>,
}

impl NetworkList {
    /// Decodes a list.
    pub fn parse(raw: &[u8]) -> Result<Self> {
        let mut list =
            Self::head(raw).map_err(|err| err.context("error parsing configuration list"))?;
        for (index, plugin) in std::mem::take(&mut list.inlined).into_iter().enumerate() {
            let plugin = PluginConf::parse(plugin.to_string().as_bytes())
                .map_err(|err| err.context(format!("failed to parse plugin config {index}")))?;
            list.network.plugins.push(plugin);
        }
        Ok(list.network)
    }

    fn head(raw: &[u8]) -> Result<Head> {
        let keys = keys_of(raw)?;
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

    /// A list of one plugin, from a file with that plugin alone.
    pub fn of_single(raw: &[u8]) -> Result<Self> {
        let plugin = PluginConf::parse(raw)?;
        Ok(Self {
            name: plugin.standard.name.clone(),
            version: plugin.standard.cni_version.clone(),
            disable_check: false,
            disable_gc: false,
            only_inlined: true,
            plugins: vec![plugin],
            raw: raw.to_owned(),
        })
    }

    /// Decodes bytes of an earlier [`NetworkList::raw`]: a list, or a single plugin.
    pub fn parse_either(raw: &[u8]) -> Result<Self> {
        let is_single = keys_of(raw)
            .is_ok_and(|keys| keys.contains_key("type") && !keys.contains_key("plugins"));
        if is_single {
            Self::of_single(raw)
        } else {
            Self::parse(raw)
        }
    }

    /// The version's numbers; a version without numbers is refused.
    pub fn numbers(&self) -> Result<Numbers> {
        numbers(&self.version).map_err(|err| Failure::new(ErrorCode::DECODING, err))
    }

    /// Whether the list's version has GC and STATUS.
    pub fn knows_gc_and_status(&self) -> bool {
        self.numbers().is_ok_and(|version| version >= (1, 1, 0))
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
        Self::decode(raw).map_err(|err| err.context("error parsing configuration"))
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        let json = Json::parse(raw)?;
        let keys = object(&json)?;
        let standard = NetConf::decode(&json)?;
        if standard.kind.is_empty() {
            return Err(Failure::config("missing 'type'").hint(
                "name the plugin's executable under \"type\"; a list of plugins belongs into a .conflist",
            ));
        }
        Ok(Self { standard, keys })
    }

    /// Its file name, not yet checked.
    pub fn kind(&self) -> &str {
        &self.standard.kind
    }

    /// Its name in errors.
    pub fn describe(&self) -> String {
        let named = match self.standard.name.as_str() {
            "" => String::new(),
            name => format!(" name={name:?}"),
        };
        format!("plugin type={:?}{named}", self.kind())
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

/// The members of an object that is the whole text.
pub fn keys_of(raw: &[u8]) -> Result<Map<String, Value>> {
    object(&Json::parse(raw)?)
}

/// The members of an object, each with the last value of its key, as libcni's map has them; `null` has none.
fn object(json: &Json) -> Result<Map<String, Value>> {
    let refuse = |text: String| Failure::new(ErrorCode::DECODING, text);
    match serde_json::to_value(json).map_err(|err| refuse(err.to_string()))? {
        Value::Object(keys) => Ok(keys),
        Value::Null => Ok(Map::new()),
        // The value itself may be a secret.
        other => Err(refuse(format!("not a JSON object: {}", go_type(&other)))),
    }
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
                "error parsing configuration list: not a JSON object: []interface {}",
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
    fn the_standard_keys_of_a_plugin_must_be_well_typed() {
        let refused = PluginConf::parse(br#"{"type":"a","capabilities":{"mac":"yes"}}"#);
        assert_eq!(
            refused.unwrap_err().message(),
            "error parsing configuration: capabilities.mac: invalid type: string, expected a boolean"
        );
    }

    #[test]
    fn text_is_read_as_libcni_reads_it() {
        let plugin = PluginConf::parse(br#"{"type":"a","x":1,"x":"\ud800"}"#).unwrap();
        assert_eq!(plugin.keys["x"], "\u{fffd}");
        let too_large = PluginConf::parse(br#"{"type":"a","x":1e999}"#).unwrap_err();
        assert!(
            too_large.message().contains("number out of range"),
            "{too_large}"
        );
        let marked = list("").unwrap().raw;
        let marked = [&b"\xef\xbb\xbf"[..], &marked].concat();
        let told = NetworkList::parse(&marked).unwrap_err().to_string();
        assert!(
            told.contains("byte order mark (UTF-8); hint: save the file"),
            "{told}"
        );
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
