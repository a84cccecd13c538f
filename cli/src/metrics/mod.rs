//! `linkspan metrics`: the node in numbers, for Prometheus. All of it is on disk and in the kernel, so no daemon keeps it.

mod calls;
mod state;
mod text;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use linkspan_runtime::Result;
use serde_json::Value;

use crate::doctor::{self, Places};
use crate::output;

use self::text::Family;

/// The mode of the file: a collector is another user.
const READABLE: u32 = 0o644;

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Write the text into a file, by rename, as the textfile collector of Prometheus' node exporter reads it: its name ends with .prom
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// The directory in which plugins count their calls: the one that the engine's environment names for telemetry
    #[arg(long, value_name = "DIR", default_value = "/run/linkspan")]
    counters: PathBuf,
}

/// Prints the numbers or writes them into the file.
pub(crate) fn run(
    out: &mut dyn Write,
    places: Places<'_>,
    args: &MetricsArgs,
    as_json: bool,
) -> Result<()> {
    let families = all(places, &args.counters)?;
    if let Some(file) = &args.textfile {
        let text = text::exposition(&families);
        linkspan_draft::replace(file, text.as_bytes(), READABLE)
            .map_err(linkspan_runtime::io(format!("write {}", file.display())))?;
    }
    if as_json {
        let rows: Vec<Value> = families.iter().flat_map(Family::json).collect();
        return output::rows(out, &rows);
    }
    match &args.textfile {
        Some(_) => Ok(()),
        None => output::text(out, &text::exposition(&families)),
    }
}

fn all(places: Places<'_>, counters: &Path) -> Result<Vec<Family>> {
    let counted = (places.suite.counted)(counters)?;
    let examined = doctor::examine(places)?;
    let mut families = vec![build()];
    families.extend(state::families(&examined)?);
    families.extend(calls::families(&counted));
    Ok(families)
}

fn build() -> Family {
    let mut info = Family::gauge("linkspan_build_info", "The version of linkspan; always 1.");
    info.add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    info
}
