//! The files below `schemas` are what the plugins' types give.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use linkspan_plugin::Entry;
use serde_json::json;

use crate::ENTRIES;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");

/// Set to anything, this makes the test write the files that it would compare.
const WRITE: &str = "LINKSPAN_WRITE_SCHEMAS";

fn text(entry: &Entry) -> String {
    let mut schema = entry.schema().to_json();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!(
        "Configuration of the CNI plugin {}",
        entry.names[0]
    ));
    format!("{schema:#}\n")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whoever changes a configuration says so in the environment"
)]
fn every_plugin_has_the_schema_of_its_types() {
    let write = std::env::var_os(WRITE).is_some();
    let mut expected = BTreeSet::new();
    for entry in ENTRIES {
        let path = Path::new(DIR).join(format!("{}.json", entry.names[0]));
        if write {
            fs::write(&path, text(entry)).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let differs = format!("{} differs; run the test with {WRITE}=1", path.display());
        assert_eq!(kept, text(entry), "{differs}");
        expected.insert(path);
    }
    let there = fs::read_dir(DIR).unwrap();
    let there: BTreeSet<_> = there.map(|file| file.unwrap().path()).collect();
    assert_eq!(there, expected);
}
