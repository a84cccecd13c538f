//! Networks by name, out of a directory such as `/etc/cni/net.d`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use linkspan_protocol::error::Failure;

use crate::Result;
use crate::conflist::{NetworkList, PluginConf};

/// Loads the network `name`: the first list of that name in the order of file names, else the first single plugin.
///
/// A file that cannot be decoded fails the search even when it is another network's, as in libcni: a network that is
/// silently missing is worse.
pub fn load(dir: &Path, name: &str) -> Result<NetworkList> {
    find(dir, name)?.ok_or_else(|| {
        let is_empty = files(dir, &["conflist", "conf", "json"]).is_ok_and(|all| all.is_empty());
        let shown = dir.display();
        let missing = if is_empty {
            format!("no net configurations found in {shown}")
        } else {
            format!("no net configuration with name {name:?} in {shown}")
        };
        let names = names(dir);
        let there = match names.as_slice() {
            [] => String::new(),
            some => format!("networks there: {}; ", some.join(", ")),
        };
        Failure::config(missing).hint(format!(
            "{there}put a .conflist there, or name another directory with --net-dir or NETCONFPATH"
        ))
    })
}

/// The same; `None` if the network does not exist.
pub fn find(dir: &Path, name: &str) -> Result<Option<NetworkList>> {
    let lists = files(dir, &["conflist"])?;
    for path in &lists {
        let list = NetworkList::parse(&read(path)?).map_err(|err| naming(err, path))?;
        let is_asked_for = list.name == name;
        if !is_asked_for && list.network().is_err() {
            // Its fragments could be anywhere, and another network is wanted.
            continue;
        }
        let list = with_fragments(list, dir).map_err(|err| naming(err, path))?;
        if is_asked_for {
            return Ok(Some(list));
        }
    }
    let singles = files(dir, &["conf", "json"])?;
    for path in &singles {
        let list = NetworkList::of_single(&read(path)?).map_err(|err| naming(err, path))?;
        if list.name == name {
            return Ok(Some(list));
        }
    }
    Ok(None)
}

/// The names of the directory's networks, in the order of engines.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for (_, list) in each(dir).unwrap_or_default() {
        if let Ok(list) = list
            && !names.contains(&list.name)
        {
            names.push(list.name);
        }
    }
    names
}

/// Every network configuration of the directory with its file, in the order of engines, decoded one by one.
pub fn each(dir: &Path) -> Result<Vec<(PathBuf, Result<NetworkList>)>> {
    let paths = files(dir, &["conflist", "conf", "json"])?.into_iter();
    Ok(paths.map(|path| (path.clone(), load_file(&path))).collect())
}

/// Loads the network in one file, with the fragments beside it where it is a list.
pub fn load_file(path: &Path) -> Result<NetworkList> {
    if path.extension().is_some_and(|ext| ext == "conflist") {
        return load_list(path, path.parent().unwrap_or(Path::new("")));
    }
    let list = NetworkList::parse_either(&read(path)?).and_then(with_plugins);
    list.map_err(|err| naming(err, path))
}

/// Loads the list in one file as it is in `dir`, with the fragments there.
pub(crate) fn load_list(path: &Path, dir: &Path) -> Result<NetworkList> {
    let list = NetworkList::parse(&read(path)?);
    let list = list.and_then(|list| with_fragments(list, dir));
    list.map_err(|err| naming(err, path))
}

/// Appends the plugins in `DIR/NETWORK/*.conf`, unless the list forbids it.
pub fn with_fragments(mut list: NetworkList, dir: &Path) -> Result<NetworkList> {
    if !list.only_inlined {
        // The name becomes a path here, so it is validated now.
        let fragments = dir.join(list.network()?.as_str());
        for path in files(&fragments, &["conf"])
            .map_err(|err| err.context("failed to read plugin config files"))?
        {
            let plugin = PluginConf::parse(&read(&path)?).map_err(|err| naming(err, &path))?;
            list.plugins.push(plugin);
        }
    }
    with_plugins(list)
}

/// Refuses a list without plugins.
fn with_plugins(list: NetworkList) -> Result<NetworkList> {
    if list.plugins.is_empty() {
        return Err(Failure::config("no plugin configs found")
            .hint(format!("give {} a list of plugins", list.name)));
    }
    Ok(list)
}

fn naming(err: Failure, path: &Path) -> Failure {
    err.detail(format!("in {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(crate::io(format!("error reading {}", path.display())))
}

/// The files with one of the extensions, sorted by path; a directory that does not exist has none.
fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(crate::io(format!("list {}", dir.display())))?,
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_dir())
        .filter(|path| {
            let extension = path.extension().and_then(|ext| ext.to_str());
            extension.is_some_and(|ext| extensions.contains(&ext))
        })
        .collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const LIST: &str = r#"{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"a"}]}"#;

    fn dir_with(files: &[(&str, &str)]) -> Scratch {
        let dir = Scratch::new("confdir").unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_file_without_plugins_is_no_network_whatever_its_extension() {
        let nothing = r#"{"name":"n","cniVersion":"1.0.0"}"#;
        for name in ["10.conflist", "10.conf"] {
            let dir = dir_with(&[(name, nothing)]);
            let refused = load_file(&dir.path().join(name)).unwrap_err();
            assert!(refused.message().contains("no plugin configs found"));
        }
    }

    #[test]
    fn a_list_wins_over_a_single_plugin_of_the_same_name() {
        let single = r#"{"name":"n","type":"b"}"#;
        let dir = dir_with(&[
            ("00.conf", single),
            ("10.conflist", LIST),
            ("20.json", single),
        ]);
        assert_eq!(load(dir.path(), "n").unwrap().plugins[0].kind(), "a");
    }

    #[test]
    fn files_are_taken_in_the_order_of_their_names() {
        let of = |kind: &str| LIST.replace("\"a\"", &format!("{kind:?}"));
        let dir = dir_with(&[
            ("20.conflist", &*of("second")),
            ("10.conflist", &*of("first")),
            ("05.conflist.bak", "{"),
            ("00.json/x", "{"),
        ]);
        assert_eq!(load(dir.path(), "n").unwrap().plugins[0].kind(), "first");
        let single = |kind: &str| format!(r#"{{"name":"n","type":{kind:?}}}"#);
        let dir = dir_with(&[
            ("20.conf", &*single("second")),
            ("10.json", &*single("first")),
        ]);
        assert_eq!(load(dir.path(), "n").unwrap().plugins[0].kind(), "first");
        // A file with a list needs a list's extension.
        let dir = dir_with(&[("10.conf", LIST)]);
        let refused = load(dir.path(), "n").unwrap_err();
        assert_eq!(
            refused.message(),
            "error parsing configuration: missing 'type'"
        );
    }

    #[test]
    fn fragments_are_appended_unless_forbidden() {
        let only = LIST.replace("\"plugins\"", "\"loadOnlyInlinedPlugins\":true,\"plugins\"");
        for (list, count) in [(LIST, 3), (&*only, 1)] {
            let dir = dir_with(&[
                ("10.conflist", list),
                ("n/20.conf", r#"{"type":"c"}"#),
                ("n/10.conf", r#"{"type":"b"}"#),
                ("n/deeper/30.conf", "{"),
            ]);
            let kinds: Vec<String> = load(dir.path(), "n")
                .unwrap()
                .plugins
                .into_iter()
                .map(|p| p.kind().to_owned())
                .collect();
            assert_eq!(kinds, ["a", "b", "c"][..count]);
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let missing = load(Path::new("/nonexistent"), "n").unwrap_err();
        assert_eq!(
            missing.message(),
            "no net configurations found in /nonexistent"
        );
        let dir = dir_with(&[("00-bad.conflist", "{"), ("10.conflist", LIST)]);
        assert!(
            load(dir.path(), "n")
                .unwrap_err()
                .to_wire()
                .details
                .contains("00-bad.conflist")
        );
        let dir = dir_with(&[("10.conflist", LIST)]);
        assert!(
            load(dir.path(), "m")
                .unwrap_err()
                .message()
                .starts_with("no net configuration with name \"m\" in ")
        );
    }

    #[test]
    fn a_broken_fragment_of_another_network_fails_the_search() {
        let other = LIST.replace("\"n\"", "\"other\"");
        let dir = dir_with(&[
            ("00.conflist", &*other),
            ("10.conflist", LIST),
            ("other/10.conf", "{}"),
        ]);
        let broken = load(dir.path(), "n").unwrap_err().to_wire();
        assert_eq!(broken.msg, "error parsing configuration: missing 'type'");
        assert!(broken.details.contains("other/10.conf"), "{broken}");
        // A network whose name cannot be a directory's has no fragments.
        let dir = dir_with(&[
            ("00.conflist", &*LIST.replace("\"n\"", "\"../n\"")),
            ("10.conflist", LIST),
        ]);
        assert_eq!(load(dir.path(), "n").unwrap().name, "n");
    }

    #[test]
    fn a_network_name_cannot_leave_the_directory() {
        let dir = dir_with(&[("10.conflist", r#"{"name":"../n","plugins":[{"type":"a"}]}"#)]);
        let refused = load(dir.path(), "../n").unwrap_err();
        assert_eq!(
            refused.message(),
            "invalid characters found in network name"
        );
    }
}
