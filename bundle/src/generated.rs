//! Files that are generated from the sources and kept beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use linkspan_harness::kept::with_part;

pub(crate) use linkspan_harness::kept::file_is_kept;

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Asserts that the directory `dir` of the house holds `files`, by name, and no other.
pub(crate) fn is_kept(dir: &str, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        file_is_kept(&format!("{dir}/{name}"), text);
    }
    let there = fs::read_dir(Path::new(ROOT).join(dir)).unwrap();
    let files_alone = there
        .map(Result::unwrap)
        .filter(|file| file.path().is_file());
    let there: BTreeSet<_> = files_alone.map(|file| file.file_name()).collect();
    assert_eq!(there, files.keys().map(Into::into).collect());
}

/// The file with each of `parts`, by name, between the lines that mark it. One that has no place yet comes last, under a
/// heading of its name.
pub(crate) fn with_parts(file: &str, parts: &[(String, String)]) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    parts.iter().fold(text, |text, (name, part)| {
        let place = format!("keys of {name}");
        with_part(&text, &place, part).unwrap_or_else(|| {
            format!("{text}\n## {name}\n\n<!-- {place} -->\n\n{part}\n<!-- end -->\n")
        })
    })
}
