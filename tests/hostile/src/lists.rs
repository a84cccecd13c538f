//! Any bytes as a file that the runtime reads: a list, a single plugin, an entry of the cache.

use std::fs;
use std::path::Path;

use linkspan_protocol::ident::NetworkName;
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::cache::{Cache, Entry};
use linkspan_runtime::confdir;
use linkspan_runtime::conflist::NetworkList;
use serde_json::json;

use crate::reply::one_line;
use crate::scratch;

pub(crate) fn target(data: &[u8]) {
    scratch::within(|dir| {
        let parsed = NetworkList::parse_either(data);
        loaded(dir, data);
        match parsed {
            Ok(list) => remembered(dir, &list),
            Err(failure) => one_line(&failure.message()),
        }
        found(dir, data);
    });
}

/// As a file of a directory like `/etc/cni/net.d`, alone in it.
fn loaded(dir: &Path, data: &[u8]) {
    let nets = dir.join("net.d");
    fs::create_dir(&nets).unwrap();
    for name in ["10.conflist", "20.conf"] {
        let file = nets.join(name);
        fs::write(&file, data).unwrap();
        let Ok(list) = confdir::load_file(&file) else {
            fs::remove_file(&file).unwrap();
            continue;
        };
        assert!(!list.plugins.is_empty());
        assert!(list.plugins.iter().all(|plugin| !plugin.kind().is_empty()));
        // By name, only a .conflist is a list.
        if name == "10.conflist" || NetworkList::of_single(data).is_ok() {
            let again = confdir::load(&nets, &list.name).unwrap();
            assert_eq!(again.name, list.name);
        }
    }
}

/// A stored entry is read back unchanged.
fn remembered(dir: &Path, list: &NetworkList) {
    let Ok(network) = list.network() else {
        return;
    };
    let cache = Cache::new(&dir.join("cache"));
    let at = Attachment::new("pod", "/run/netns/pod", "eth0").unwrap();
    let result = json!({ "cniVersion": "1.1.0", "ips": [] });
    // The name of a file has at most 255 bytes.
    if cache.store(list, &at, &result).is_err() {
        assert!(list.name.len() > 200, "{}", list.name);
        return;
    }
    let entry = cache.entry(&network, &at).unwrap();
    let kinds = |list: &NetworkList| -> Vec<String> {
        let kinds = list.plugins.iter();
        kinds.map(|plugin| plugin.kind().to_owned()).collect()
    };
    let known = entry.network().unwrap();
    assert_eq!((&known.raw, &known.name), (&list.raw, &list.name));
    assert_eq!(
        (known.version.clone(), kinds(&known)),
        (list.version.clone(), kinds(list))
    );
    assert_eq!(cache.result(&network, &at).unwrap(), Some(result));
    cache.remove(&network, &at);
    assert!(cache.all().unwrap().entries.is_empty());
}

/// As a foreign entry in the cache.
fn found(dir: &Path, data: &[u8]) {
    let results = dir.join("foreign/results");
    fs::create_dir_all(&results).unwrap();
    fs::write(results.join("net-pod-eth0"), data).unwrap();
    let cache = Cache::new(&dir.join("foreign"));
    let network = NetworkName::parse("net").unwrap();
    let at = Attachment::new("pod", "", "eth0").unwrap();
    if let Err(failure) = cache.result(&network, &at) {
        one_line(&failure.message());
    }
    let listing = cache.all().unwrap();
    assert_eq!(listing.entries.len() + listing.unreadable.len(), 1);
    for entry in listing
        .entries
        .into_iter()
        .chain(cache.entry(&network, &at))
    {
        used(&entry);
    }
}

fn used(entry: &Entry) {
    if let Err(failure) = entry.network() {
        one_line(&failure.message());
    }
    if let Err(failure) = entry.attachment() {
        one_line(&failure.message());
    }
}
