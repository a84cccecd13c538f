//! The manual pages and the completions below `deploy` match the command line.

use std::collections::BTreeMap;
use std::fs;

use clap_complete::aot::{Generator, Shell, generate};
use clap_mangen::Man;
use linkspan_cli::linkspan::command;

use crate::generated::ROOT;
use crate::{RUNTIME, generated, man};

/// Adds the pages of the commands below one, and its own.
fn add_pages(command: &clap::Command, pages: &mut BTreeMap<String, String>) {
    for below in command.get_subcommands() {
        add_pages(below, pages);
    }
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    let mut text = String::from_utf8(text).unwrap();
    let file = page.get_filename();
    let name = file.trim_end_matches(".1");
    text.push_str(&man::sections(
        name.strip_prefix("linkspan-").unwrap_or(name),
    ));
    pages.insert(file, text);
}

#[test]
fn every_command_has_the_page_of_its_arguments() {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    let mut pages = BTreeMap::new();
    add_pages(&command, &mut pages);
    generated::is_kept("deploy/man", &pages);
}

/// The script with our function that completes names of networks and attachments.
fn with_names(shell: Shell, script: &str) -> String {
    let names = |shell| {
        let path = format!("{ROOT}/cli/src/completion/words.{shell}");
        fs::read_to_string(path).unwrap()
    };
    match shell {
        Shell::Bash => format!("{script}{}", names("bash")),
        Shell::Fish => format!("{script}{}", names("fish")),
        _ => {
            // The functions come before the first call, and replace the completion of files where names are expected.
            let (before, after) = script.split_once("\n_linkspan() {\n").unwrap();
            let asks = |line: &str| {
                let mut keys = ["first", "netns", "network", "networks", "subject", "text"].iter();
                keys.any(|key| {
                    line.trim_start_matches(['\'', ':', '*'])
                        .starts_with(&format!("{key} -- "))
                })
            };
            let lines = after.lines().map(|line| {
                if asks(line) {
                    line.replace(":_default'", ":_linkspan_names'") + "\n"
                } else {
                    format!("{line}\n")
                }
            });
            let after: String = lines.collect();
            format!("{before}\n{}\n_linkspan() {{\n{after}", names("zsh"))
        }
    }
}

#[test]
fn every_shell_completes_the_command_line() {
    let shells = [Shell::Bash, Shell::Fish, Shell::Zsh];
    let completions = shells.map(|shell| {
        let mut text = Vec::new();
        generate(shell, &mut command(), RUNTIME, &mut text);
        let text = String::from_utf8(text).unwrap();
        (shell.file_name(RUNTIME), with_names(shell, &text))
    });
    generated::is_kept("deploy/completions", &completions.into());
}
