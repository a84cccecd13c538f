//! Files that are kept beside the sources and come from them.

use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Set to anything, this makes a test write the files that it would compare.
const WRITE: &str = "LINKSPAN_WRITE_GENERATED";

#[expect(
    clippy::disallowed_methods,
    reason = "the environment says that the sources were changed on purpose"
)]
fn writes() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// Asserts that the file of the house has this text.
pub fn file_is_kept(file: &str, text: &str) {
    let path = Path::new(ROOT).join(file);
    if writes() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{file} differs; run the test with {WRITE}=1");
}

/// The text with `part` between the line `<!-- NAME -->` and the next `<!-- end -->`; `None` without that place.
pub fn with_part(text: &str, name: &str, part: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->\n");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{part}\n{end}{after}"))
}
