//! The real process: environment, stdin, stdout, exit status, panics.

use std::io::{self, Read, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure};

use crate::{Entry, Reply, transport};

/// Set to `exec`, this makes a process execute its delegates even where they are itself under another name.
const DELEGATE: &str = "LINKSPAN_DELEGATE";

/// Serves the call that this process was started for, in an executable that is all of these plugins.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn run_among(entries: &'static [&'static Entry], entry: &Entry) -> ExitCode {
    if std::env::var_os(DELEGATE).is_none_or(|how| how != "exec") {
        transport::at_home(entries);
    }
    run(entry)
}

/// Serves the call that this process was started for.
pub fn run(entry: &Entry) -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    let reply = entry.serve(&environment(), &mut || {
        let mut input = Vec::new();
        io::stdin().lock().read_to_end(&mut input)?;
        Ok(input)
    });
    print(&reply)
}

/// Prints a failure that arose before any plugin could be chosen.
pub fn fail(failure: &Failure) -> ExitCode {
    print(&Reply::from(failure))
}

/// The `CNI_*` variables of this process; bytes that are no UTF-8 become U+FFFD, which no validator accepts.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn environment() -> Env {
    Env::from_lookup(|name| {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

/// Writes to stderr; nobody is left to be told when that is closed.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

fn print(reply: &Reply) -> ExitCode {
    complain(&reply.stderr);
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(&reply.stdout)
        .and_then(|()| stdout.flush());
    if reply.ok && printed.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// An abort with an empty stdout would help no one, so a bug is reported as the protocol wants it.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a panic must not unwind into an abort before its report is out with status 1"
)]
fn report_bug(info: &PanicHookInfo<'_>) {
    let failure = Failure::new(ErrorCode::INTERNAL, format!("bug: {info}"))
        .hint("please report it together with the configuration");
    print(&Reply::from(&failure));
    std::process::exit(1);
}
