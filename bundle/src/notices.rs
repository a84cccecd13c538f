//! The licences of linked crates, and a list of these in `CycloneDX`'s form, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use serde_json::{Value, json};

use crate::generated::{self, ROOT};

/// The targets that the suite is built for; deny.toml has the same.
const TARGETS: [&str; 3] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
];

/// The licence of the project, which is chosen if a crate offers it.
const OURS: &str = "Apache-2.0";

/// The package of the agent, which is a separate binary.
const NODE: &str = "linkspan-node";

const HEAD: &str = "\
Notices of what Linkspan is linked from
=======================================

Linkspan is under the Apache License, Version 2.0: see LICENSE.

Its binary holds parts of the GNU C Library, (C) Free Software Foundation, Inc.
and others, under the GNU Lesser General Public License, version 2.1 or later:
see LGPL-2.1. It is linked statically. With Linkspan's source, which is what it
is built from, you may link it with another version of that library.

A binary that is made by .ci/musl holds parts of musl instead, Copyright (C)
2005-2020 Rich Felker, et al., under the MIT licence. Its text is:

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
\"Software\"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

It holds parts of the Rust standard library, by the Rust Project Developers,
under the Apache License, Version 2.0, or the MIT licence.

";

/// A linked crate.
#[derive(Debug, Clone)]
struct Crate {
    name: String,
    version: String,
    /// SPDX
    licence: String,
    repository: Option<String>,
    manifest: String,
    /// The external crates that it needs.
    needs: BTreeSet<String>,
}

impl Crate {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    /// Returns whether it is offered under the project's own licence.
    fn offers_ours(&self) -> bool {
        self.licence.split(" OR ").any(|one| one == OURS)
    }

    /// The text of its chosen licence, and its required notices.
    fn texts(&self) -> Vec<String> {
        let folder = Path::new(&self.manifest).parent().unwrap();
        let files = fs::read_dir(folder).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let chosen = |name: &String| {
            let upper = name.to_uppercase();
            let stem = upper.split('.').next().unwrap_or_default();
            let is_licence = matches!(stem, "LICENSE" | "COPYING")
                || upper.contains("MIT")
                || upper.contains("BSD");
            upper.starts_with("NOTICE") || is_licence && !self.offers_ours()
        };
        let texts = names.iter().filter(|name| chosen(name));
        texts
            .map(|name| fs::read_to_string(folder.join(name)).unwrap())
            .collect()
    }
}

/// Output of cargo.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo finds its home and its toolchain by the environment"
)]
fn cargo(args: &[&str]) -> String {
    let homes = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let set = homes
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let manifest = format!("{ROOT}/Cargo.toml");
    let call = Call::new(Path::new(env!("CARGO"))).args(args).args(&[
        "--offline",
        "--locked",
        "--manifest-path",
        &manifest,
    ]);
    let call = set.fold(call, |call, (name, value)| call.env(name, &value));
    call.run().succeeded().to_owned()
}

/// cargo's metadata of the whole workspace, in which a crate has the features that any member requests.
fn metadata() -> Value {
    let mut args = vec!["metadata", "--format-version", "1"];
    args.extend(
        TARGETS
            .iter()
            .flat_map(|target| ["--filter-platform", *target]),
    );
    serde_json::from_str(&cargo(&args)).unwrap()
}

/// Names and versions of the crates that `cargo build -p PACKAGE` links, with the features that this package requests.
fn built(package: &str) -> BTreeSet<(String, String)> {
    let mut args = vec!["tree", "-p", package, "-e", "normal,no-proc-macro"];
    args.extend(["--prefix", "none", "--format", "{p}"]);
    args.extend(TARGETS.iter().flat_map(|target| ["--target", *target]));
    let told = cargo(&args);
    let crates = told.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let version = |word: &str| word.strip_prefix('v').map(str::to_owned);
        Some((words.next()?.to_owned(), version(words.next()?)?))
    });
    crates.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The external crates that are linked into the binary of `package`, by cargo's id, and our own packages' needs.
fn linked(metadata: &Value, package: &str) -> (BTreeMap<String, Crate>, BTreeSet<String>) {
    let built = built(package);
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| (text(&one["id"]), one.clone())).collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let runs_at_build = |id: &str| packages[id]["targets"][0]["kind"][0] == "proc-macro";
    let is_built = |id: &str| {
        let one = &packages[id];
        built.contains(&(text(&one["name"]), text(&one["version"])))
    };
    let needs = |id: &str| -> BTreeSet<String> {
        let needed = nodes[id]["deps"].as_array().unwrap().iter();
        let linked = needed.filter(|dep| {
            let mut kinds = dep["dep_kinds"].as_array().unwrap().iter();
            kinds.any(|kind| kind["kind"].is_null())
        });
        let ids = linked.map(|dep| text(&dep["pkg"]));
        ids.filter(|id| !runs_at_build(id) && is_built(id))
            .collect()
    };
    let is_ours = |id: &str| packages[id]["source"].is_null();
    let root = packages.iter().find(|(_, one)| one["name"] == package);
    let mut left = vec![root.unwrap().0.clone()];
    let (mut found, mut ours) = (BTreeMap::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let needs = needs(&id);
        left.extend(needs.iter().cloned());
        if is_ours(&id) {
            ours.extend(needs.into_iter().filter(|id| !is_ours(id)));
            continue;
        }
        let package = &packages[&id];
        let one = Crate {
            name: text(&package["name"]),
            version: text(&package["version"]),
            licence: text(&package["license"]).replace('/', " OR "),
            repository: package["repository"].as_str().map(str::to_owned),
            manifest: text(&package["manifest_path"]),
            needs,
        };
        found.insert(id, one);
    }
    (found, ours)
}

/// The notices: names of the crates under the project's own licence, and the texts of other licences, each once.
fn notices(crates: &BTreeMap<String, Crate>) -> String {
    let mut under_ours = String::new();
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in crates.values() {
        let named = format!("{} {}", one.name, one.version);
        if one.offers_ours() {
            let at = one.repository.as_deref().unwrap_or_default();
            under_ours += format!("  {named:<32}{at}").trim_end();
            under_ours += "\n";
        }
        let texts = one.texts();
        assert!(
            one.offers_ours() || !texts.is_empty(),
            "{named} has no text"
        );
        for text in texts {
            others.entry(text).or_default().push(named.clone());
        }
    }
    let mut others: Vec<(String, String)> = others
        .into_iter()
        .map(|(text, names)| (names.join(", "), text))
        .collect();
    others.sort();
    let others = others.into_iter().map(|(names, text)| {
        let rule = "-".repeat(79);
        format!("{rule}\n{names}\n\n{}\n\n", text.trim_matches('\n'))
    });
    format!(
        "{HEAD}It holds these crates under the Apache License, Version 2.0:\n\n{under_ours}\n\
         It holds these crates under the licences that follow:\n\n{}",
        others.collect::<String>().trim_end().to_owned() + "\n"
    )
}

/// The SHA-256 of each crate's archive, by name and version, from Cargo.lock.
fn checksums() -> BTreeMap<(String, String), String> {
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").skip(1);
    let found = packages.filter_map(|package| {
        let value = |key: &str| {
            let (_, rest) = package.split_once(&format!("\n{key} = \""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    });
    found.collect()
}

/// The list of linked crates in the form of `CycloneDX` 1.6. It names neither a time nor a machine.
fn list(package: &str, crates: &BTreeMap<String, Crate>, ours: &BTreeSet<String>) -> String {
    let checksums = checksums();
    let root = format!("pkg:cargo/{package}@{}", env!("CARGO_PKG_VERSION"));
    let purls = |ids: &BTreeSet<String>| -> Vec<String> {
        ids.iter().map(|id| crates[id].purl()).collect()
    };
    let mut components = vec![
        json!({ "type": "library", "bom-ref": "glibc", "name": "glibc",
            "description": "GNU C Library, linked statically; its version is the builder's",
            "licenses": [{ "expression": "LGPL-2.1-or-later" }] }),
        json!({ "type": "library", "bom-ref": "rust-std", "name": "rust-std",
            "description": "Rust standard library; its version is the builder's",
            "licenses": [{ "expression": "MIT OR Apache-2.0" }] }),
    ];
    let mut direct = vec!["glibc".to_owned(), "rust-std".to_owned()];
    direct.extend(purls(ours));
    let mut dependencies = vec![json!({ "ref": root, "dependsOn": direct })];
    for one in crates.values() {
        let key = (one.name.clone(), one.version.clone());
        let mut component = json!({
            "type": "library",
            "bom-ref": one.purl(),
            "name": one.name,
            "version": one.version,
            "licenses": [{ "expression": one.licence }],
            "purl": one.purl(),
            "hashes": [{ "alg": "SHA-256", "content": checksums[&key] }],
        });
        if let Some(url) = &one.repository {
            component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
        }
        components.push(component);
        dependencies.push(json!({ "ref": one.purl(), "dependsOn": purls(&one.needs) }));
    }
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": root,
            "name": package,
            "version": env!("CARGO_PKG_VERSION"),
            "licenses": [{ "expression": OURS }],
            "purl": root,
        } },
        "components": components,
        "dependencies": dependencies,
    });
    format!("{list:#}\n")
}

#[test]
fn the_notices_are_of_what_is_linked_in() {
    let metadata = metadata();
    for (package, file) in [("linkspan", "NOTICES"), (NODE, "NOTICES.node")] {
        let (crates, ours) = linked(&metadata, package);
        generated::file_is_kept(&format!("deploy/notices/{file}"), &notices(&crates));
        let list = list(package, &crates, &ours);
        generated::file_is_kept(&format!("deploy/notices/{package}.cdx.json"), &list);
    }
}

#[test]
fn the_agents_clients_are_not_in_the_plugins_binary() {
    let metadata = metadata();
    let [plugins, agent] = ["linkspan", NODE].map(|package| linked(&metadata, package).0);
    for name in [
        "kube-client",
        "k8s-openapi",
        "hyper",
        "rustls",
        "ring",
        "futures-io",
    ] {
        let has = |crates: &BTreeMap<String, Crate>| crates.values().any(|one| one.name == name);
        assert!(has(&agent) && !has(&plugins), "{name}");
    }
}

#[test]
fn build_time_and_test_time_crates_are_not_linked_in() {
    let (crates, ours) = linked(&metadata(), "linkspan");
    let has = |name: &str| crates.values().any(|one| one.name == name);
    for linked in ["rtnetlink", "tokio", "clap", "serde_json", "nix"] {
        assert!(has(linked), "{linked}");
    }
    for not in [
        "syn",
        "serde_derive",
        "clap_mangen",
        "linkspan-plugin",
        "windows-sys",
    ] {
        assert!(!has(not), "{not}");
    }
    assert!(ours.iter().all(|id| crates.contains_key(id)));
    for one in crates.values() {
        assert!(
            one.needs.iter().all(|id| crates.contains_key(id)),
            "{one:?}"
        );
    }
}

#[test]
fn a_crate_is_taken_under_the_projects_licence_where_it_offers_it() {
    let one = |licence: &str| Crate {
        name: "x".to_owned(),
        version: "1.0.0".to_owned(),
        licence: licence.to_owned(),
        repository: None,
        manifest: String::new(),
        needs: BTreeSet::new(),
    };
    assert!(one("MIT OR Apache-2.0").offers_ours());
    assert!(one("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT").offers_ours());
    assert!(!one("Apache-2.0 WITH LLVM-exception").offers_ours());
    assert!(!one("Unlicense OR MIT").offers_ours());
    assert_eq!(one("MIT").purl(), "pkg:cargo/x@1.0.0");
}
