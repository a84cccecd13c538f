//! What the plugins cost, measured as whole processes: `cargo run --release -p linkspan-bench`.
//!
//! A [`scenario::Scenario`] says what is done, [`measure`] does it round by round and takes the times, [`report`]
//! prints them. Started under a plugin's name the program is that plugin, so one build is all that it takes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is a program for people: it prints, and gives up where it cannot go on"
)]

mod host_local;
mod measure;
mod report;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use linkspan_plugin::Entry;
use nix::unistd::mkdtemp;

/// The plugins that this program can be.
static ENTRIES: [&Entry; 1] = [&linkspan_host_local::ENTRY];

/// Measures what the plugins cost, as whole processes.
#[derive(Debug, Parser)]
struct Options {
    /// Measure the plugins of this directory instead of those built into the benchmark
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Measure the plugins of this directory, too, for comparison (such as /usr/lib/cni)
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// Rounds per scenario
    #[arg(long, value_name = "N", default_value_t = 3000)]
    rounds: usize,
    /// Seconds after which a scenario is over, whatever rounds it has had (but five)
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Where the scenarios keep their files; the default is the directory for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the scenarios whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name);
    let entry = ENTRIES.iter().find(|entry| {
        entry
            .names
            .iter()
            .any(|known| name.is_some_and(|name| name == *known))
    });
    if let Some(entry) = entry {
        return linkspan_plugin::process::run(entry);
    }
    let options = Options::parse();
    let scratch = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = mkdtemp(&scratch.join("linkspan-bench-XXXXXX")).unwrap();
    let ours = options.plugins.clone().unwrap_or_else(|| links(&scratch));
    // Those that are compared take turns; what would disturb them comes after.
    let mut groups = vec![host_local::scenarios("linkspan", &ours, &scratch)];
    if let Some(dir) = &options.compare {
        groups.push(host_local::scenarios("compared", dir, &scratch));
    }
    groups.push(vec![Box::new(host_local::Sync::new(&scratch))]);
    let mut figures = Vec::new();
    for mut scenarios in groups {
        scenarios.retain(|scenario| scenario.name().contains(&options.only));
        figures.extend(measure::measure(
            &mut scenarios,
            options.rounds,
            options.patience,
        ));
    }
    std::fs::remove_dir_all(&scratch).unwrap();
    if options.json {
        println!("{:#}", report::json(&figures));
    } else {
        print!("{}", report::table(&figures));
    }
    ExitCode::SUCCESS
}

/// A directory in which this program has every plugin's name.
fn links(scratch: &Path) -> PathBuf {
    let bin = scratch.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let exe = std::env::current_exe().unwrap();
    for name in ENTRIES.iter().flat_map(|entry| entry.names) {
        std::os::unix::fs::symlink(&exe, bin.join(name)).unwrap();
    }
    bin
}
