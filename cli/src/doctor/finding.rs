//! A fault found by a check.

use serde_json::{Value, json};

use super::node::Pod;
use crate::output::coloured;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Something does not work.
    Fail,
    /// Something may not work, or will not for long.
    Warn,
    /// Something is unusual.
    Note,
}

/// One fault, with the command or the change that mends it.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) id: &'static str,
    /// Absent for the host's own.
    pub(super) network: Option<String>,
    /// Absent for a finding that is not about one container.
    pub(super) container: Option<String>,
    what: String,
    command: String,
}

impl Finding {
    pub(super) fn new(severity: Severity, id: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity,
            id,
            network: None,
            container: None,
            what: what.into(),
            command: String::new(),
        }
    }

    pub(super) fn fail(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Fail, id, what)
    }

    pub(super) fn warn(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warn, id, what)
    }

    pub(super) fn of_network(mut self, network: &str) -> Self {
        self.network = Some(network.to_owned());
        self
    }

    pub(super) fn of_pod(mut self, pod: &Pod) -> Self {
        self.network = Some(pod.entry.network_name.clone());
        self.container = Some(pod.entry.container_id.clone());
        self
    }

    /// Adds the command that mends it, or the change that a person has to make.
    pub(super) fn mend(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// `FAIL id: network/container: what -> command`
    pub(super) fn line(&self) -> String {
        let about = [&self.network, &self.container];
        let about: Vec<&str> = about.into_iter().flatten().map(String::as_str).collect();
        let about = match about.join("/") {
            none if none.is_empty() => none,
            about => format!("{about}: "),
        };
        let word = coloured(self.word(), self.word());
        let mut line = format!("{word} {} {about}{}", self.id, self.what);
        if !self.command.is_empty() {
            line = format!("{line} -> {}", self.command);
        }
        // A failure's text may have several lines.
        format!("{}\n", line.replace('\n', " "))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "severity": self.severity(),
            "id": self.id,
            "network": self.network,
            "container": self.container,
            "what": self.what,
            "command": self.command,
        })
    }

    /// The word for programs.
    pub(super) fn severity(&self) -> String {
        self.word().to_lowercase()
    }

    fn word(&self) -> &'static str {
        match self.severity {
            Severity::Fail => "FAIL",
            Severity::Warn => "WARN",
            Severity::Note => "NOTE",
        }
    }
}
