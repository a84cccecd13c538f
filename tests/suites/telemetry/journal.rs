//! The record that systemd's journal gets, as its own tools read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;

use crate::{LINKSPAN, TRACE, call};

/// Puts a directory in the place of the journal's, in a mount namespace of its own, for what is executed there.
const MOUNT: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                     mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";

/// A journal's socket.
struct Journal {
    socket: UnixDatagram,
    dir: String,
}

impl Journal {
    fn new(lab: &Lab) -> Self {
        let dir = lab.dir().join("journal");
        fs::create_dir(&dir).unwrap();
        let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            dir: dir.to_str().unwrap().to_owned(),
        }
    }

    /// Runs the call, and returns what it sent.
    fn hears(&self, call: Call) -> (Output, Option<Vec<u8>>) {
        let run = call
            .under(&["unshare", "-m", "sh", "-c", MOUNT, &self.dir])
            .run();
        let mut record = vec![0; 65536];
        match self.socket.recv(&mut record) {
            Ok(length) => {
                record.truncate(length);
                (run, Some(record))
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => (run, None),
            Err(err) => panic!("{err}"),
        }
    }
}

/// The fields of a record, by systemd's "Native Journal Protocol".
fn fields(mut record: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !record.is_empty() {
        let end = record
            .iter()
            .position(|byte| b"=\n".contains(byte))
            .unwrap();
        let (name, rest) = record.split_at(end);
        let name = String::from_utf8(name.to_vec()).unwrap();
        let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(
            name.chars().all(is_word) && !name.starts_with('_'),
            "{name}"
        );
        let (value, rest) = if rest[0] == b'=' {
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap();
            (&rest[1..length], &rest[length + 1..])
        } else {
            let (length, rest) = rest[1..].split_at(8);
            let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
            assert_eq!(rest[length], b'\n');
            (&rest[..length], &rest[length + 1..])
        };
        fields.insert(name, String::from_utf8(value.to_vec()).unwrap());
        record = rest;
    }
    fields
}

#[test]
fn a_failure_is_a_record_and_a_success_where_it_is_asked_for() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("unshare").is_none() {
            return;
        }
        let sandbox = lab.sandbox();
        let journal = Journal::new(lab);
        let on = |verb, level: &str| {
            let telemetry = format!("{},{level}", lab.dir().join("telemetry").display());
            call(lab, &sandbox, verb).env("LINKSPAN_TELEMETRY", &telemetry)
        };
        let (run, record) = journal.hears(on("ADD", "journal"));
        run.succeeded();
        assert_eq!(record, None);
        let (run, record) = journal.hears(on("ADD", "journal").env("CNI_CONTAINERID", "c2"));
        assert_eq!(run.status, 1);
        let failed = record.unwrap();
        let told = fields(&failed);
        let error: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        for (name, value) in [
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "linkspan"),
            ("CNI_PLUGIN", "bridge"),
            ("CNI_COMMAND", "ADD"),
            ("CNI_NETWORK", "net"),
            ("CNI_CONTAINERID", "c2"),
            ("CNI_IFNAME", "eth0"),
            ("K8S_POD_NAMESPACE", "prod"),
            ("K8S_POD_NAME", "web-0"),
            ("TRACE_ID", TRACE),
            ("CODE", &error["code"].to_string()),
        ] {
            assert_eq!(told.get(name).map(String::as_str), Some(value), "{told:?}");
        }
        let message = &told["MESSAGE"];
        assert!(
            message.contains(error["msg"].as_str().unwrap()),
            "{message}"
        );
        assert!(told["DURATION_USEC"].parse::<u64>().unwrap() > 0);
        assert!(!format!("{told:?}").contains("hidden"), "{told:?}");
        let (_, record) = journal.hears(on("DEL", "journal=info"));
        let done = record.unwrap();
        let told = fields(&done);
        assert_eq!((&*told["PRIORITY"], &*told["CODE"]), ("6", "0"));
        is_read_by_systemd(lab, &[failed, done]);
    });
}

/// Puts the records into a journal with systemd-journal-remote, and asks journalctl for them.
fn is_read_by_systemd(lab: &Lab, records: &[Vec<u8>]) {
    let remote = Path::new("/lib/systemd/systemd-journal-remote");
    let remote = Some(remote.to_owned()).filter(|path| path.exists());
    // Debian has it outside of PATH.
    let Some(remote) = remote.or_else(|| skip::without("systemd-journal-remote")) else {
        return;
    };
    let Some(journalctl) = skip::without("journalctl") else {
        return;
    };
    // The journal's export format is its native protocol with times, and an empty line behind each record.
    let mut export = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let times = format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={TRACE}\n",
            1_700_000_000_000_000 + number,
            1_000 + number
        );
        export.extend_from_slice(times.as_bytes());
        export.extend_from_slice(record);
        export.push(b'\n');
    }
    let file = lab.dir().join("test.journal");
    let file = file.to_str().unwrap();
    let output = format!("--output={file}");
    let imported = Call::new(&remote)
        .args(&[&output, "-"])
        .stdin(&export)
        .run();
    imported.succeeded();
    let ask = |words: &[&str]| {
        let call = Call::new(&journalctl).args(&["--quiet", "--file", file, "-o", "json"]);
        let told = call.args(words).run();
        let rows = told.succeeded().lines();
        let rows = rows.map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        rows.collect::<Vec<_>>()
    };
    let errors = ask(&["-p", "err", "CNI_NETWORK=net"]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let told = fields(&records[0]);
    for (name, value) in &told {
        assert_eq!(errors[0][name], **value, "{name}");
    }
    assert_eq!(ask(&["CNI_COMMAND=DEL"]).len(), 1);
    assert_eq!(ask(&["CNI_NETWORK=other"]).len(), 0);
}
