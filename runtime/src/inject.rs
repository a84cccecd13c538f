//! The input of a plugin: its part of the list, with the runtime's own keys.

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::AttachmentId;
use serde_json::{Map, Value, json};

use crate::Result;
use crate::attachment::Attachment;
use crate::conflist::{NetworkList, PluginConf};

/// Keys that a verb adds to a plugin's own.
pub type Added = Vec<(&'static str, Value)>;

/// The bytes for stdin, compact and with sorted keys. Keys of the list's author stay as they are, unless the runtime
/// sets the same key.
pub fn stdin(list: &NetworkList, plugin: &PluginConf, added: Added) -> Result<Vec<u8>> {
    let mut keys = plugin.keys.clone();
    keys.insert("name".to_owned(), json!(list.name));
    keys.insert("cniVersion".to_owned(), json!(list.version));
    for (key, value) in added {
        keys.insert(key.to_owned(), value);
    }
    serde_json::to_vec(&keys).map_err(|err| {
        Failure::new(ErrorCode::INTERNAL, err.to_string()).context("encode the configuration")
    })
}

/// The runtime's data about an attachment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) at: &'a Attachment,
    result: Option<&'a Value>,
}

impl<'a> Known<'a> {
    /// The attachment, and its result so far.
    pub(crate) fn of(at: &'a Attachment, result: Option<&'a Value>) -> Self {
        Self { at, result }
    }

    /// The keys that ADD, CHECK and DEL add.
    pub(crate) fn about(self, plugin: &PluginConf) -> Added {
        let mut added = runtime_config(plugin, &self.at.capability_args);
        added.extend(self.result.map(|result| ("prevResult", result.clone())));
        added
    }
}

/// The keys that GC adds: its list under the current key and under the first published one; without a list, neither.
pub(crate) fn valid(attachments: Option<&[AttachmentId]>) -> Added {
    let Some(attachments) = attachments else {
        return Added::new();
    };
    let valid: Vec<Value> = attachments
        .iter()
        .map(|id| json!({ "containerID": id.container_id.as_str(), "ifname": id.ifname.as_str() }))
        .collect();
    vec![
        ("cni.dev/valid-attachments", json!(valid)),
        ("cni.dev/attachments", json!(valid)),
    ]
}

/// The key by which STATUS also reports a full range or bridge. Engines do not set it: they would take the node out of
/// service, with all its pods.
pub(crate) fn strict_status() -> Added {
    vec![("strictStatus", json!(true))]
}

/// The arguments whose capability the plugin declares. Without any, the author's own value stays.
pub fn runtime_config(plugin: &PluginConf, args: &Map<String, Value>) -> Added {
    let declares = |name: &str| plugin.standard.capabilities.get(name) == Some(&true);
    let granted: Map<String, Value> = args
        .iter()
        .filter(|(name, _)| declares(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if granted.is_empty() {
        return Added::new();
    }
    vec![("runtimeConfig", Value::Object(granted))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injected(plugin: &str, args: &Value, prev_result: Option<&Value>) -> Value {
        let list = format!(r#"{{"name":"n","cniVersion":"1.0.0","plugins":[{plugin}]}}"#);
        let list = NetworkList::parse(list.as_bytes()).unwrap();
        let mut at = Attachment::new("c", "", "eth0").unwrap();
        at.capability_args = args.as_object().unwrap().clone();
        let plugin = &list.plugins[0];
        let added = Known::of(&at, prev_result).about(plugin);
        serde_json::from_slice(&stdin(&list, plugin, added).unwrap()).unwrap()
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

    #[test]
    fn gc_names_the_valid_attachments_twice_or_not_at_all() {
        let id = Attachment::new("c", "", "eth0").unwrap().id();
        let named = json!([{ "containerID": "c", "ifname": "eth0" }]);
        let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        assert_eq!(
            valid(Some(&[id])),
            keys.map(|key| (key, named.clone())).to_vec()
        );
        assert_eq!(valid(Some(&[])), keys.map(|key| (key, json!([]))).to_vec());
        assert_eq!(valid(None), []);
    }
}
