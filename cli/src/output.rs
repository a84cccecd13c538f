//! Output of commands: text for people, or JSON of one shape, an array of objects.

use std::cell::Cell;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use linkspan_runtime::Result;
use serde_json::{Value, json};

use crate::complain::complain;

/// The options of every command.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Stdout, with a flag for a reader that has gone.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    closed: Cell<bool>,
}

impl Stdout {
    /// Returns whether the reader has gone, as `head` does when it has read enough.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn noting<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|err| {
            if err.kind() == ErrorKind::BrokenPipe {
                self.closed.set(true);
            }
        })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.noting(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.noting(io::stdout().flush())
    }
}

/// Whether stdout is a terminal with colours, and the user does not decline them (no-color.org).
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is this command line's interface"
)]
fn has_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The text in the colour of the word, if colours are on.
pub(crate) fn coloured(word: &str, text: &str) -> String {
    let code = match word {
        "FAIL" => 31,
        "WARN" | "gone" => 33,
        "NOTE" | "unknown" => 36,
        _ => return text.to_owned(),
    };
    if has_colours() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// The text without what moves the cursor, changes colours or turns the direction of writing: names may have it.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' | '\\' => plain.push(c),
            c => plain.extend(c.escape_debug()),
        }
    }
    plain
}

/// The progress of work that takes more than a second, on the last line of a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    began: Instant,
    told: Option<Instant>,
}

impl Progress {
    /// The delay before the first line and between lines.
    const STEP: Duration = Duration::from_secs(1);

    pub(crate) fn new(what: String) -> Self {
        Self {
            what,
            began: Instant::now(),
            told: None,
        }
    }

    pub(crate) fn tell(&mut self, done: usize, all: usize) {
        let last = self.told.unwrap_or(self.began);
        if last.elapsed() >= Self::STEP && io::stderr().is_terminal() {
            self.told = Some(Instant::now());
            complain(&format!("\r{} {done} of {all}", self.what));
        }
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.told.is_some() {
            complain("\r\x1b[K");
        }
    }
}

/// Prints objects as JSON.
pub(crate) fn rows(out: &mut dyn Write, rows: &[Value]) -> Result<()> {
    text(out, &format!("{:#}\n", json!(rows)))
}

/// Prints text.
pub(crate) fn text(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes())
        .map_err(linkspan_runtime::io("print"))
}

/// The object with the keys of both.
pub(crate) fn with(mut object: Value, more: &Value) -> Value {
    if let (Some(keys), Some(more)) = (object.as_object_mut(), more.as_object()) {
        keys.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    object
}
