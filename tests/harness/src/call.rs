//! One run of an executable, as a runtime would start it, and its outcome.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::lab::Sandbox;
use crate::{forks, search};

/// A run to start. Its environment has only the variables set here, `PATH`, the address of a missing bus, and the way
/// of reaching delegates.
#[derive(Debug, Clone)]
pub struct Call {
    exe: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Vec<u8>,
}

/// A running process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    told: String,
}

/// A completed run.
#[derive(Debug)]
pub struct Output {
    /// Exit status; -1 after a signal.
    pub status: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    told: String,
}

impl Call {
    /// A run of `exe`.
    pub fn new(exe: &Path) -> Self {
        const DELEGATE: &str = "LINKSPAN_DELEGATE";
        // Tests must not reach the machine's own services.
        let no_bus = ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
        let path = search::path();
        let env =
            [("PATH", &*path), no_bus].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut env = BTreeMap::from(env);
        if let Ok(value) = std::env::var(DELEGATE) {
            env.insert(DELEGATE.to_owned(), value);
        }
        Self {
            exe: exe.to_owned(),
            args: Vec::new(),
            env,
            stdin: Vec::new(),
        }
    }

    /// The same for another executable.
    #[must_use]
    pub fn exe(mut self, exe: &Path) -> Self {
        exe.clone_into(&mut self.exe);
        self
    }

    /// Adds command line arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The same run as the last arguments of another command, found over `PATH`.
    #[must_use]
    pub fn under(self, command: &[&str]) -> Self {
        let mut args: Vec<String> = command
            .iter()
            .skip(1)
            .map(|arg| (*arg).to_owned())
            .collect();
        args.push(self.exe.display().to_string());
        args.extend(self.args);
        Self {
            exe: PathBuf::from(command[0]),
            args,
            ..self
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// `CNI_COMMAND`
    #[must_use]
    pub fn verb(self, verb: &str) -> Self {
        self.env("CNI_COMMAND", verb)
    }

    /// `CNI_NETNS`
    #[must_use]
    pub fn netns(self, path: &str) -> Self {
        self.env("CNI_NETNS", path)
    }

    /// The attachment of `container`'s `eth0`; [`Call::env`] can override it.
    #[must_use]
    pub fn of(self, container: &str, sandbox: &Sandbox) -> Self {
        self.env("CNI_CONTAINERID", container)
            .env("CNI_IFNAME", "eth0")
            .netns(&sandbox.path())
    }

    /// The configuration.
    #[must_use]
    pub fn conf(self, conf: &Value) -> Self {
        self.stdin(conf.to_string().as_bytes())
    }

    /// Raw input.
    #[must_use]
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.stdin);
        self
    }

    /// ADD that must succeed; returns the result.
    pub fn add(&self) -> Value {
        self.clone().verb("ADD").run().json()
    }

    /// DEL that must succeed.
    pub fn del(&self) {
        self.clone().verb("DEL").run().succeeded();
    }

    /// CHECK of `result`, which must succeed.
    pub fn check(&self, result: &Value) {
        self.after(result).verb("CHECK").run().succeeded();
    }

    /// The same call with `prevResult` in its configuration.
    #[must_use]
    pub fn after(&self, result: &Value) -> Self {
        let mut conf: Value = serde_json::from_slice(&self.stdin).unwrap();
        conf.as_object_mut()
            .unwrap()
            .insert("prevResult".to_owned(), result.clone());
        self.clone().conf(&conf)
    }

    /// Runs to the end.
    pub fn run(&self) -> Output {
        self.spawn().wait()
    }

    /// Starts, in the calling thread's namespace.
    pub fn spawn(&self) -> Running {
        let mut command = Command::new(&self.exe);
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = forks::start(&mut command)
            .unwrap_or_else(|err| panic_with(&format!("run {}: {err}", self.exe.display())));
        // A configuration is far smaller than a pipe, so this cannot block. A program may leave its input unread.
        match child.stdin.take().unwrap().write_all(&self.stdin) {
            Err(err) if err.kind() != ErrorKind::BrokenPipe => panic_with(&err.to_string()),
            _ => Running {
                child,
                told: format!(
                    "{} {:?} {:?} <<< {}",
                    self.exe.display(),
                    self.args,
                    self.env,
                    String::from_utf8_lossy(&self.stdin)
                ),
            },
        }
    }
}

#[expect(
    clippy::panic,
    reason = "the one place where a run that cannot even start ends the test"
)]
fn panic_with(message: &str) -> ! {
    panic!("{message}")
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, unless it has ended.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a line of its output; empty if it ended before.
    pub fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let (mut line, mut byte) = (String::new(), [0]);
        // Byte by byte: the output after the line is left for [`Running::wait`].
        while stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        line
    }

    /// Waits for the end.
    pub fn wait(self) -> Output {
        let output = self.child.wait_with_output().unwrap();
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            told: self.told,
        }
    }
}

impl Output {
    /// Asserts success; returns the output.
    pub fn succeeded(&self) -> &str {
        let Self {
            status,
            stdout,
            stderr,
            told,
        } = self;
        assert_eq!(*status, 0, "{told}\nstdout: {stdout}\nstderr: {stderr}");
        stdout
    }

    /// Asserts success; returns the decoded output.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.succeeded()).expect("JSON on stdout")
    }

    /// Asserts a failure with exit status 1 and one error object of `code`. Returns its `msg` and `details`, each of
    /// one line.
    pub fn failed(&self, code: u64) -> String {
        let Self {
            status,
            stdout,
            stderr,
            told,
        } = self;
        assert_eq!(*status, 1, "{told}\nstdout: {stdout}\nstderr: {stderr}");
        let error: Value = serde_json::from_str(stdout).expect("one error object on stdout");
        assert_eq!(error["code"].as_u64(), Some(code), "{told}\n{stdout}");
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        assert!(!text("msg").is_empty(), "{told}\n{stdout}");
        assert!(!text("msg").contains('\n'), "{told}\n{stdout}");
        assert!(!text("details").contains('\n'), "{told}\n{stdout}");
        format!("{}; {}", text("msg"), text("details"))
    }
}
