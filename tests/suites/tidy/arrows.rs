//! Permitted dependencies: between crates, on external crates, and between the modules of a crate.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{
    dependencies, folders, house_dependencies, is_plugin, means, members, read, sources,
};

/// The arrows between crates. `plugins/*` and `ipam/*` mean every folder in them; other arrows are forbidden.
const ARROWS: [(&str, &[&str]); 18] = [
    ("shared/protocol", &[]),
    ("shared/draft", &[]),
    ("shared/invoke", &["protocol"]),
    ("shared/owner", &["protocol", "netlink"]),
    ("shared/plugin", &["protocol", "invoke", "owner"]),
    ("shared/netlink", &["protocol"]),
    ("shared/nftables", &["protocol", "netlink"]),
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
        "plugins/firewall",
        &[
            "plugin", "protocol", "owner", "attach", "filter", "netlink", "nftables",
        ],
    ),
    (
        "plugins/*",
        &["plugin", "protocol", "owner", "attach", "filter", "netlink"],
    ),
    (
        "ipam/dhcp",
        &["plugin", "protocol", "owner", "attach", "netlink"],
    ),
    ("ipam/*", &["plugin", "protocol", "owner"]),
    ("runtime", &["protocol", "invoke", "owner", "netlink"]),
    (
        "cli",
        &["protocol", "draft", "invoke", "owner", "netlink", "runtime"],
    ),
    (
        "node",
        &[
            "protocol", "draft", "invoke", "netlink", "nftables", "filter",
        ],
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

/// External crates that belong to one place of the house: the kernel's messages, threads, the command line.
const KEPT: [(&str, &[&str]); 10] = [
    ("rtnetlink", &["shared/netlink"]),
    ("netlink-packet-route", &["shared/netlink"]),
    (
        "netlink-packet-core",
        &["shared/netlink", "shared/nftables"],
    ),
    ("netlink-packet-netfilter", &["shared/nftables"]),
    ("netlink-sys", &["shared/nftables"]),
    ("tokio", &["shared/netlink", "ipam/dhcp", "node"]),
    ("clap", &["cli", "node"]),
    ("kube", &["node"]),
    ("k8s-openapi", &["node"]),
    // A plugin's own words are the protocol's; its telemetry is in a collector's.
    (
        "serde_json",
        &["shared/protocol", "shared/plugin", "runtime", "cli", "node"],
    ),
];

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

/// The top modules of a crate, each with those that it names outside of its tests.
fn modules(member: &str) -> BTreeMap<String, BTreeSet<String>> {
    let src = format!("{member}/src/");
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in sources() {
        let Some(path) = name.trim_start_matches('/').strip_prefix(&src) else {
            continue;
        };
        let module = path.split('/').next().unwrap().trim_end_matches(".rs");
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join(" ");
        for named in code.split("crate::").skip(1) {
            let group = named
                .strip_prefix('{')
                .map(|group| group.split('}').next().unwrap());
            let named = group.map_or_else(|| vec![named], |group| group.split(',').collect());
            let word = |text: &str| {
                let is_name = |char: &char| char.is_alphanumeric() || *char == '_';
                text.trim_start().chars().take_while(is_name).collect()
            };
            let uses = modules.entry(module.to_owned()).or_default();
            uses.extend(named.into_iter().map(word));
        }
    }
    modules
}

#[test]
fn modules_of_a_crate_make_no_circle() {
    for member in members().iter().filter(|name| !name.starts_with("tests/")) {
        let mut modules = modules(member);
        modules.remove("lib");
        loop {
            // A module that names none of the remaining ones is below them, and so not in a circle.
            let left: BTreeSet<String> = modules.keys().cloned().collect();
            let above = |(module, uses): &(String, BTreeSet<String>)| {
                uses.iter()
                    .any(|used| used != module && left.contains(used))
            };
            modules = modules.into_iter().filter(above).collect();
            if modules.len() == left.len() {
                break;
            }
        }
        assert!(
            modules.is_empty(),
            "modules of {member} are in a circle, or above one: {:?}",
            modules.keys()
        );
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
