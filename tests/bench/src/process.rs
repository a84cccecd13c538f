//! One plugin process: its duration, processor time and memory.

use std::ops::AddAssign;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use linkspan_harness::call::{Call, Output};
use nix::sys::resource::{UsageWho, getrusage};

/// Under this name, the program runs its arguments and prints their peak memory.
pub(crate) const SCALES: &str = "scales";

/// The cost of an operation: of the processes that the runtime starts, and of their children.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// From the start of a process to its end.
    pub(crate) wall: Duration,
    /// Time on a processor, in user space and in the kernel.
    pub(crate) cpu: Duration,
    /// Peak memory of the largest process in KiB, if measured.
    pub(crate) peak: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
        self.peak = self.peak.max(more.peak);
    }
}

/// How a process is run.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// As a runtime runs it.
    Timed,
    /// Below the program at this path, so that its memory counts and not ours: until it executes the plugin, a child
    /// has its parent's memory. Times are meaningless then.
    Weighed(PathBuf),
}

impl Mode {
    /// Runs a call, which must succeed.
    pub(crate) fn run(&self, call: &Call) -> (Output, Cost) {
        match self {
            Self::Timed => timed(UsageWho::RUSAGE_CHILDREN, || {
                let output = call.run();
                output.succeeded();
                output
            }),
            Self::Weighed(scales) => {
                let output = call.clone().under(&[&scales.to_string_lossy()]).run();
                output.succeeded();
                let last = output.stderr.lines().last();
                let peak = last.and_then(|line| line.parse().ok()).unwrap();
                let cost = Cost {
                    peak,
                    ..Cost::default()
                };
                (output, cost)
            }
        }
    }
}

/// Measures the time of `act`, and the processor time for `who`.
pub(crate) fn timed<T>(who: UsageWho, act: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, start) = (processor(who), Instant::now());
    let done = act();
    let wall = start.elapsed();
    let cost = Cost {
        wall,
        cpu: processor(who).saturating_sub(cpu),
        peak: 0,
    };
    (done, cost)
}

fn processor(who: UsageWho) -> Duration {
    let usage = getrusage(who).unwrap();
    let micros = |time: nix::sys::time::TimeVal| {
        let whole = u64::try_from(time.tv_sec()).unwrap();
        Duration::from_secs(whole) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    micros(usage.user_time()) + micros(usage.system_time())
}

/// Runs the command, and prints the peak memory of the largest process on the last line of stderr.
#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark stands outside of the house"
)]
pub(crate) fn weigh(mut command: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let exe = command.next().unwrap();
    let status = std::process::Command::new(Path::new(&exe))
        .args(command)
        .status()
        .unwrap();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    eprintln!("{}", usage.max_rss());
    let code = status
        .code()
        .unwrap_or_else(|| status.signal().unwrap_or(1));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
