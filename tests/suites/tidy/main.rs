//! Rules of the house that a test can hold: dependencies, file headers, comments, forbidden calls of tests, and
//! completeness of the tables that name plugins, crates and examples.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arrows;
mod tree;

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::lab::PLUGINS;

use tree::{ROOT, dependencies, folders, read, sources};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

#[test]
fn every_file_says_what_it_is_and_why_it_is_long() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not begin with //!");
        let header: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        let long = text.lines().count() > 400;
        assert!(
            !long || header.join(" ").contains("400 lines"),
            "{name} is longer than 400 lines, and its header does not say why"
        );
    }
}

/// A comment begins with its subject. A noun phrase is enough for an item.
#[test]
fn no_comment_begins_with_what_or_who() {
    let words = ["What", "Who", "Whoever", "Whatever"];
    let mut found = Vec::new();
    for (name, text) in sources() {
        let mut before = String::from(".");
        for (at, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//");
            let comment = comment.map(|text| text.trim_start_matches(['/', '!']).trim());
            let mut first = before.ends_with(['.', ':']);
            for word in comment.unwrap_or_default().split_whitespace() {
                if first && words.contains(&word) {
                    found.push(format!("{name}:{}: {}", at + 1, line.trim()));
                }
                first = word.ends_with(['.', ':']);
            }
            before = comment
                .filter(|text| !text.is_empty())
                .unwrap_or(".")
                .to_owned();
        }
    }
    assert!(
        found.is_empty(),
        "comments in plain English:\n{}",
        found.join("\n")
    );
}

#[test]
fn nothing_sleeps_and_no_test_is_ignored_or_content_with_any_panic() {
    for (name, text) in sources() {
        // In two pieces each, since this file is a source, too.
        for banned in [
            concat!("#[", "ignore"),
            concat!("should_", "panic"),
            concat!("todo", "!("),
            concat!("::sleep", "("),
        ] {
            assert!(!text.contains(banned), "{name} has {banned}");
        }
    }
}

/// A child started in another way has copies of the descriptors that another test is writing (`harness::forks`).
#[test]
fn the_laboratory_starts_the_children_of_all_tests() {
    let of_tests = ["tests/suites/", "ipam/host-local/tests/"];
    for (name, text) in sources() {
        // A separate crate has no other tests beside it.
        let alone = !of_tests.iter().any(|dir| name.starts_with(dir));
        // In two pieces, since this file is a source, too.
        let starts = text.contains(concat!("Command::", "new("));
        assert!(
            alone || !starts || text.contains("forks::"),
            "{name} starts children by itself"
        );
    }
}

#[test]
fn every_plugin_folder_is_in_the_bundle_and_in_the_laboratory() {
    let version = Call::new(Path::new(LINKSPAN)).args(&["version"]).run();
    let told = version.succeeded();
    let bundled = dependencies("bundle");
    let folders = folders();
    for kind in ["plugins", "ipam"] {
        for entry in fs::read_dir(Path::new(ROOT).join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let member = format!("{kind}/{name}");
            let package = folders.iter().find(|(_, folder)| **folder == member);
            let (package, _) =
                package.unwrap_or_else(|| panic!("{member} is not a member of the workspace"));
            assert!(bundled.contains(package), "the bundle lacks {member}");
            assert!(
                PLUGINS.contains(&name.as_str()),
                "the laboratory lacks {name}"
            );
            let words: Vec<&str> = told.split([' ', ',', '\n']).collect();
            assert!(
                words.contains(&name.as_str()),
                "`linkspan version` lacks {name}: {told}"
            );
        }
    }
}

#[test]
fn the_readme_leads_to_every_example() {
    let readme = read("README.md");
    for entry in fs::read_dir(Path::new(ROOT).join("conf-examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            readme.contains("(conf-examples)") || readme.contains(&name),
            "README.md names neither {name} nor its folder"
        );
    }
}

#[test]
fn every_message_that_the_documentation_explains_is_in_the_product() {
    let product: Vec<String> = sources()
        .into_iter()
        .filter(|(name, _)| !name.contains("tests/"))
        // A text over several lines is one text.
        .map(|(_, text)| text.replace("\\\n", ""))
        .collect();
    let documentation = read("docs/clients.md");
    let (_, rest) = documentation.split_once("\n| Message |").unwrap();
    let (table, _) = rest.split_once("\nMessages of the engines").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for row in rows {
        let cell = row.split('|').nth(1).unwrap();
        for message in cell.split('`').skip(1).step_by(2) {
            assert!(
                product.iter().any(|text| text.contains(message)),
                "nothing says {message:?}"
            );
        }
    }
}

#[test]
fn every_test_that_security_cites_exists() {
    let text = read("SECURITY.md");
    let rows = text.split("\n## ").find(|part| part.starts_with("Dangers"));
    let cited = rows
        .unwrap()
        .lines()
        .filter_map(|line| line.rsplit('|').nth(1));
    let names = cited.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let sources = sources();
    let mut count = 0;
    for name in names {
        let wanted = format!("fn {name}()");
        assert!(
            sources.iter().any(|(_, text)| text.contains(&wanted)),
            "SECURITY.md cites {name}, which is no test"
        );
        count += 1;
    }
    assert!(count > 0);
}
