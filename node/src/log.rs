//! Lines of the log, as text or as JSON objects.

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
    /// Reports a completed step.
    pub fn say(self, text: &str) {
        self.line("info", text);
    }

    /// Reports a fault.
    pub fn warn(self, text: &str) {
        self.line("warning", text);
    }

    /// Errors are ignored: the agent works without a reader of its log.
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
