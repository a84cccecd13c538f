//! The house's own rules, held by the machine: who depends on whom, file headers, what tests may not do, and that
//! the tables which name plugins, crates and examples are complete.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use linkspan_harness::call::Call;
use linkspan_harness::lab::PLUGINS;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The arrows between crates. `plugins/*` and `ipam/*` stand for every folder in them; what is not here is forbidden.
const ARROWS: [(&str, &[&str]); 14] = [
    ("shared/protocol", &[]),
    ("shared/invoke", &["protocol"]),
    ("shared/owner", &["protocol"]),
    ("shared/plugin", &["protocol", "invoke", "owner"]),
    ("shared/netlink", &["protocol"]),
    ("shared/nftables", &["netlink"]),
    ("shared/attach", &["plugin", "protocol", "owner", "netlink"]),
    (
        "shared/filter",
        &[
            "plugin", "protocol", "invoke", "owner", "netlink", "nftables",
        ],
    ),
    (
        "plugins/portmap",
        &[
            "plugin", "protocol", "owner", "attach", "filter", "netlink", "nftables",
        ],
    ),
    (
        "plugins/*",
        &["plugin", "protocol", "owner", "attach", "filter", "netlink"],
    ),
    ("ipam/*", &["plugin", "protocol", "owner"]),
    ("runtime", &["protocol", "invoke", "owner", "netlink"]),
    (
        "cli",
        &["protocol", "invoke", "owner", "netlink", "runtime"],
    ),
    (
        "bundle",
        &[
            "plugin",
            "protocol",
            "owner",
            "attach",
            "filter",
            "runtime",
            "cli",
            "plugins/*",
        ],
    ),
];

/// Crates from outside that belong to one place of the house: the kernel's messages, threads, the command line.
const KEPT: [(&str, &[&str]); 8] = [
    ("rtnetlink", &["shared/netlink"]),
    ("netlink-packet-route", &["shared/netlink"]),
    (
        "netlink-packet-core",
        &["shared/netlink", "shared/nftables"],
    ),
    ("netlink-packet-netfilter", &["shared/nftables"]),
    ("netlink-sys", &["shared/nftables"]),
    ("tokio", &["shared/netlink"]),
    ("clap", &["cli"]),
    ("serde_json", &["shared/protocol", "runtime", "cli"]),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The folders of the workspace's members.
fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("\nmembers = [").unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The names under `[dependencies]`; what only tests need may be anything.
fn dependencies(member: &str) -> Vec<String> {
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
fn folders() -> BTreeMap<String, String> {
    let named = members().into_iter().map(|member| {
        let manifest = read(&format!("{member}/Cargo.toml"));
        let (_, rest) = manifest.split_once("\nname = \"").unwrap();
        (rest.split('"').next().unwrap().to_owned(), member)
    });
    named.collect()
}

/// Our crates that `member` depends on, as folders.
fn house_dependencies(member: &str) -> Vec<String> {
    let folders = folders();
    let dependencies = dependencies(member);
    let ours = dependencies.iter().filter_map(|name| folders.get(name));
    ours.cloned().collect()
}

fn is_plugin(folder: &str) -> bool {
    folder.starts_with("plugins/") || folder.starts_with("ipam/")
}

/// Whether a table's word for a crate, such as `attach` or `plugins/*`, means `folder`.
fn means(word: &str, folder: &str) -> bool {
    match word {
        "plugins/*" => is_plugin(folder),
        _ => folder == word || folder.strip_prefix("shared/") == Some(word),
    }
}

/// Folders and files below `dir`, but for what is built or hidden.
fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
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
fn sources() -> Vec<(String, String)> {
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

#[test]
fn crates_depend_only_along_the_arrows() {
    for member in members().iter().filter(|name| !name.starts_with("tests/")) {
        let exact = ARROWS.iter().find(|(folder, _)| folder == member);
        let kind = member.split('/').next().unwrap();
        let any = || {
            ARROWS
                .iter()
                .find(|(folder, _)| *folder == format!("{kind}/*"))
        };
        let (_, allowed) = exact
            .or_else(any)
            .unwrap_or_else(|| panic!("{member} has no row in the table of arrows"));
        for dependency in house_dependencies(member) {
            assert!(
                allowed.iter().any(|word| means(word, &dependency)),
                "{member} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn crates_from_outside_stay_where_they_belong() {
    for member in members().iter().filter(|name| !name.starts_with("tests/")) {
        for dependency in dependencies(member) {
            let kept = KEPT.iter().find(|(name, _)| *name == dependency);
            let fits = kept.is_none_or(|(_, places)| places.contains(&member.as_str()));
            assert!(fits, "{member} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_map_names_every_crate_and_its_dependencies() {
    let architecture = read("ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> = architecture
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for member in members() {
        let named = |row: &&Vec<&str>| row[1].contains(&format!("`{member}`"));
        let row = rows.iter().find(named);
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {member}"));
        let told: Vec<&str> = row[2].split(", ").collect();
        for dependency in house_dependencies(&member) {
            let short = dependency.trim_start_matches("shared/");
            let in_group = is_plugin(&dependency) && told.contains(&"every plugin");
            assert!(
                told.contains(&short) || in_group || row[2].starts_with("anything"),
                "ARCHITECTURE.md does not say that {member} depends on {short}"
            );
        }
        for word in told
            .iter()
            .filter(|word| word.chars().all(char::is_alphanumeric))
        {
            assert!(
                folders().values().any(|folder| means(word, folder)),
                "ARCHITECTURE.md lets {member} depend on {word}, which is no crate"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_why_it_is_long() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not begin with //!");
        let header: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        let long = text.lines().count() > 400;
        assert!(
            !long || header.join(" ").contains("400 lines"),
            "{name} is longer than 400 lines, and its header does not say why"
        );
    }
}

#[test]
fn nothing_sleeps_and_no_test_is_ignored_or_content_with_any_panic() {
    for (name, text) in sources() {
        // In two pieces each, as this file is a source, too.
        for banned in [
            concat!("#[", "ignore"),
            concat!("should_", "panic"),
            concat!("todo", "!("),
            concat!("::sleep", "("),
        ] {
            assert!(!text.contains(banned), "{name} has {banned}");
        }
    }
}

/// A child that is started behind its back has copies of what another test is writing (`harness::forks`).
#[test]
fn the_laboratory_starts_the_children_of_all_tests() {
    let of_tests = ["tests/suites/", "ipam/host-local/tests/"];
    for (name, text) in sources() {
        // What is in a crate of its own has no other tests beside it.
        let alone = !of_tests.iter().any(|dir| name.starts_with(dir));
        // In two pieces, as this file is a source, too.
        let starts = text.contains(concat!("Command::", "new("));
        assert!(
            alone || !starts || text.contains("forks::"),
            "{name} starts children by itself"
        );
    }
}

#[test]
fn every_plugin_folder_is_in_the_bundle_and_in_the_laboratory() {
    let version = Call::new(Path::new(LINKSPAN)).args(&["version"]).run();
    let told = version.succeeded();
    let bundled = dependencies("bundle");
    let folders = folders();
    for kind in ["plugins", "ipam"] {
        for entry in fs::read_dir(Path::new(ROOT).join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let member = format!("{kind}/{name}");
            let package = folders.iter().find(|(_, folder)| **folder == member);
            let (package, _) =
                package.unwrap_or_else(|| panic!("{member} is not a member of the workspace"));
            assert!(bundled.contains(package), "the bundle lacks {member}");
            assert!(
                PLUGINS.contains(&name.as_str()),
                "the laboratory lacks {name}"
            );
            let words: Vec<&str> = told.split([' ', ',', '\n']).collect();
            assert!(
                words.contains(&name.as_str()),
                "`linkspan version` lacks {name}: {told}"
            );
        }
    }
}

#[test]
fn the_readme_leads_to_every_example() {
    let readme = read("README.md");
    for entry in fs::read_dir(Path::new(ROOT).join("conf-examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            readme.contains("(conf-examples)") || readme.contains(&name),
            "README.md names neither {name} nor its folder"
        );
    }
}

#[test]
fn every_message_that_the_documentation_explains_is_in_the_product() {
    let product: Vec<String> = sources()
        .into_iter()
        .filter(|(name, _)| !name.contains("tests/"))
        // A text that goes on in the next line is one text.
        .map(|(_, text)| text.replace("\\\n", ""))
        .collect();
    let documentation = read("docs/clients.md");
    let (_, rest) = documentation.split_once("\n| Message |").unwrap();
    let (table, _) = rest.split_once("\nAnd of the engines").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for row in rows {
        let cell = row.split('|').nth(1).unwrap();
        for message in cell.split('`').skip(1).step_by(2) {
            assert!(
                product.iter().any(|text| text.contains(message)),
                "nothing says {message:?}"
            );
        }
    }
}

#[test]
fn every_test_that_security_cites_exists() {
    let text = read("SECURITY.md");
    let rows = text.split("\n## ").find(|part| part.starts_with("Dangers"));
    let cited = rows
        .unwrap()
        .lines()
        .filter_map(|line| line.rsplit('|').nth(1));
    let names = cited.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let sources = sources();
    let mut count = 0;
    for name in names {
        let wanted = format!("fn {name}()");
        assert!(
            sources.iter().any(|(_, text)| text.contains(&wanted)),
            "SECURITY.md cites {name}, which is no test"
        );
        count += 1;
    }
    assert!(count > 0);
}
