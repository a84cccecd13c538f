//! Statements of documents about plugins, commands and each other are true.

use std::fs;
use std::path::Path;

use linkspan_cli::linkspan::command;
use serde_json::Value;

use crate::ENTRIES;
use crate::generated::ROOT;

/// The documents, with their paths from the root.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|ext| ext == "md") {
                let path = format!("{folder}{name}");
                let text = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The lines and inline texts of a document that are code.
fn code(text: &str) -> Vec<&str> {
    let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
    let inline = text.split('`').skip(1).step_by(2);
    blocks.chain(inline).map(str::trim).collect()
}

#[test]
fn the_readme_has_a_row_for_each_plugin_that_leads_to_its_keys() {
    let readme = read("README.md");
    let keys = read("docs/configuration.md");
    for entry in ENTRIES {
        let name = entry.names[0];
        let row = format!("| `{name}`");
        let row = readme.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {name}"));
        for other in entry.names {
            assert!(row.contains(&format!("`{other}`")), "{row} lacks {other}");
        }
        let heading = format!("\n## {name}\n");
        assert!(keys.contains(&heading), "no heading for {name}");
    }
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```json\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let example = read("conf-examples/bridge.conflist");
    let [shown, example] = [shown, &example].map(serde_json::from_str::<Value>);
    assert_eq!(shown.unwrap(), example.unwrap());
}

#[test]
fn every_command_in_a_document_is_one_of_the_command_line() {
    let mut command = command();
    command.build();
    let mut count = 0;
    for (path, text) in documents() {
        for line in code(&text) {
            let line = line.trim_start_matches("sudo ");
            let line = line.trim_start_matches("target/release/");
            let Some(line) = line.strip_prefix("linkspan ") else {
                continue;
            };
            // Words after `--` belong to another program, and words in brackets are optional.
            let line = line.replace(['[', ']', '|', '\\'], " ");
            let mut words = line.split_whitespace().take_while(|word| *word != "--");
            let verb = words.next().unwrap();
            let verb = command.find_subcommand(verb);
            let verb = verb.unwrap_or_else(|| panic!("{path}: linkspan {line}"));
            for word in words {
                let Some(option) = word.strip_prefix("--") else {
                    continue;
                };
                let option = option.split(['=', '.']).next();
                let mut known = verb.get_arguments().filter_map(clap::Arg::get_long);
                assert!(known.any(|known| Some(known) == option), "{path}: {line}");
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    for (path, text) in documents() {
        let at = Path::new(ROOT).join(&path);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => at.clone(),
                file => at.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{path}: {link}");
            if !heading.is_empty() {
                let target = fs::read_to_string(&target).unwrap();
                let mut headings = target.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{path}: {link}"
                );
            }
        }
    }
}

#[test]
fn the_index_names_every_document() {
    let index = read("docs/README.md");
    for (path, _) in documents() {
        let named = path.strip_prefix("docs/").unwrap_or(&path);
        let is_index = named == "README.md";
        assert!(is_index || index.contains(&format!("{named})")), "{path}");
    }
}
