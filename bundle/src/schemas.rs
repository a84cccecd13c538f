//! The files below `schemas` match the plugins' types.

use std::collections::BTreeMap;

use linkspan_plugin::Entry;
use serde_json::{Value, json};

use crate::configuration::described;
use crate::sources::Sources;
use crate::{ENTRIES, generated};

fn text(sources: &Sources, entry: &Entry) -> String {
    let mut schema = described(sources, entry);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!(
        "Configuration of the CNI plugin {}",
        entry.names[0]
    ));
    format!("{schema:#}\n")
}

/// The schema of a list: that of each plugin by its type.
fn list() -> String {
    let names = ENTRIES
        .iter()
        .flat_map(|entry| entry.names.iter().map(|name| (*name, entry.names[0])));
    let branches: Vec<Value> = names
        .map(|(name, file)| {
            json!({
                "if": { "properties": { "type": { "const": name } } },
                "then": { "$ref": format!("{file}.json") },
            })
        })
        .collect();
    let version = json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$" });
    let switch = |what: &str| json!({ "type": ["boolean", "string"], "description": what });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration list of CNI, with the plugins of this suite",
        "type": "object",
        "required": ["name", "plugins"],
        "properties": {
            "$schema": { "type": "string" },
            "name": { "type": "string", "description": "Name of the network." },
            "cniVersion": version,
            "cniVersions": { "type": "array", "items": version, "description": "Versions of which an engine takes the highest that it speaks." },
            "disableCheck": switch("CHECK does nothing."),
            "disableGC": switch("GC does nothing."),
            "loadOnlyInlinedPlugins": { "type": "boolean", "description": "Files beside the list add no plugins to it." },
            "plugins": {
                "type": "array",
                "minItems": 1,
                "description": "Plugins, in the order of ADD.",
                "items": { "type": "object", "required": ["type"], "allOf": branches },
            },
        },
    });
    format!("{schema:#}\n")
}

#[test]
fn every_plugin_has_the_schema_of_its_types() {
    let sources = Sources::read();
    let schemas = ENTRIES.iter().map(|entry| {
        let file = format!("{}.json", entry.names[0]);
        (file, text(&sources, entry))
    });
    let mut schemas: BTreeMap<String, String> = schemas.collect();
    schemas.insert("conflist.json".to_owned(), list());
    generated::is_kept("schemas", &schemas);
}
