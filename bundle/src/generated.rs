//! Files that are kept beside the sources and come from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Set to anything, this makes a test write the files that it would compare.
const WRITE: &str = "LINKSPAN_WRITE_GENERATED";

/// Asserts that the directory `dir` of the house holds `files`, by name, and no other.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever changes what they come from says so in the environment"
)]
pub(crate) fn is_kept(dir: &str, files: &BTreeMap<String, String>) {
    let dir = Path::new(ROOT).join(dir);
    let write = std::env::var_os(WRITE).is_some();
    for (name, text) in files {
        let path = dir.join(name);
        if write {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let differs = format!("{} differs; run the test with {WRITE}=1", path.display());
        assert_eq!(&kept, text, "{differs}");
    }
    let there = fs::read_dir(&dir).unwrap();
    let there: BTreeSet<_> = there.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(there, files.keys().map(Into::into).collect());
}
