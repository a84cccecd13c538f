//! Results and configurations of live attachments, in libcni's format and place, so each can read the other's.
//!
//! Unlike libcni this writes by temporary file and rename: a reader sees an old entry or a new one, never half of one.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use linkspan_owner::memory::Memory;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use linkspan_protocol::json::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tempfile::Builder;

use crate::Result;
use crate::attachment::Attachment;
use crate::conflist::NetworkList;

/// The mark of an entry of this format.
const KIND: &str = "cniCacheV1";

/// A directory of entries, by default `/var/lib/cni`.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// An entry, with its keys in libcni's order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Entry {
    kind: String,
    /// `CNI_CONTAINERID`
    pub container_id: String,
    /// The configuration's bytes in base64.
    config: String,
    /// `CNI_IFNAME`
    pub if_name: String,
    /// The network's name.
    pub network_name: String,
    /// `CNI_NETNS` at ADD.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// `CNI_ARGS` at ADD.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cni_args: Vec<(String, String)>,
    /// Every capability argument at ADD.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub capability_args: Map<String, Value>,
    /// The final result, in its own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

impl Entry {
    /// The network as it was at ADD.
    pub fn network(&self) -> Result<NetworkList> {
        let raw = BASE64_STANDARD.decode(&self.config).map_err(|err| {
            Failure::new(ErrorCode::DECODING, err.to_string())
                .context("decode the cached configuration")
        })?;
        NetworkList::parse_either(&raw)
    }

    /// The attachment as it was at ADD.
    pub fn attachment(&self) -> Result<Attachment> {
        let mut at = Attachment::new(&self.container_id, &self.netns, &self.if_name)?;
        at.args.clone_from(&self.cni_args);
        at.capability_args.clone_from(&self.capability_args);
        Ok(at)
    }

    /// Decodes an entry of this format, as leniently as libcni does. Older libraries (that of containerd 1.6) do not
    /// write the namespace, but it is in the result.
    fn decode(raw: &[u8]) -> Option<Self> {
        let mut entry: Self = Json::parse(raw).ok()?.decode().ok()?;
        if entry.netns.is_empty() {
            entry.netns = entry.sandbox().unwrap_or_default();
        }
        (entry.kind == KIND).then_some(entry)
    }

    /// The sandbox of the attachment's own interface in the result.
    fn sandbox(&self) -> Option<String> {
        let interfaces = self.result.as_ref()?.get("interfaces")?.as_array()?;
        let own = interfaces
            .iter()
            .filter(|one| one.get("name").and_then(Value::as_str) == Some(&*self.if_name));
        let mut sandboxes = own.filter_map(|one| one.get("sandbox")?.as_str());
        sandboxes
            .find(|path| path.starts_with('/'))
            .map(str::to_owned)
    }
}

/// Every entry.
#[derive(Debug, Default)]
pub struct Listing {
    /// The entries, in the order of their files' names.
    pub entries: Vec<Entry>,
    /// Files that are not entries, or cannot be read.
    pub unreadable: Vec<PathBuf>,
}

impl Cache {
    /// The cache below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.join("results"),
        }
    }

    fn path(&self, network: &NetworkName, container: &ContainerId, ifname: &IfName) -> PathBuf {
        self.dir.join(format!("{network}-{container}-{ifname}"))
    }

    /// Our own memory of an attachment, beside libcni's directory.
    pub(crate) fn memory(&self, network: &NetworkName, at: &AttachmentId) -> Memory {
        Memory::new(&self.dir.with_file_name("linkspan"), network, at)
    }

    /// Stores a result with its configuration and arguments.
    pub fn store(&self, list: &NetworkList, at: &Attachment, result: &Value) -> Result<()> {
        let network = list.network()?;
        let entry = Entry {
            kind: KIND.to_owned(),
            container_id: at.container_id.to_string(),
            config: BASE64_STANDARD.encode(&list.raw),
            if_name: at.ifname.to_string(),
            network_name: list.name.clone(),
            netns: at.netns.clone(),
            cni_args: at.args.clone(),
            capability_args: at.capability_args.clone(),
            result: Some(result.clone()),
        };
        let path = self.path(&network, &at.container_id, &at.ifname);
        self.write(&path, &entry)
            .map_err(crate::io(format!("write {}", path.display())))
            .map_err(|err| {
                err.context(format!(
                    "failed to set network {network:?} cached result",
                    network = list.name
                ))
            })
    }

    fn write(&self, path: &Path, entry: &Entry) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        // tempfile makes it readable for its owner alone.
        let mut file = Builder::new().prefix(".").tempfile_in(&self.dir)?;
        file.write_all(&serde_json::to_vec(entry).map_err(io::Error::other)?)?;
        file.persist(path)?;
        Ok(())
    }

    /// The entry of an attachment; `None` if it is missing or unreadable.
    pub fn entry(&self, network: &NetworkName, at: &Attachment) -> Option<Entry> {
        let raw = fs::read(self.path(network, &at.container_id, &at.ifname)).ok()?;
        Entry::decode(&raw)
    }

    /// Every entry; a directory that does not exist has none.
    pub fn all(&self) -> Result<Listing> {
        let failed = || crate::io(format!("list {}", self.dir.display()));
        let files = match fs::read_dir(&self.dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            files => files.map_err(failed())?,
        };
        let mut paths = Vec::new();
        for file in files {
            let file = file.map_err(failed())?;
            // Names of networks do not begin with a dot: such a file is still being written.
            if !file.file_name().as_encoded_bytes().starts_with(b".") {
                paths.push(file.path());
            }
        }
        paths.sort();
        let mut listing = Listing::default();
        for path in paths {
            let entry = fs::read(&path).ok().and_then(|raw| Entry::decode(&raw));
            let named = entry.filter(|e| !e.network_name.is_empty() && e.attachment().is_ok());
            match named {
                Some(entry) => listing.entries.push(entry),
                None => listing.unreadable.push(path),
            }
        }
        Ok(listing)
    }

    /// The result of an attachment. An entry that is not of this format is itself the result, as old runtimes wrote it.
    pub fn result(&self, network: &NetworkName, at: &Attachment) -> Result<Option<Value>> {
        let Ok(raw) = fs::read(self.path(network, &at.container_id, &at.ifname)) else {
            return Ok(None);
        };
        if let Some(entry) = Entry::decode(&raw) {
            return Ok(entry.result);
        }
        serde_json::from_slice(&raw).map(Some).map_err(|err| {
            Failure::new(ErrorCode::DECODING, err.to_string()).context(format!(
                "failed to get network {:?} cached result",
                network.as_str()
            ))
        })
    }

    /// Returns whether a file has the attachment's name.
    pub fn has(&self, network: &NetworkName, at: &Attachment) -> bool {
        self.path(network, &at.container_id, &at.ifname).exists()
    }

    /// Removes an attachment's entry; a missing one is not an error.
    pub fn remove(&self, network: &NetworkName, at: &Attachment) {
        drop(fs::remove_file(self.path(
            network,
            &at.container_id,
            &at.ifname,
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    const LIST: &str = r#"{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"a"}]}"#;

    fn world() -> (Scratch, Cache, NetworkList, Attachment) {
        let dir = Scratch::new("cache").unwrap();
        let cache = Cache::new(dir.path());
        let list = NetworkList::parse(LIST.as_bytes()).unwrap();
        (
            dir,
            cache,
            list,
            Attachment::new("c1", "/run/netns/x", "eth0").unwrap(),
        )
    }

    #[test]
    fn an_entry_has_the_bytes_of_libcni() {
        let (dir, cache, list, mut at) = world();
        at.args = vec![("A".into(), "1".into())];
        cache
            .store(&list, &at, &json!({"cniVersion": "1.0.0"}))
            .unwrap();
        let path = dir.path().join("results/n-c1-eth0");
        let expected = format!(
            r#"{{"kind":"cniCacheV1","containerId":"c1","config":"{}","ifName":"eth0","networkName":"n","netns":"/run/netns/x","cniArgs":[["A","1"]],"result":{{"cniVersion":"1.0.0"}}}}"#,
            BASE64_STANDARD.encode(LIST)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let network = list.network().unwrap();
        assert_eq!(
            cache
                .entry(&network, &at)
                .unwrap()
                .network()
                .unwrap()
                .plugins[0]
                .kind(),
            "a"
        );
        cache.remove(&network, &at);
        assert!(!cache.has(&network, &at));
    }

    #[test]
    fn everything_remembered_is_listed_and_the_rest_is_told() {
        let (dir, cache, list, at) = world();
        assert!(cache.all().unwrap().entries.is_empty());
        for ifname in ["eth1", "eth0"] {
            let at = Attachment::new("c1", "/run/netns/x", ifname).unwrap();
            cache.store(&list, &at, &json!({})).unwrap();
        }
        let results = dir.path().join("results");
        fs::write(results.join("n-c2-eth0"), r#"{"kind":"cniCacheV1"}"#).unwrap();
        fs::write(results.join(".n-c3-eth0.1"), "{").unwrap();
        let listing = cache.all().unwrap();
        let named: Vec<_> = listing.entries.iter().map(|e| e.if_name.as_str()).collect();
        assert_eq!(named, ["eth0", "eth1"]);
        assert_eq!(listing.entries[0].attachment().unwrap().id(), at.id());
        assert_eq!(listing.unreadable, [results.join("n-c2-eth0")]);
    }

    #[test]
    fn keys_of_an_entry_are_matched_in_any_case() {
        let entry = Entry::decode(br#"{"KIND":"cniCacheV1","CniArgs":[["A","1"]],"netns":null}"#);
        assert_eq!(entry.unwrap().cni_args, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn an_old_entry_is_the_result_itself_and_a_broken_one_an_error() {
        let (dir, cache, list, at) = world();
        let network = list.network().unwrap();
        assert!(cache.result(&network, &at).unwrap().is_none());
        let path = dir.path().join("results/n-c1-eth0");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, r#"{"cniVersion":"0.4.0","ips":[]}"#).unwrap();
        assert_eq!(
            cache.result(&network, &at).unwrap().unwrap()["ips"],
            json!([])
        );
        assert!(cache.entry(&network, &at).is_none());
        fs::write(&path, r#"{"kind":"cniCacheV1","resu"#).unwrap();
        assert!(cache.result(&network, &at).is_err());
    }
}
