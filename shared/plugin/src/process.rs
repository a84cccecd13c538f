//! The real process: environment, stdin, stdout, exit status, panics.

use std::io::{self, Read};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::stderr::complain;
use crate::{Entry, Reply, telemetry, transport};

/// The value `exec` makes a process execute its delegates even if they are its own executable under another name.
const DELEGATE: &str = "LINKSPAN_DELEGATE";

/// Room for the usual configuration, which one read fills.
const INPUT: usize = 8 << 10;

/// Serves the call that this process was started for, in an executable that is all of these plugins.
pub fn run_among(entries: &'static [&'static Entry], entry: &Entry) -> ExitCode {
    if variable(DELEGATE).is_none_or(|how| how != "exec") {
        transport::at_home(entries);
    }
    run(entry)
}

/// Serves the call that this process was started for.
pub fn run(entry: &Entry) -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    let mut watched = telemetry::begin(variable);
    let env = environment();
    let reply = entry.serve(&env, &mut || {
        let mut input = Vec::with_capacity(INPUT);
        io::stdin().lock().read_to_end(&mut input)?;
        if let Some(watched) = &mut watched {
            watched.read(&input);
        }
        Ok(input)
    });
    let error = watched.as_ref().and_then(|_| reply.error());
    let is_ok = reply.ok;
    let printed = print(reply);
    if let Some(watched) = watched {
        let unprinted = printed.as_ref().err().map(Failure::to_wire);
        watched.end(entry.name(), &env, unprinted.as_ref().or(error.as_ref()));
    }
    status(is_ok && printed.is_ok())
}

/// Prints a failure that arose before any plugin could be chosen.
pub fn fail(failure: &Failure) -> ExitCode {
    // A failure is a failure, printed or not.
    drop(print(Reply::from(failure)));
    ExitCode::FAILURE
}

/// The `CNI_*` variables of this process. Invalid UTF-8 becomes U+FFFD, which no validator accepts.
pub fn environment() -> Env {
    Env::from_lookup(variable)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Prints the reply. Where that fails, the caller takes ADD for a failure, so the steps of `undo` run.
fn print(reply: Reply) -> Result<(), Failure> {
    complain(&reply.stderr);
    write_stdout(&reply.stdout).map_err(|err| {
        let failure = Failure::new(ErrorCode::IO, format!("cannot write the answer: {err}"))
            .hint("keep stdout open until the plugin has exited");
        let failure = reply.undo.run(failure);
        complain(&format!("{failure}\n"));
        failure
    })
}

fn status(is_ok: bool) -> ExitCode {
    if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes past the buffer of std, which would try again at exit.
fn write_stdout(mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(io::stdout(), bytes) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Reports a panic as the protocol's error object instead of an abort with an empty stdout.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a panic must not unwind into an abort before its report is out with status 1"
)]
fn report_bug(info: &PanicHookInfo<'_>) {
    let failure = Failure::new(ErrorCode::INTERNAL, format!("bug: {info}"))
        .hint("please report it together with the configuration");
    fail(&failure);
    std::process::exit(1);
}
