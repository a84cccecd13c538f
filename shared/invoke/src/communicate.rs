//! Starts a program, writes its input and reads its output to the end.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{self, Pid};

/// Starts `command` with pipes to and from it, in a process group of its own: a terminal sends Ctrl-C to the caller's
/// group alone, so the caller decides when its children end.
pub fn start(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Feeds `child` its input through its pipe, and returns what it printed to its pipes and how it ended. The first byte
/// that can be read from `stop` asks the child's group to end, and the next one kills it.
///
/// The child has ended even where this fails, so it cannot overtake an undo of its work. (The standard library's
/// `wait_with_output` panics where a pipe cannot be read, and does not wait then.)
pub fn communicate(
    mut child: Child,
    input: &[u8],
    stop: Option<BorrowedFd<'_>>,
) -> io::Result<Output> {
    let heard = converse(&mut child, input, stop);
    // The pipes are closed by now, so the child cannot block on them.
    let status = child.wait();
    let [stdout, stderr] = heard?;
    Ok(Output {
        status: status?,
        stdout,
        stderr,
    })
}

/// Writes and reads as the pipes allow. No pipe waits for another: a child may fill its outputs before it reads.
fn converse(
    child: &mut Child,
    input: &[u8],
    mut stop: Option<BorrowedFd<'_>>,
) -> io::Result<[Vec<u8>; 2]> {
    let mut feed = Feed::new(child.stdin.take(), input)?;
    let mut stdout = Ear::new(child.stdout.take());
    let mut stderr = Ear::new(child.stderr.take());
    let mut signals = [Signal::SIGTERM, Signal::SIGKILL].into_iter();
    loop {
        let wanted = [feed.wants(), stdout.wants(), stderr.wants()];
        if wanted.iter().all(Option::is_none) {
            return Ok([stdout.heard, stderr.heard]);
        }
        let [to_feed, to_stdout, to_stderr] = wanted;
        let asked = stop.map(|stop| (stop, PollFlags::POLLIN));
        let [fed, out, err, stopped] = ready([to_feed, to_stdout, to_stderr, asked])?;
        if fed {
            feed.write()?;
        }
        if out {
            stdout.read()?;
        }
        if err {
            stderr.read()?;
        }
        if stopped && let Some(from) = stop {
            match (unistd::read(from, &mut [0])?, signals.next()) {
                (1, Some(signal)) => end(child, signal)?,
                // `stop` is closed, or both signals have been sent.
                _ => stop = None,
            }
        }
    }
}

/// A descriptor and the events that are awaited on it.
type Wanted<'a> = Option<(BorrowedFd<'a>, PollFlags)>;

/// Waits until one of the descriptors is ready, and returns which ones are. An interrupted wait returns none.
fn ready(wanted: [Wanted<'_>; 4]) -> io::Result<[bool; 4]> {
    let watched = wanted.iter().flatten();
    let mut watched: Vec<_> = watched
        .map(|(fd, flags)| PollFd::new(*fd, *flags))
        .collect();
    match poll(&mut watched, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok([false; 4]),
        polled => polled?,
    };
    let mut ready = watched.iter().map(|fd| fd.any() != Some(false));
    Ok(wanted.map(|wanted| wanted.is_some() && ready.next() == Some(true)))
}

/// Sends the child's group a signal. A child that has ended meanwhile is reaped all the same.
fn end(child: &Child, signal: Signal) -> io::Result<()> {
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    match killpg(Pid::from_raw(group), signal) {
        Err(Errno::ESRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

/// The pipe to the child, open until all input is written.
struct Feed<'a> {
    pipe: Option<File>,
    left: &'a [u8],
}

impl<'a> Feed<'a> {
    fn new(pipe: Option<impl Into<OwnedFd>>, left: &'a [u8]) -> io::Result<Self> {
        let pipe = pipe.map(Into::into).map(File::from);
        if let Some(pipe) = &pipe {
            // Our end alone changes: the child's end has flags of its own.
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let mut feed = Self { pipe, left };
        feed.close_at_the_end();
        Ok(feed)
    }

    fn wants(&self) -> Wanted<'_> {
        let pipe = self.pipe.as_ref()?;
        Some((pipe.as_fd(), PollFlags::POLLOUT))
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        match pipe.write(self.left) {
            Ok(written) => self.left = self.left.get(written..).unwrap_or_default(),
            // A child that answers without reading its input is judged by its answer.
            Err(err) if err.kind() == ErrorKind::BrokenPipe => self.left = &[],
            Err(err) if err.kind() == ErrorKind::WouldBlock => {}
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
        self.close_at_the_end();
        Ok(())
    }

    fn close_at_the_end(&mut self) {
        if self.left.is_empty() {
            self.pipe = None;
        }
    }
}

/// A pipe from the child, until its end.
struct Ear {
    pipe: Option<File>,
    heard: Vec<u8>,
}

impl Ear {
    fn new(pipe: Option<impl Into<OwnedFd>>) -> Self {
        Self {
            pipe: pipe.map(Into::into).map(File::from),
            heard: Vec::new(),
        }
    }

    fn wants(&self) -> Wanted<'_> {
        let pipe = self.pipe.as_ref()?;
        Some((pipe.as_fd(), PollFlags::POLLIN))
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(read) => {
                let some = buffer.get(..read).unwrap_or_default();
                self.heard.extend_from_slice(some);
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the children are the subject of the test"
)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn shell(script: &str) -> Child {
        start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_child_may_fill_its_pipes_in_any_order_and_leave_its_input_unread() {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; exit 3";
        let output = communicate(shell(script), b"unread", None).unwrap();
        let lengths = (output.stdout.len(), output.stderr.len());
        assert_eq!(
            (lengths, output.status.code()),
            ((300_000, 300_000), Some(3))
        );
    }

    #[test]
    fn a_child_may_print_more_than_a_pipe_holds_before_it_reads_more_than_a_pipe_holds() {
        let input = vec![b'x'; 280_000];
        let script = "head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2; wc -c";
        let output = communicate(shell(script), &input, None).unwrap();
        let (zeros, count) = output.stdout.split_at(200_000);
        assert!(zeros.iter().all(|byte| *byte == 0) && output.stderr.len() == 200_000);
        assert_eq!(String::from_utf8_lossy(count).trim(), "280000");
    }

    #[test]
    fn a_child_is_in_a_group_of_its_own_and_ends_when_it_is_asked_to() {
        for (trap, asked, signal) in [
            ("", "1", Signal::SIGTERM),
            ("trap '' TERM;", "12", Signal::SIGKILL),
        ] {
            // The child reports when it is ready to be killed.
            let (told, stop) = io::pipe().unwrap();
            let stop = format!("/proc/$PPID/fd/{}", stop.as_raw_fd());
            let script = format!("{trap} printf {asked} >{stop}; sleep 100000 & wait");
            let output = communicate(shell(&script), b"", Some(told.as_fd())).unwrap();
            // The pipes are at their end, so the grandchild is gone, too.
            let by = std::os::unix::process::ExitStatusExt::signal(&output.status);
            assert_eq!(by, Some(signal as i32));
        }
    }
}
