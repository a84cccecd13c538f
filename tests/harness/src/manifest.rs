//! Objects of Kubernetes out of a file of YAML.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::call::Call;
use crate::skip;

/// The objects of a manifest; `None`, with a line, if this machine cannot read YAML.
pub fn objects(file: &Path) -> Option<Vec<Value>> {
    const SCRIPT: &str =
        "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let python = skip::without("python3")?;
    let text = fs::read(file).unwrap();
    let call = Call::new(&python).args(&["-c", SCRIPT]).stdin(&text).run();
    if call.stderr.contains("No module named 'yaml'") {
        skip::tell("python3-yaml is not installed");
        return None;
    }
    Some(serde_json::from_str(call.succeeded()).unwrap())
}
