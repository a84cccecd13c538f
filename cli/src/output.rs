//! How commands print: text for people, or JSON of one shape, an array of objects.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};

use clap::Args;
use linkspan_runtime::Result;
use serde_json::{Value, json};

/// The options of every command.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Stdout, which remembers that its reader has gone.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    closed: Cell<bool>,
}

impl Stdout {
    /// Whether the reader has gone, as `head` does when it has read enough.
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

/// Prints objects as JSON.
pub(crate) fn rows(out: &mut dyn Write, rows: &[Value]) -> Result<()> {
    text(out, &format!("{:#}\n", json!(rows)))
}

/// Prints text.
pub(crate) fn text(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes())
        .map_err(linkspan_runtime::io("print"))
}

/// The object with the keys of another one beside its own.
pub(crate) fn with(mut object: Value, more: &Value) -> Value {
    if let (Some(keys), Some(more)) = (object.as_object_mut(), more.as_object()) {
        keys.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    object
}
