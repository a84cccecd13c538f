//! `linkspan list`: the attachments in the cache, and whether their namespaces live.

use std::io::Write;

use clap::Args;
use linkspan_owner::life::Life;
use linkspan_protocol::error::Failure;
use linkspan_runtime::Result;
use linkspan_runtime::cache::Cache;
use serde_json::{Value, json};

use crate::attachments::{Attached, all, short, state};
use crate::columns::align;
use crate::graph::{self, Form, Subject};
use crate::output::{self, with};
use crate::suite::Port;

/// Reads the published ports.
type Ports = fn() -> Result<Vec<Port>>;

const HEADING: [&str; 6] = [
    "NETWORK",
    "CONTAINER",
    "POD",
    "INTERFACE",
    "NAMESPACE",
    "ADDRESSES",
];

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Text that the id, the pod, the namespace or an address contains
    text: Option<String>,
    /// Of this network alone
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Those alone whose namespace is gone
    #[arg(long)]
    gone: bool,
    /// Ids in their whole length
    #[arg(long)]
    no_trunc: bool,
    /// As a picture: the host's links, the pods on them, addresses, routes and published ports; by default as text
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    graph: Option<Form>,
}

impl ListArgs {
    fn takes(&self, one: &Attached) -> bool {
        let is_of = |name: &String| one.entry.network_name == *name;
        let has = |text: &String| {
            let names = [
                one.entry.container_id.clone(),
                one.entry.netns.clone(),
                one.name(),
            ];
            let mut names = names.into_iter().chain(one.addresses());
            names.any(|name| name.contains(text))
        };
        self.network.as_ref().is_none_or(is_of)
            && (!self.gone || one.life == Life::Gone)
            && self.text.as_ref().is_none_or(has)
    }
}

/// Prints the attachments, as a table, as a picture or as JSON. Returns a failure for each thing that cannot be read.
pub(crate) fn run(
    out: &mut dyn Write,
    cache: &Cache,
    args: &ListArgs,
    as_json: bool,
    ports: Ports,
) -> Result<Vec<Failure>> {
    let (mut every, mut unreadable) = all(cache)?;
    let known = every.len();
    every.retain(|one| args.takes(one));
    if let Some(form) = args.graph {
        // A picture has no ports where they cannot be read, and says so.
        let published = ports().unwrap_or_else(|failure| {
            unreadable.push(failure);
            Vec::new()
        });
        let subject = Subject {
            attached: &every,
            ports: &published,
            is_whole: every.len() == known,
        };
        graph::run(out, subject, form, as_json)?;
        return Ok(unreadable);
    }
    if as_json {
        let rows: Vec<Value> = every.iter().map(object).collect();
        output::rows(out, &rows)?;
        return Ok(unreadable);
    }
    let rows = every.iter().map(|one| row(one, args.no_trunc));
    let mut text = align(HEADING, rows.collect());
    let doubts: Vec<String> = every.iter().filter_map(Attached::doubt).collect();
    if !doubts.is_empty() {
        text = format!("{text}\n{}\n", doubts.join("\n"));
    }
    output::text(out, &text)?;
    Ok(unreadable)
}

fn object(one: &Attached) -> Value {
    let alive = match one.life {
        Life::Alive => Some(true),
        Life::Gone => Some(false),
        Life::Unknown => None,
    };
    with(
        one.json(),
        &json!({ "addresses": one.addresses(), "alive": alive, "doubt": one.doubt(), "sandbox": one.sandbox() }),
    )
}

fn row(one: &Attached, is_whole: bool) -> [String; 6] {
    [
        one.entry.network_name.clone(),
        short(&one.entry.container_id, is_whole),
        one.name(),
        one.entry.if_name.clone(),
        state(one.life).to_owned(),
        one.addresses().join(" "),
    ]
}
