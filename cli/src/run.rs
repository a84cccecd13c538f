//! `linkspan run`: a command in a fresh namespace that is attached to a network for as long as the command runs.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::interrupt::{ENDING, is_ignored};
use linkspan_runtime::{Result, kernel};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use signal_hook::consts::{SIGCHLD, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::end::{End, Ended};

/// Exit statuses for failures before the command runs, as shells and container engines have them.
pub(crate) const NOT_ATTACHED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The attachment that a run requests.
pub(crate) struct Wished<'a> {
    /// The interface's name.
    pub(crate) ifname: &'a str,
    /// Values for capabilities.
    pub(crate) capability_args: Map<String, Value>,
}

/// Signals as events in a queue. From now on no signal ends or interrupts anything.
pub(crate) fn signals() -> Result<SignalsInfo<WithOrigin>> {
    let passed_on = ENDING.into_iter().chain([SIGUSR1, SIGUSR2]);
    let handled = passed_on.filter(|signal| !is_ignored(*signal));
    SignalsInfo::new(handled.chain([SIGCHLD])).map_err(linkspan_runtime::io("handle signals"))
}

/// Runs a command with an attachment, and ends as it ends. DEL runs on every way out except SIGKILL of this process.
pub(crate) fn run(
    runtime: &Runtime,
    list: &NetworkList,
    wished: Wished<'_>,
    command: &[OsString],
    mut signals: SignalsInfo<WithOrigin>,
) -> Ended {
    let ended_with = |status| move |failure| End { status, failure };
    let not_attached = ended_with(NOT_ATTACHED);
    let netns = sandbox().map_err(not_attached)?;
    let at = attachment(&netns, wished).map_err(not_attached)?;
    let added = runtime.add(list, &at);
    let stopped = stop_requested(&mut signals).map(ExitStatus::from_raw);
    added.map_err(ended_with(stopped.map_or(NOT_ATTACHED, exit_status)))?;
    let ended = match stopped {
        Some(status) => Ok(exit_status(status)),
        None => start(&netns, command).and_then(|child| {
            wait(child, &mut signals)
                .map(exit_status)
                .map_err(not_attached)
        }),
    };
    match (runtime.del(list, &at), ended) {
        (Ok(()), ended) => ended,
        (Err(failure), Ok(status)) => {
            let status = if status == 0 { NOT_ATTACHED } else { status };
            Err(End { status, failure })
        }
        (Err(undone), Err(mut end)) => {
            end.failure.note(undone.to_string());
            Err(end)
        }
    }
}

/// A namespace with its loopback interface up.
pub(crate) fn sandbox() -> Result<Netns> {
    let netns = Netns::create().map_err(kernel)?;
    let rtnl = Rtnl::open(&netns).map_err(kernel)?;
    if let Some(lo) = rtnl.link_by_name("lo").map_err(kernel)? {
        lo.set_up().map_err(kernel)?;
    }
    Ok(netns)
}

/// The namespace's path for other processes, as long as this process holds it.
pub(crate) fn path_of(netns: &Netns) -> String {
    format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        netns.as_fd().as_raw_fd()
    )
}

fn attachment(netns: &Netns, wished: Wished<'_>) -> Result<Attachment> {
    let id = netns.id().map_err(kernel)?;
    let container = format!("linkspan-{}-{}", std::process::id(), id.ino);
    let at = Attachment::new(&container, &path_of(netns), wished.ifname)?;
    Ok(Attachment {
        capability_args: wished.capability_args,
        ..at
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's command is not a plugin: it gets the terminal and no protocol"
)]
fn start(netns: &Netns, command: &[OsString]) -> std::result::Result<Child, End> {
    let (program, args) = command.split_first().ok_or_else(|| {
        let failure = Failure::new(ErrorCode::INVALID_ENVIRONMENT, "no command given");
        End {
            status: NOT_FOUND,
            failure,
        }
    })?;
    let spawned = netns.scope(|| Command::new(program).args(args).spawn());
    spawned
        .map_err(|err| End {
            status: NOT_ATTACHED,
            failure: kernel(err),
        })?
        .map_err(|err| {
            let status = match err.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            };
            let program = program.to_string_lossy();
            End {
                status,
                failure: linkspan_runtime::io(format!("execute {program}"))(err),
            }
        })
}

/// A signal to end that came before there was a command to pass it to.
fn stop_requested(signals: &mut SignalsInfo<WithOrigin>) -> Option<i32> {
    signals
        .pending()
        .map(|origin| origin.signal)
        .find(|signal| ENDING.contains(signal))
}

fn wait(mut child: Child, signals: &mut SignalsInfo<WithOrigin>) -> Result<ExitStatus> {
    let attempt = || linkspan_runtime::io("wait for the command");
    loop {
        if let Some(status) = child.try_wait().map_err(attempt())? {
            return Ok(status);
        }
        for origin in signals.wait() {
            forward(&child, &origin).map_err(attempt())?;
        }
    }
}

/// Passes a signal on. A terminal's signal has reached the command already.
fn forward(child: &Child, origin: &Origin) -> io::Result<()> {
    let by_terminal = matches!(origin.cause, Cause::Kernel);
    if origin.signal == SIGCHLD || by_terminal {
        return Ok(());
    }
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    match kill(Pid::from_raw(pid), Signal::try_from(origin.signal)?) {
        // The command has ended meanwhile; the loop sees that next.
        Err(Errno::ESRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

/// The status in the form of shells: 128 + N for a death by signal N.
fn exit_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(NOT_ATTACHED)
}
