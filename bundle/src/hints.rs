//! The product's advice is possible, and does not say "attach anew" if one command is enough.

use std::fs;
use std::path::{Path, PathBuf};

use linkspan_cli::linkspan::command;

use crate::generated::ROOT;

/// The folders of the product's sources.
const SOURCES: [&str; 6] = ["shared", "plugins", "ipam", "runtime", "cli", "node"];

/// The files that may advise to attach the container anew, because they compare state that only ADD makes.
const ANEW: [&str; 7] = [
    "ipam/host-local/src/lib.rs",
    "ipam/static/src/lib.rs",
    "plugins/bandwidth/src/check.rs",
    "plugins/tuning/src/check.rs",
    "plugins/vrf/src/lib.rs",
    "runtime/src/gateways.rs",
    "shared/plugin/src/check.rs",
];

fn rust_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_below(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The product's code by file, without its tests and comments. A text over several lines counts as one.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in SOURCES {
        rust_below(&Path::new(ROOT).join(folder), &mut files);
    }
    let text = |path: PathBuf| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().map(text).collect()
}

/// The literal texts of the calls of `hint` and `mend`.
fn hints(code: &str) -> Vec<String> {
    let calls = [".hint(", ".mend("];
    let after = calls.iter().flat_map(|call| code.split(call).skip(1));
    let literal = |rest: &str| {
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("format!(").unwrap_or(rest).trim_start();
        let text = rest.strip_prefix('"')?;
        let mut end = text.match_indices('"').map(|(at, _)| at);
        let end = end.find(|at| !text[..*at].ends_with('\\'))?;
        Some(text[..end].to_owned())
    };
    after.filter_map(literal).collect()
}

#[test]
fn every_hint_is_one_plain_phrase() {
    let mut count = 0;
    for (file, code) in sources() {
        for hint in hints(&code) {
            count += 1;
            assert!(!hint.ends_with(['.', '!']), "{file}: {hint}");
            assert!(!hint.contains('\n'), "{file}: {hint}");
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_command_of_the_product_in_a_text_is_there() {
    let mut known = command();
    known.build();
    let mut count = 0;
    for (file, code) in sources() {
        for call in ["`linkspan ", "run linkspan ", "\"linkspan "] {
            for rest in code.split(call).skip(1) {
                let is_word = |c: &char| c.is_ascii_lowercase() || *c == '-';
                let verb: String = rest.chars().take_while(is_word).collect();
                if verb.is_empty() {
                    continue;
                }
                count += 1;
                assert!(
                    known.find_subcommand(&verb).is_some(),
                    "{file}: linkspan {verb}"
                );
            }
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn a_container_is_attached_anew_only_where_nothing_else_helps() {
    let says = |(file, code): (String, String)| code.contains("the container anew").then_some(file);
    let mut files: Vec<String> = sources().into_iter().filter_map(says).collect();
    files.sort();
    assert_eq!(files, ANEW);
}
