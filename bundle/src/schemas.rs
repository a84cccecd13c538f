//! The files below `schemas` are what the plugins' types give.

use linkspan_plugin::Entry;
use serde_json::json;

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

#[test]
fn every_plugin_has_the_schema_of_its_types() {
    let sources = Sources::read();
    let schemas = ENTRIES.iter().map(|entry| {
        let file = format!("{}.json", entry.names[0]);
        (file, text(&sources, entry))
    });
    generated::is_kept("schemas", &schemas.collect());
}
