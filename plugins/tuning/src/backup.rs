//! The Go plugin's file with a link's settings before ADD. Each suite reads the other's.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::ident::AttachmentId;
use linkspan_protocol::json::Json;
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use serde::Deserialize;

use crate::tuned::Tuned;

/// The longest file in bytes.
const MAX: u64 = 4096;

/// The file of one attachment.
#[derive(Debug, Clone)]
pub(crate) struct Backup {
    dir: PathBuf,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    mac: String,
    promisc: Option<bool>,
    mtu: u32,
    allmulti: Option<bool>,
    #[serde(rename = "txQLen")]
    tx_q_len: Option<u32>,
}

impl Backup {
    pub(crate) fn new(dir: &Path, attachment: &AttachmentId) -> Self {
        let (id, ifname) = (&attachment.container_id, &attachment.ifname);
        Self {
            dir: dir.to_owned(),
            name: format!("{id}_{ifname}.json"),
        }
    }

    /// Its settings. Empty where the file is malformed, `None` where it is missing.
    pub(crate) fn read(&self) -> io::Result<Option<Tuned>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
        let file = match options.open(self.path()) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = Vec::new();
        if file.metadata()?.is_file() {
            file.take(MAX).read_to_end(&mut text)?;
        }
        let json = Json::parse(&text).unwrap_or(Json::Null);
        let content: Content = json.decode().unwrap_or_default();
        Ok(Some(Tuned {
            mac: MacAddr::parse(&content.mac).ok().map(|mac| mac.0),
            mtu: Some(content.mtu).filter(|mtu| *mtu > 0),
            promisc: content.promisc,
            allmulti: content.allmulti,
            tx_q_len: content.tx_q_len,
        }))
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, before: Tuned) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.dir)?;
        let draft = self.draft();
        remove(&draft)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&draft)?;
        let written = file
            .write_all_at(text(before).as_bytes(), 0)
            .and_then(|()| fs::rename(&draft, self.path()));
        written.or_else(|err| remove(&draft).and(Err(err)))
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.draft()).and(remove(&self.path()))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The file until it is whole. Its name is the attachment's, so DEL removes the draft of a killed ADD.
    fn draft(&self) -> PathBuf {
        self.dir.join(format!(".{}", self.name))
    }
}

/// The form of Go's encoder, with one space of indentation and no newline at the end.
fn text(before: Tuned) -> String {
    let mac = before.mac.map(|mac| format!("\"{}\"", MacAddr(mac)));
    let members = [
        ("mac", mac),
        ("promisc", before.promisc.map(|on| on.to_string())),
        ("mtu", before.mtu.map(|mtu| mtu.to_string())),
        ("allmulti", before.allmulti.map(|on| on.to_string())),
        ("txQLen", before.tx_q_len.map(|packets| packets.to_string())),
    ];
    let told = members
        .into_iter()
        .filter_map(|(key, value)| Some(format!(" \"{key}\": {}", value?)));
    format!("{{\n{}\n}}", told.collect::<Vec<_>>().join(",\n"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
