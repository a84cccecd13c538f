//! A record for systemd's journal, in its native protocol: one datagram of fields.

use std::io;
use std::os::unix::net::UnixDatagram;

use linkspan_protocol::command::Command;

use super::Outcome;
use super::context::Context;

const SOCKET: &str = "/run/systemd/journal/socket";
/// The priorities of syslog.
const ERROR: &str = "3";
const WARNING: &str = "4";
const INFO: &str = "6";

/// Sends the record; a journal that is slow or absent gets none.
pub(super) fn send(record: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(record, SOCKET).map(drop)
}

/// The record of a call.
pub(super) fn record(outcome: &Outcome<'_>, context: Option<&Context>) -> Vec<u8> {
    let (verb, env) = (outcome.verb.name(), outcome.env);
    let priority = match (outcome.error, outcome.verb) {
        (None, _) => INFO,
        // Engines ask for the status every few seconds.
        (Some(_), Command::Status) => WARNING,
        (Some(_), _) => ERROR,
    };
    let code = outcome.error.map_or(0, |error| error.code).to_string();
    let took = outcome.took.as_micros().to_string();
    let message = message(outcome);
    let fields = [
        ("MESSAGE", message.as_str()),
        ("PRIORITY", priority),
        ("SYSLOG_IDENTIFIER", "linkspan"),
        ("CNI_PLUGIN", outcome.plugin),
        ("CNI_COMMAND", verb),
        ("CNI_NETWORK", outcome.network),
        ("CNI_CONTAINERID", &env.container_id),
        ("CNI_IFNAME", &env.ifname),
        ("CNI_NETNS", &env.netns),
        ("CODE", &code),
        ("DETAILS", outcome.error.map_or("", |error| &error.details)),
        ("DURATION_USEC", &took),
        ("TRACE_ID", context.map_or("", |context| &context.trace)),
    ];
    let mut record = Vec::new();
    for (name, value) in fields.into_iter().chain(outcome.pod.iter().copied()) {
        field(&mut record, name, value);
    }
    record
}

/// A sentence for people: what was asked for, and what has become of it.
fn message(outcome: &Outcome<'_>) -> String {
    let env = outcome.env;
    let mut text = format!("{} {}", outcome.plugin, outcome.verb.name());
    let parts = [
        (" ", env.ifname.as_str()),
        (" of container ", &env.container_id),
        (" in the network ", outcome.network),
    ];
    for (word, part) in parts {
        if !part.is_empty() {
            text.push_str(word);
            text.push_str(part);
        }
    }
    match outcome.error {
        Some(error) => format!("{text} failed: {}", error.msg),
        None => format!("{text} took {:.1} ms", outcome.took.as_secs_f64() * 1e3),
    }
}

/// A value with a newline has its length before it.
fn field(record: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    record.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        record.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or_default();
        record.extend_from_slice(&length.to_le_bytes());
    } else {
        record.push(b'=');
    }
    record.extend_from_slice(value.as_bytes());
    record.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_has_its_length_before_it() {
        let mut record = Vec::new();
        field(&mut record, "A", "b=c");
        field(&mut record, "NONE", "");
        field(&mut record, "TWO", "x\ny");
        assert_eq!(record, b"A=b=c\nTWO\n\x03\0\0\0\0\0\0\0x\ny\n");
    }
}
