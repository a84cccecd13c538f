//! `-v` and `-vv`: the calls of plugins, on stderr.

use std::time::Duration;

use linkspan_runtime::chain::Call;
use linkspan_runtime::steps::Step;

use crate::complain::complain;

/// The variable whose values may be secrets.
const ARGS: &str = "CNI_ARGS";

/// One line for each call: path, verb, time and the code of the failure; below it, the steps of a plugin that tells them.
pub(super) fn line(call: &Call<'_>) {
    complain(&text(call));
}

/// The same, followed by the variables and the sizes of input and output. Values of arguments, or of a configuration,
/// may be secrets.
pub(super) fn lines(call: &Call<'_>) {
    let mut told = text(call);
    for (name, value) in call.env {
        let keys: Vec<&str> = value
            .split(';')
            .filter_map(|pair| Some(pair.split_once('=')?.0))
            .collect();
        let value = if *name == ARGS {
            keys.join(";")
        } else {
            value.clone()
        };
        told.push_str(&format_line(name, &value));
    }
    told.push_str(&format_line(
        "stdin",
        &format!("{} bytes", call.stdin.len()),
    ));
    match call.done {
        Ok(printed) => told.push_str(&format_line("stdout", &format!("{} bytes", printed.len()))),
        Err(failure) => told.push_str(&format_line(
            "failure",
            &linkspan_runtime::sentence(failure),
        )),
    }
    complain(&told);
}

fn format_line(name: &str, value: &str) -> String {
    format!("  {name} {value}\n")
}

fn text(call: &Call<'_>) -> String {
    let code = call.done.err().map_or(0, |failure| failure.code().0);
    let call_line = format!(
        "{} {} {:.1} ms, code {code}\n",
        call.exe.display(),
        call.verb,
        milliseconds(call.took)
    );
    let step_line = |step: &Step| {
        let (indent, took) = ("  ".repeat(step.depth), milliseconds(step.took));
        let failed = if step.failed { ", failed" } else { "" };
        format!("{indent}{} {took:.1} ms{failed}\n", step.name)
    };
    let steps = call.steps.iter().map(step_line);
    [call_line].into_iter().chain(steps).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
