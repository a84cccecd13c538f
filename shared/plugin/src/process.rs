//! The real process: environment, stdin, stdout, exit status, panics.

use std::io::{self, Read};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::stderr::complain;
use crate::{Entry, Reply, transport};

/// The value `exec` makes a process execute its delegates even if they are its own executable under another name.
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
    print(reply)
}

/// Prints a failure that arose before any plugin could be chosen.
pub fn fail(failure: &Failure) -> ExitCode {
    print(Reply::from(failure))
}

/// The `CNI_*` variables of this process. Invalid UTF-8 becomes U+FFFD, which no validator accepts.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn environment() -> Env {
    Env::from_lookup(|name| {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

/// Prints the reply. Where that fails, the caller takes ADD for a failure, so the steps of `undo` run.
fn print(reply: Reply) -> ExitCode {
    complain(&reply.stderr);
    match write_stdout(&reply.stdout) {
        Ok(()) if reply.ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(err) => {
            let failure = Failure::new(ErrorCode::IO, format!("cannot write the answer: {err}"))
                .hint("keep stdout open until the plugin has exited");
            complain(&format!("{}\n", reply.undo.run(failure)));
            ExitCode::FAILURE
        }
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
    print(Reply::from(&failure));
    std::process::exit(1);
}
