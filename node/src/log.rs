//! Lines of the log: for people, or as objects of JSON.

use std::io::{Write, stdout};

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// `linkspan-node: TEXT`
    Text,
    /// `{"level":…,"message":…,"time":…}`
    Json,
}

impl Log {
    /// Tells of something that was done.
    pub fn say(self, text: &str) {
        self.line("info", text);
    }

    /// Tells of something that is not well.
    pub fn warn(self, text: &str) {
        self.line("warning", text);
    }

    /// The agent works on where nobody takes the line.
    fn line(self, level: &str, text: &str) {
        let told = match self {
            Self::Text => writeln!(stdout(), "linkspan-node: {text}"),
            Self::Json => {
                let time = Timestamp::now();
                let line = json!({ "time": time, "level": level, "message": text });
                writeln!(stdout(), "{line}")
            }
        };
        match told {
            Ok(()) | Err(_) => {}
        }
    }
}
