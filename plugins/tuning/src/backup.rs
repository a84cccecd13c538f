//! The Go plugin's file with a link's settings before ADD. Each suite reads the other's.

use std::io;
use std::path::{Path, PathBuf};

use linkspan_owner::file;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::ident::AttachmentId;
use linkspan_protocol::json::Json;
use serde::Deserialize;

use linkspan_attach::tuned::Tuned;

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
        let Some(text) = file::read(&self.path(), MAX)? else {
            return Ok(None);
        };
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
        file::write(&self.path(), &self.draft(), text(before).as_bytes())
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        file::remove(&self.draft()).and(file::remove(&self.path()))
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
