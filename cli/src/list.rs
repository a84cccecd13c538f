//! `linkspan list`: the attachments in the cache, and whether their namespaces live.

use std::io::Write;

use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::wire;
use linkspan_runtime::Result;
use linkspan_runtime::cache::{Cache, Entry};
use linkspan_runtime::chain::reparse;
use linkspan_runtime::lives::Lives;
use serde_json::{Value, json};

use crate::columns::align;

const HEADING: [&str; 5] = [
    "NETWORK",
    "CONTAINER",
    "INTERFACE",
    "NAMESPACE",
    "ADDRESSES",
];

/// Prints the attachments, as a table or as JSON. Returns a failure for each unreadable file.
pub(crate) fn run(out: &mut dyn Write, cache: &Cache, as_json: bool) -> Result<Vec<Failure>> {
    let listing = cache.all()?;
    let lives = Lives::now(cache);
    let told = listing.entries.iter().map(|entry| (entry, lives.of(entry)));
    let text = if as_json {
        let all: Vec<Value> = told.map(object).collect();
        format!("{:#}\n", json!(all))
    } else {
        align(HEADING, told.map(row).collect())
    };
    out.write_all(text.as_bytes())
        .map_err(linkspan_runtime::io("print"))?;
    let unreadable = listing.unreadable.into_iter().map(|path| {
        let told = format!("{} is not a remembered attachment", path.display());
        Failure::new(ErrorCode::DECODING, told).hint("remove the file if it is not needed")
    });
    Ok(unreadable.collect())
}

fn object((entry, life): (&Entry, Life)) -> Value {
    json!({
        "network": entry.network_name,
        "container": entry.container_id,
        "interface": entry.if_name,
        "addresses": addresses(entry),
        "netns": entry.netns,
        "sandbox": sandbox(entry),
        "alive": match life {
            Life::Alive => Some(true),
            Life::Gone => Some(false),
            Life::Unknown => None,
        },
    })
}

fn row((entry, life): (&Entry, Life)) -> [String; 5] {
    let namespace = match life {
        Life::Alive => "alive",
        Life::Gone => "gone",
        Life::Unknown => "unknown",
    };
    [
        entry.network_name.clone(),
        entry.container_id.clone(),
        entry.if_name.clone(),
        namespace.to_owned(),
        addresses(entry).join(" "),
    ]
}

/// The sandbox as an engine with a CRI names it. Other arguments of ADD may be secrets.
fn sandbox(entry: &Entry) -> Option<&str> {
    let mut args = entry.cni_args.iter();
    let named = args.find(|(name, _)| name == "K8S_POD_INFRA_CONTAINER_ID");
    named.map(|(_, id)| id.as_str())
}

/// Empty where the result has none, or cannot be decoded.
fn addresses(entry: &Entry) -> Vec<String> {
    let decoded = entry
        .result
        .as_ref()
        .and_then(|result| wire::decode(&reparse(result).ok()?, "").ok());
    let ips = decoded.map(|(result, _)| result.ips).unwrap_or_default();
    ips.iter().map(|ip| ip.address.to_string()).collect()
}
