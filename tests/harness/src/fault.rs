//! Failing system calls, and processes killed at one: strace injects both into unmodified programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::call::{Call, Output};

/// A program that is still running after this time has hung.
const DEADLINE: &str = "20";

/// A place for a fault in a run: the `nth` call with that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The system call.
    pub name: String,
    /// Counted from 1, among calls of the same name.
    pub nth: usize,
    /// The call as strace showed it in an undisturbed run.
    pub shown: String,
}

/// The fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails.
    Error,
    /// The call fails, and each later one with that name.
    Errors,
    /// The process is killed before the call is carried out.
    Kill,
}

/// The outcome of a run with a fault.
#[derive(Debug)]
pub struct Hit {
    /// The output of the process.
    pub output: Output,
    /// Whether the fault occurred: a run may make fewer calls than the one before.
    pub injected: bool,
    /// Whether it hit the call that writes the answer to the caller.
    pub answer_lost: bool,
    /// Whether the process had to be ended.
    pub hung: bool,
}

/// The run ends with the last of its processes: children of a killed process hold this descriptor, too.
const TO_THE_END: [&str; 4] = ["sh", "-c", "exec \"$@\" 3>&1", "sh"];

/// The variable with the command that a program's stand-in puts before the program.
pub const STRACE: &str = "STRACE";

/// Runs programs below strace, with its log in a directory.
#[derive(Debug)]
pub struct Tracer {
    log: PathBuf,
    child: bool,
}

impl Tracer {
    /// Keeps the log in `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            log: dir.join("faults.strace"),
            child: false,
        }
    }

    /// The same for a program that the called one executes, which has a stand-in. Only that program is traced.
    #[must_use]
    pub fn of_child(self) -> Self {
        Self {
            child: true,
            ..self
        }
    }

    /// A run without faults, and the places for faults in it.
    pub fn points(&self, call: &Call) -> (Output, Vec<Point>) {
        let names: Vec<_> = FAILURES.iter().map(|(name, _)| *name).collect();
        let output = self.run(call, &names.join(","), &[]);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let mut counts = BTreeMap::new();
        let mut points = Vec::new();
        // Each line begins with the number of the process. Executed programs are not followed: their calls have
        // separate places.
        let calls = log.lines().filter_map(|line| line.split_once(' '));
        let first = log.split(' ').next().unwrap_or_default();
        for (_, shown) in calls.filter(|(process, _)| *process == first) {
            let shown = shown.trim_start();
            let Some((name, _)) = shown
                .split_once('(')
                .filter(|(name, _)| errno(name).is_some())
            else {
                continue;
            };
            let nth = counts.entry(name.to_owned()).or_insert(0);
            *nth += 1;
            if matters(shown) {
                points.push(Point {
                    name: name.to_owned(),
                    nth: *nth,
                    shown: shown.to_owned(),
                });
            }
        }
        (output, points)
    }

    /// A run with a fault.
    pub fn hit(&self, call: &Call, point: &Point, fault: Fault) -> Hit {
        let Point { name, nth, .. } = point;
        let errno = errno(name).unwrap_or("EIO");
        let inject = match fault {
            Fault::Error => format!("inject={name}:error={errno}:when={nth}"),
            Fault::Errors => format!("inject={name}:error={errno}:when={nth}+"),
            Fault::Kill => format!("inject={name}:signal=SIGKILL:when={nth}"),
        };
        let output = self.run(call, name, &["-e", &inject]);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let done = match fault {
            Fault::Kill => "+++ killed by SIGKILL",
            Fault::Error | Fault::Errors => "(INJECTED)",
        };
        let hit = |line: &str| line.contains("write(1, ") && line.contains(done);
        Hit {
            injected: log.contains(done),
            answer_lost: log.lines().any(hit),
            // The exit status of timeout(1) after the time limit.
            hung: output.status == 124,
            output,
        }
    }

    fn run(&self, call: &Call, names: &str, more: &[&str]) -> Output {
        let log = self.log.to_string_lossy();
        let trace = format!("trace={names}");
        // Without --seccomp-bpf, which is faster: with it strace 6.1 injects no signals.
        let strace = [
            "timeout", DEADLINE, "strace", "-qq", "-f", "-b", "execve", "-s", "64", "-e", &trace,
            "-o", &log,
        ];
        let strace = [&strace[..], more].concat();
        // Removes the log of an earlier run.
        drop(fs::remove_file(&self.log));
        if self.child {
            let call = call.clone().env(STRACE, &strace.join(" "));
            return call.under(&TO_THE_END).run();
        }
        call.clone()
            .under(&[&TO_THE_END[..], &strace].concat())
            .run()
    }
}

impl Point {
    /// Returns whether the call can change anything that outlives the process. Death at any other call equals death at
    /// the next one of these.
    pub fn modifies(&self) -> bool {
        match self.name.as_str() {
            "sendto" | "sendmsg" => !["RTM_GET", "NLM_F_DUMP"]
                .iter()
                .any(|word| self.shown.contains(word)),
            "open" | "openat" => ["O_CREAT", "O_TRUNC"]
                .iter()
                .any(|word| self.shown.contains(word)),
            name => MODIFYING.contains(&name),
        }
    }
}

/// Calls whose failure the plugins must handle, each with a possible error. Some are those of glibc, others those of musl.
const FAILURES: [(&str, &str); 43] = [
    ("bind", "ENOMEM"),
    ("clone3", "EAGAIN"),
    ("connect", "ECONNREFUSED"),
    ("execve", "EACCES"),
    ("fdatasync", "EIO"),
    ("flock", "ENOLCK"),
    ("fstat", "EIO"),
    ("fstatfs", "EIO"),
    ("fsconfig", "EPERM"),
    ("fsmount", "EPERM"),
    ("fsopen", "EPERM"),
    ("fsync", "EIO"),
    ("ftruncate", "ENOSPC"),
    ("getdents64", "EIO"),
    ("ioctl", "EPERM"),
    ("link", "ENOSPC"),
    ("linkat", "ENOSPC"),
    ("mkdir", "ENOSPC"),
    ("mkdirat", "ENOSPC"),
    ("open", "EMFILE"),
    ("openat", "EMFILE"),
    ("openat2", "EMFILE"),
    ("pipe2", "EMFILE"),
    ("poll", "ENOMEM"),
    ("pread64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("read", "EIO"),
    ("readlink", "EACCES"),
    ("recvfrom", "ENOMEM"),
    ("recvmsg", "ENOMEM"),
    ("rename", "ENOSPC"),
    ("sendmsg", "ENOBUFS"),
    ("sendto", "ENOBUFS"),
    ("setns", "EPERM"),
    ("setsockopt", "ENOMEM"),
    ("socket", "EMFILE"),
    ("stat", "EACCES"),
    ("statx", "EACCES"),
    ("symlink", "ENOSPC"),
    ("unlink", "EIO"),
    ("utimensat", "EIO"),
    ("wait4", "EINVAL"),
    ("write", "ENOSPC"),
];

/// Those of them that change something whatever their arguments, and those that wait for a child which does.
const MODIFYING: [&str; 18] = [
    "execve",
    "fsync",
    "ftruncate",
    "ioctl",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "poll",
    "pwrite64",
    "rename",
    "symlink",
    "unlink",
    "utimensat",
    "wait4",
    "write",
    "clone3",
    "flock",
];

fn errno(name: &str) -> Option<&'static str> {
    let failure = FAILURES.iter().find(|(known, _)| *known == name);
    failure.map(|(_, errno)| *errno)
}

/// Returns whether plugins must handle a failure there. Excluded are calls before `main`, reads from an empty socket,
/// and the wake-up of the plugin's own event loop, which cannot fail.
fn matters(line: &str) -> bool {
    let foreign = [
        "= -1 ",
        "execve(",
        "/proc/self/",
        "\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8)",
        "AT_EMPTY_PATH",
        "poll([{fd=0, ",
    ];
    !foreign.iter().any(|word| line.contains(word))
}
