//! The repository's tree, as the tests read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The folders of the workspace's members.
pub(crate) fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("\nmembers = [").unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The names under `[dependencies]`; tests may need anything.
pub(crate) fn dependencies(member: &str) -> Vec<String> {
    let manifest = read(&format!("{member}/Cargo.toml"));
    let Some((_, rest)) = manifest.split_once("\n[dependencies]\n") else {
        return Vec::new();
    };
    let section = rest.split("\n[").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The folder of each of our crates, by its name.
pub(crate) fn folders() -> BTreeMap<String, String> {
    let named = members().into_iter().map(|member| {
        let manifest = read(&format!("{member}/Cargo.toml"));
        let (_, rest) = manifest.split_once("\nname = \"").unwrap();
        (rest.split('"').next().unwrap().to_owned(), member)
    });
    named.collect()
}

/// Our crates that `member` depends on, as folders.
pub(crate) fn house_dependencies(member: &str) -> Vec<String> {
    let folders = folders();
    let dependencies = dependencies(member);
    let ours = dependencies.iter().filter_map(|name| folders.get(name));
    ours.cloned().collect()
}

pub(crate) fn is_plugin(folder: &str) -> bool {
    folder.starts_with("plugins/") || folder.starts_with("ipam/")
}

/// Returns whether a table's word for a crate, such as `attach` or `plugins/*`, means `folder`.
pub(crate) fn means(word: &str, folder: &str) -> bool {
    match word {
        "plugins/*" => is_plugin(folder),
        _ => folder == word || folder.strip_prefix("shared/") == Some(word),
    }
}

/// Folders and files below `dir`, except built and hidden ones.
pub(crate) fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every source file: its path from the root, and its text.
pub(crate) fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    files_below(Path::new(ROOT), &mut files);
    let rust = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    rust.map(|path| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        (name, fs::read_to_string(&path).unwrap())
    })
    .collect()
}
