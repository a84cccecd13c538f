//! What a plugin reads on stdin: its part of the list, and what the runtime knows.

use linkspan_protocol::error::{ErrorCode, Failure};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::attachment::Attachment;
use crate::conflist::{NetworkList, PluginConf};

/// A verb about an attachment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) list: &'a NetworkList,
    pub(crate) at: &'a Attachment,
    pub(crate) prev_result: Option<&'a Value>,
}

/// The bytes for stdin, compact and with sorted keys. Keys that the list's author wrote stay as they are, unless the
/// runtime has something to say under them.
pub(crate) fn stdin(plugin: &PluginConf, request: Request<'_>) -> Result<Vec<u8>> {
    let mut keys = plugin.keys.clone();
    keys.insert("name".to_owned(), json!(request.list.name));
    keys.insert("cniVersion".to_owned(), json!(request.list.version));
    if let Some(result) = request.prev_result {
        keys.insert("prevResult".to_owned(), result.clone());
    }
    let granted = granted(plugin, &request.at.capability_args);
    if !granted.is_empty() {
        keys.insert("runtimeConfig".to_owned(), Value::Object(granted));
    }
    serde_json::to_vec(&keys).map_err(|err| {
        Failure::new(ErrorCode::INTERNAL, err.to_string()).context("encode the configuration")
    })
}

/// The arguments whose capability the plugin declares.
fn granted(plugin: &PluginConf, args: &Map<String, Value>) -> Map<String, Value> {
    let declared = plugin.keys.get("capabilities").and_then(Value::as_object);
    let declares = |name: &str| {
        declared
            .and_then(|capabilities| capabilities.get(name))
            .is_some_and(|declared| *declared == Value::Bool(true))
    };
    args.iter()
        .filter(|(name, _)| declares(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injected(plugin: &str, args: &Value, prev_result: Option<&Value>) -> Value {
        let list = format!(r#"{{"name":"n","cniVersion":"1.0.0","plugins":[{plugin}]}}"#);
        let list = NetworkList::parse(list.as_bytes()).unwrap();
        let mut at = Attachment::new("c", "", "eth0").unwrap();
        at.capability_args = args.as_object().unwrap().clone();
        let request = Request {
            list: &list,
            at: &at,
            prev_result,
        };
        serde_json::from_slice(&stdin(&list.plugins[0], request).unwrap()).unwrap()
    }

    #[test]
    fn each_plugin_gets_the_capabilities_that_it_declares() {
        let plugin =
            r#"{"type":"a","capabilities":{"mac":true,"ips":false},"runtimeConfig":{"x":1}}"#;
        let args = json!({"mac": "02:00:00:00:00:01", "ips": [], "other": 1});
        let made = injected(plugin, &args, None);
        assert_eq!(made["runtimeConfig"], json!({"mac": "02:00:00:00:00:01"}));
        assert_eq!(
            (&made["name"], &made["cniVersion"]),
            (&json!("n"), &json!("1.0.0"))
        );
        assert_eq!(
            injected(plugin, &json!({}), None)["runtimeConfig"],
            json!({"x": 1})
        );
    }

    #[test]
    fn a_written_previous_result_survives_until_there_is_one() {
        let plugin = r#"{"type":"a","prevResult":{"x":1}}"#;
        assert_eq!(
            injected(plugin, &json!({}), None)["prevResult"],
            json!({"x": 1})
        );
        let result = json!({"cniVersion": "0.2.0"});
        assert_eq!(
            injected(plugin, &json!({}), Some(&result))["prevResult"],
            result
        );
    }
}
