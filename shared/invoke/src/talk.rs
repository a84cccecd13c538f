//! Feeding a child its input and hearing it to the end.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Output};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Feeds `child` its input through its pipe, and returns what it printed to its pipes and how it ended.
///
/// Also where that fails the child has ended: whoever undoes what it may have done must not be overtaken by it. (The
/// standard library's `wait_with_output` panics where a pipe cannot be read, and does not wait then.)
pub fn talk(mut child: Child, input: &[u8]) -> io::Result<Output> {
    let heard = converse(&mut child, input);
    // Its pipes are closed by now, so that it waits for nobody.
    let status = child.wait();
    let [stdout, stderr] = heard?;
    Ok(Output {
        status: status?,
        stdout,
        stderr,
    })
}

fn converse(child: &mut Child, input: &[u8]) -> io::Result<[Vec<u8>; 2]> {
    let pipes = [
        child.stdout.take().map(OwnedFd::from).map(File::from),
        child.stderr.take().map(OwnedFd::from).map(File::from),
    ];
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(input) {
            // Who answers without reading its input is judged by its answer.
            Err(err) if err.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    listen(&pipes)
}

/// What comes out of the pipes, each to its end. None of them waits for another, for a child that fills one waits until it
/// is read.
fn listen(pipes: &[Option<File>; 2]) -> io::Result<[Vec<u8>; 2]> {
    let mut heard = [Vec::new(), Vec::new()];
    let all = pipes.iter().zip(&mut heard);
    let mut open: Vec<_> = all
        .filter_map(|(pipe, heard)| Some((pipe.as_ref()?, heard)))
        .collect();
    while !open.is_empty() {
        let watched = open.iter().map(|(pipe, _)| pipe.as_fd());
        let mut watched: Vec<_> = watched
            .map(|pipe| PollFd::new(pipe, PollFlags::POLLIN))
            .collect();
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled?,
        };
        let ready = watched.iter().map(|pipe| pipe.any() != Some(false));
        let ready: Vec<bool> = ready.collect();
        let mut left = Vec::new();
        for ((pipe, heard), ready) in open.into_iter().zip(ready) {
            if !ready || read(pipe, heard)? {
                left.push((pipe, heard));
            }
        }
        open = left;
    }
    Ok(heard)
}

/// Appends what there is; false at the end.
fn read(mut pipe: &File, heard: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    match pipe.read(&mut buffer) {
        Err(err) if err.kind() == ErrorKind::Interrupted => Ok(true),
        read => {
            let some = buffer.get(..read?).unwrap_or_default();
            heard.extend_from_slice(some);
            Ok(!some.is_empty())
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the children are what is tested")]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_may_fill_its_pipes_in_any_order_and_leave_its_input_unread() {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; exit 3";
        let child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = talk(child, b"unread").unwrap();
        let lengths = (output.stdout.len(), output.stderr.len());
        assert_eq!(
            (lengths, output.status.code()),
            ((300_000, 300_000), Some(3))
        );
    }
}
