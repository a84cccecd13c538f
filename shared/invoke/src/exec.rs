//! Executing a plugin and reading its reply.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use linkspan_protocol::error::{ErrorCode, Failure, WireError};
use linkspan_protocol::json::Json;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::communicate::{communicate, start};

/// How long to wait for an executable that is being written.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// Executes `exe` with the inherited environment and `env` on top, feeds it `stdin`, and returns its stdout.
///
/// Forwards its stderr if it succeeded. If it failed, returns the error object that it printed. Without such an
/// object, the failure has code 999 and the exit status, and is marked as in doubt: the plugin may have done part of
/// its work.
pub fn exec(exe: &Path, env: &[(&str, String)], stdin: &[u8]) -> Result<Vec<u8>, Failure> {
    exec_until(exe, env, stdin, None)
}

/// The same for a caller that may be stopped: once `stop` is readable, the plugin is asked to end.
pub fn exec_until(
    exe: &Path,
    env: &[(&str, String)],
    stdin: &[u8],
    stop: Option<BorrowedFd<'_>>,
) -> Result<Vec<u8>, Failure> {
    let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
    let attempted = |err: io::Error| {
        Failure::new(ErrorCode::INTERNAL, err.to_string())
            .context(format!("execute {}", exe.display()))
    };
    let child = spawn(exe, env).map_err(|err| {
        attempted(err).hint("check that the plugin is executable and made for this machine")
    })?;
    let output = communicate(child, stdin, stop).map_err(|err| attempted(err).in_doubt())?;
    if output.status.success() {
        // Forwards the delegate's log lines. A closed stderr is not an error.
        drop(io::stderr().write_all(&output.stderr));
        return Ok(output.stdout);
    }
    Err(failure(&name, output))
}

/// Executes this program again, under the name `name` and with `args`. Answers as [`exec`] does.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that executes plugins"
)]
pub fn exec_itself(name: &str, args: &[String]) -> Result<Vec<u8>, Failure> {
    let attempted = |err: io::Error| {
        Failure::new(ErrorCode::INTERNAL, err.to_string()).context(format!("execute {name} again"))
    };
    let mut command = Command::new("/proc/self/exe");
    let child = start(command.arg0(name).args(args)).map_err(attempted)?;
    let output = communicate(child, &[], None).map_err(|err| attempted(err).in_doubt())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failure(name, output))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that executes plugins"
)]
fn spawn(exe: &Path, env: &[(&str, String)]) -> io::Result<Child> {
    let mut command = Command::new(exe);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    let deadline = Instant::now() + BUSY_DEADLINE;
    loop {
        match start(&mut command) {
            Err(err) if err.kind() == io::ErrorKind::ExecutableFileBusy => {
                // Watch first, then try again: the writer may have closed the file in between.
                let closed = Inotify::init(InitFlags::IN_CLOEXEC)?;
                closed.add_watch(exe, AddWatchFlags::IN_CLOSE_WRITE)?;
                match start(&mut command) {
                    Err(err) if err.kind() == io::ErrorKind::ExecutableFileBusy => {
                        wait(&closed, deadline).map_err(|errno| {
                            if errno == Errno::ETIMEDOUT {
                                err
                            } else {
                                errno.into()
                            }
                        })?;
                    }
                    spawned => return spawned,
                }
            }
            spawned => return spawned,
        }
    }
}

fn wait(closed: &Inotify, deadline: Instant) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(closed.as_fd(), PollFlags::POLLIN)], left) {
        Ok(0) => Err(Errno::ETIMEDOUT),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn failure(name: &str, output: Output) -> Failure {
    let printed: Option<WireError> = Json::parse(&output.stdout)
        .and_then(|json| json.decode())
        .ok()
        // Any JSON object decodes, even a configuration that the program only echoed.
        .filter(|error: &WireError| error.code != 0 || !error.msg.is_empty());
    if let Some(error) = printed {
        return Failure::relayed(output.stdout, error);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let text = match (output.stdout.is_empty(), said.trim()) {
        (true, "") => format!("netplugin failed with no error message: {}", output.status),
        (true, said) => format!("netplugin failed: {said:?}: {}", output.status),
        // stderr is for people and is quoted. stdout is data and may repeat the plugin's input, secrets included.
        (false, _) => format!(
            "netplugin failed but error parsing its diagnostic message: {} bytes on stdout that are not an error object: {}",
            output.stdout.len(),
            output.status
        ),
    };
    Failure::new(ErrorCode::INTERNAL, text)
        .context(name)
        .in_doubt()
}
