//! The types that decode configurations, with their documentation, read from the sources of our crates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::generated::ROOT;

/// A struct that decodes an object.
#[derive(Debug, Clone)]
pub(crate) struct Struct {
    name: String,
    file: PathBuf,
    pub(crate) fields: Vec<Field>,
}

/// A key of it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its name in configurations.
    pub(crate) key: String,
    pub(crate) kind: String,
    /// The documentation, without its default.
    pub(crate) meaning: String,
    pub(crate) default: Option<Default>,
}

/// The last sentence of a field's documentation, `Default: …`.
#[derive(Debug, Clone)]
pub(crate) enum Default {
    /// A value: a constant of the same file, or a literal.
    Value(String),
    /// Words, if the default is not a value.
    Words(String),
}

/// All structs of our crates.
pub(crate) struct Sources(BTreeMap<String, Vec<Struct>>);

impl Sources {
    pub(crate) fn read() -> Self {
        let mut all: BTreeMap<String, Vec<Struct>> = BTreeMap::new();
        for kind in ["shared", "plugins", "ipam"] {
            for folder in fs::read_dir(Path::new(ROOT).join(kind)).unwrap() {
                let folder = folder.unwrap().path();
                let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
                let (_, rest) = manifest.split_once("name = \"").unwrap();
                let (package, _) = rest.split_once('"').unwrap();
                let mut files = Vec::new();
                files_below(&folder.join("src"), &mut files);
                let structs = files.iter().flat_map(|file| structs(file));
                all.insert(package.replace('-', "_"), structs.collect());
            }
        }
        Self(all)
    }

    /// The struct with a path such as `linkspan_bridge::conf::Conf`.
    pub(crate) fn at(&self, path: &str) -> &Struct {
        let (package, name) = (path.split("::").next(), path.rsplit("::").next());
        let package = &self.0[package.unwrap()];
        let mut found = package.iter().filter(|one| one.name == name.unwrap());
        let one = found.next();
        assert!(found.next().is_none(), "two structs are {path}");
        one.unwrap_or_else(|| panic!("no source has {path}"))
    }

    /// The struct that a field of `of` decodes, through lists and options; the nearest one with its name.
    pub(crate) fn inside(&self, of: &Struct, field: &Field) -> Option<&Struct> {
        let name = field.kind.rsplit('<').next()?.trim_end_matches('>');
        let all = || self.0.values().flatten().filter(|one| one.name == name);
        let folder = of.file.ancestors().find(|dir| dir.ends_with("src"))?;
        all()
            .find(|one| one.file == of.file)
            .or_else(|| all().find(|one| one.file.starts_with(folder)))
            .or_else(|| all().next())
    }
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The structs of a file that decode configurations, in rustfmt's form.
fn structs(file: &Path) -> Vec<Struct> {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("mod tests {").next().unwrap();
    let mut found = Vec::new();
    for item in text
        .split("\n\n")
        .filter(|item| item.contains("Deserialize)]\n"))
    {
        let mut lines = item.lines();
        let head = lines.find(|line| !line.starts_with("//") && line.contains("struct "));
        let head = head.and_then(|line| line.split_once("struct "));
        let Some((name, _)) = head.and_then(|(_, rest)| rest.split_once(" {")) else {
            continue;
        };
        found.push(Struct {
            name: name.to_owned(),
            file: file.to_owned(),
            fields: fields(text, item.contains("camelCase"), lines),
        });
    }
    found
}

fn fields(file: &str, camel: bool, body: std::str::Lines<'_>) -> Vec<Field> {
    let mut fields = Vec::new();
    let (mut doc, mut renamed) = (String::new(), None);
    for line in body.map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with("#[") {
            let name = line.split_once("rename = \"").map(|(_, rest)| rest);
            renamed = name.and_then(|rest| rest.split('"').next()).or(renamed);
        } else if let Some((name, kind)) = line.split_once(": ") {
            let name = name.rsplit(' ').next().unwrap();
            let key = match renamed.take() {
                Some(renamed) => renamed.to_owned(),
                None if camel => camel_case(name),
                None => name.to_owned(),
            };
            let (meaning, default) = split(file, doc.trim());
            fields.push(Field {
                key,
                kind: kind.trim_end_matches(',').to_owned(),
                meaning,
                default,
            });
            doc.clear();
        }
    }
    fields
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(1);
        name + &head.to_uppercase() + tail
    })
}

/// The documentation and the default in it. A constant is replaced by its value.
fn split(file: &str, doc: &str) -> (String, Option<Default>) {
    let Some((meaning, default)) = doc.split_once("Default: ") else {
        return (doc.to_owned(), None);
    };
    let strip = |open, close| {
        let inside = default.strip_prefix(open)?;
        inside.strip_suffix(close)
    };
    let default = match (strip("[`", "`]"), strip("`", "`")) {
        (Some(constant), _) => Default::Value(value_of(file, constant)),
        (_, Some(literal)) => Default::Value(literal.to_owned()),
        _ => Default::Words(default.to_owned()),
    };
    (meaning.trim().to_owned(), Some(default))
}

fn value_of(file: &str, constant: &str) -> String {
    let (_, rest) = file
        .split_once(&format!("const {constant}: "))
        .unwrap_or_else(|| panic!("no constant {constant} beside the type"));
    let (_, value) = rest.split_once(" = ").unwrap();
    let (value, _) = value.split_once(';').unwrap();
    value.trim_matches('"').to_owned()
}
