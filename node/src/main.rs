//! The binary `linkspan-node`.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use linkspan_node::agent::run;
use linkspan_node::arguments::Arguments;

fn main() -> ExitCode {
    match run(&Arguments::parse().settings()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => match writeln!(stderr(), "linkspan-node: {err}") {
            Ok(()) | Err(_) => ExitCode::FAILURE,
        },
    }
}
