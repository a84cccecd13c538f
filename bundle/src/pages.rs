//! The manual pages and the completions below `deploy` are what the command line gives.

use std::collections::BTreeMap;

use clap_complete::aot::{Generator, Shell, generate};
use clap_mangen::Man;
use linkspan_cli::linkspan::command;

use crate::{RUNTIME, generated};

/// Adds the pages of the commands below one, and its own.
fn add_pages(command: &clap::Command, pages: &mut BTreeMap<String, String>) {
    for below in command.get_subcommands() {
        add_pages(below, pages);
    }
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    pages.insert(page.get_filename(), String::from_utf8(text).unwrap());
}

#[test]
fn every_command_has_the_page_of_its_arguments() {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    let mut pages = BTreeMap::new();
    add_pages(&command, &mut pages);
    generated::is_kept("deploy/man", &pages);
}

#[test]
fn every_shell_completes_the_command_line() {
    let shells = [Shell::Bash, Shell::Fish, Shell::Zsh];
    let completions = shells.map(|shell| {
        let mut text = Vec::new();
        generate(shell, &mut command(), RUNTIME, &mut text);
        (shell.file_name(RUNTIME), String::from_utf8(text).unwrap())
    });
    generated::is_kept("deploy/completions", &completions.into());
}
