//! The meaning of each key of a configuration: tables for people in `docs`, descriptions for editors in `schemas`.
//!
//! The keys and their types are a plugin type's requests to its deserializer. Meanings and defaults are from the
//! documentation of the type's fields; a key without one fails the test.

use linkspan_plugin::Entry;
use linkspan_protocol::conf::standard_schema;
use linkspan_protocol::schema::Schema;
use serde_json::{Value, json};

use crate::sources::{Default, Field, Sources, Struct};
use crate::{ENTRIES, generated};

/// The types that decode the keys of every plugin.
const COMMON: [&str; 2] = [
    "linkspan_protocol::conf::NetConf",
    "linkspan_protocol::conf::OpenKeys",
];

/// The part of the document about these keys.
const EVERY: &str = "every plugin";

const DOCUMENT: &str = "docs/configuration.md";

#[test]
fn every_key_is_in_the_document() {
    let sources = Sources::read();
    let common = Table::of(&sources, &COMMON, &standard_schema());
    let mut parts = vec![(EVERY.to_owned(), common)];
    parts.extend(ENTRIES.iter().map(|entry| {
        let table = Table::of(&sources, &[entry.conf()], &entry.schema());
        (entry.names[0].to_owned(), table)
    }));
    let text = generated::with_parts(DOCUMENT, &parts);
    generated::file_is_kept(DOCUMENT, &text);
}

/// The JSON Schema of a plugin, with descriptions and defaults.
pub(crate) fn described(sources: &Sources, entry: &Entry) -> Value {
    let schema = entry.schema();
    let mut json = schema.to_json();
    let types = [entry.conf()].into_iter().chain(COMMON);
    let types: Vec<&Struct> = types.map(|path| sources.at(path)).collect();
    describe(sources, &types, &mut json);
    json
}

/// Describes the properties of an object that one of `types` decodes.
fn describe(sources: &Sources, types: &[&Struct], json: &mut Value) {
    let properties = json.get_mut("properties").and_then(Value::as_object_mut);
    for (key, property) in properties.into_iter().flatten() {
        let mut found = Vec::new();
        for one in types {
            let fields = one.fields.iter();
            found.extend(
                fields
                    .filter(|field| field.key == *key)
                    .map(|field| (*one, field)),
            );
        }
        let (_, field) = found[0];
        property["description"] = json!(told(field));
        if let Some(default) = value(field, property) {
            property["default"] = default;
        }
        let inside = found
            .iter()
            .filter_map(|(of, field)| sources.inside(of, field));
        let inside: Vec<_> = inside.collect();
        describe(sources, &inside, innermost(property));
    }
}

/// The property itself, or the elements of its lists.
fn innermost(property: &mut Value) -> &mut Value {
    if property["items"].is_null() {
        return property;
    }
    innermost(&mut property["items"])
}

fn told(field: &Field) -> String {
    match &field.default {
        Some(Default::Words(words)) => format!("{} Default: {words}", field.meaning),
        _ => field.meaning.clone(),
    }
}

fn value(field: &Field, property: &Value) -> Option<Value> {
    let is = |kind: &str| property["type"][0] == kind;
    let is_text = is("string") || property.get("enum").is_some();
    match &field.default {
        Some(Default::Value(text)) if is_text => Some(json!(text)),
        Some(Default::Value(text)) => Some(serde_json::from_str(text).unwrap()),
        None if is("boolean") => Some(json!(false)),
        _ => None,
    }
}

/// The table of keys while it is written.
struct Table<'a> {
    sources: &'a Sources,
    rows: String,
    /// The key at which each type was described.
    told: Vec<(&'a Struct, String)>,
}

impl<'a> Table<'a> {
    fn of(sources: &'a Sources, types: &[&str], schema: &Schema) -> String {
        let mut table = Self {
            sources,
            rows: String::new(),
            told: Vec::new(),
        };
        for path in types {
            table.add(sources.at(path), schema, "");
        }
        match table.rows.as_str() {
            "" => "It has no keys of its own.\n".to_owned(),
            rows => format!("| Key | Type | Default | Meaning |\n|---|---|---|---|\n{rows}"),
        }
    }

    /// The keys of an object that `of` decodes.
    fn add(&mut self, of: &'a Struct, schema: &Schema, path: &str) {
        for field in &of.fields {
            let key = format!("{path}{}", field.key);
            let schema = schema.key(&field.key);
            let schema = schema.unwrap_or_else(|| panic!("nothing decodes {key}"));
            assert!(!field.meaning.is_empty(), "{key} has no documentation");
            let inside = self.sources.inside(of, field);
            match inside {
                Some(inside) => self.nested(inside, field, schema, &key),
                None => self.row(&key, &kind(schema, &field.kind), field, schema),
            }
        }
    }

    /// A key with objects that `inside` decodes: the object itself, or elements of a list. Their keys are described
    /// once.
    fn nested(&mut self, inside: &'a Struct, field: &Field, schema: &Schema, key: &str) {
        let mut told = self.told.iter();
        if let Some((_, first)) = told.find(|(known, _)| std::ptr::eq(*known, inside)) {
            let kind = format!("as `{first}`");
            return self.row(key, &kind, field, schema);
        }
        self.told.push((inside, key.to_owned()));
        // The keys of an object describe it.
        if !matches!(schema, Schema::Object(_)) {
            self.row(key, &kind(schema, &field.kind), field, schema);
        }
        let (mut element, mut path) = (schema, key.to_owned());
        while let Schema::Array(items) = element {
            (element, path) = (items, path + "[]");
        }
        self.add(inside, element, &(path + "."));
    }

    fn row(&mut self, key: &str, kind: &str, field: &Field, schema: &Schema) {
        let default = match &field.default {
            Some(Default::Value(text)) => format!("`{text}`"),
            Some(Default::Words(words)) => words.clone(),
            None if *schema == Schema::Bool => "`false`".to_owned(),
            None => "–".to_owned(),
        };
        let meaning = &field.meaning;
        let row = format!("| `{key}` | {kind} | {default} | {meaning} |\n");
        self.rows.push_str(&row);
    }
}

/// The kind of a value; the Rust type tells strings apart.
fn kind(schema: &Schema, rust: &str) -> String {
    let text = match schema {
        Schema::Word(words) => {
            // An empty word means none.
            let told = words.iter().filter(|word| !word.is_empty());
            let words: Vec<_> = told.map(|word| format!("`{word}`")).collect();
            return words.join(", ");
        }
        Schema::Array(items) => {
            let items = kind(items, rust).replacen("list", "lists", 1);
            let plural = if items.starts_with("lists") { "" } else { "s" };
            return format!("list of {items}{plural}");
        }
        Schema::Any => "any",
        Schema::Bool => "bool",
        Schema::Integer { .. } => "int",
        Schema::Number => "number",
        Schema::Text if rust.contains("Cidr") => "CIDR",
        Schema::Text if rust.contains("IpAddr") => "address",
        Schema::Text => "string",
        Schema::Map(_) | Schema::Object(_) => "object",
    };
    text.to_owned()
}
