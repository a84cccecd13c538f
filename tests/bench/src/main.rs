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

mod cases;
mod chain;
mod chart;
mod crowd;
mod floor;
mod host_local;
mod measure;
mod process;
mod report;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cases::Place;
use clap::Parser;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::{Context, Rtnl};
use linkspan_plugin::Entry;
use measure::{Effort, Figure, measure};
use nix::unistd::mkdtemp;
use scenario::{Scenario, Who};
use serde_json::json;

/// The plugins that this program can be.
const ENTRIES: &[&Entry] = &[
    &linkspan_bridge::ENTRY,
    &linkspan_host_local::ENTRY,
    &linkspan_loopback::ENTRY,
    &linkspan_portmap::ENTRY,
    &linkspan_veth::ENTRY,
];

/// The name under which this program ends at once.
const NOTHING: &str = "nothing";

/// Measures what the plugins cost, as whole processes, in namespaces of its own.
#[derive(Debug, Parser)]
struct Options {
    /// Measure the plugins of this directory instead of those built into the benchmark
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Measure the plugins of this directory, too, for comparison (such as /usr/lib/cni)
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// Rounds per case
    #[arg(long, value_name = "N", default_value_t = 200)]
    rounds: usize,
    /// Seconds after which a case is over, whatever rounds it has had (but three)
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    patience: u64,
    /// Pods that are attached to one bridge, to see whether the last one is as fast as the tenth
    #[arg(long, value_name = "N", default_value_t = 300)]
    pods: usize,
    /// Runtimes that attach pods at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    runtimes: usize,
    /// Also measure host-local with pools of up to 65,533 leases, which take a minute or two to fill
    #[arg(long)]
    pools: bool,
    /// Where the files of all this are kept; the default is the directory for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the cases whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw the medians as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = PathBuf::from(args.next().unwrap_or_default());
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    if name == NOTHING {
        return ExitCode::SUCCESS;
    }
    if name == process::SCALES {
        return process::weigh(args);
    }
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.names.contains(&&*name)) {
        return linkspan_plugin::process::run_among(ENTRIES, entry);
    }
    let options = Options::parse();
    Netns::isolate().unwrap();
    let lo = Rtnl::here(&Context::new().unwrap())
        .and_then(|host| host.link_by_name("lo"))
        .unwrap();
    lo.unwrap().set_up().unwrap();
    let scratch = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = mkdtemp(&scratch.join("linkspan-bench-XXXXXX")).unwrap();
    let (figures, throughput) = everything(&options, &scratch);
    std::fs::remove_dir_all(&scratch).unwrap();
    let machine = report::machine();
    println!("{machine}\n\n{}", report::table(&figures));
    for (who, per_second) in &throughput {
        let runtimes = options.runtimes;
        println!(
            "{runtimes} runtimes at once, {who}: {per_second:.0} pods attached and detached per second"
        );
    }
    if let Some(file) = options.json {
        let throughput: Vec<_> = throughput
            .iter()
            .map(|(who, n)| json!({ "who": who.to_string(), "podsPerSecond": n }))
            .collect();
        let all = json!({
            "machine": machine,
            "throughput": throughput,
            "figures": report::json(&figures),
        });
        std::fs::write(file, format!("{all:#}\n")).unwrap();
    }
    if let Some(file) = options.svg {
        std::fs::write(file, chart::svg(&figures)).unwrap();
    }
    ExitCode::SUCCESS
}

/// All that the options ask for, and the throughput of each suite.
fn everything(options: &Options, scratch: &Path) -> (Vec<Figure>, Vec<(Who, f64)>) {
    let links = links(scratch);
    let ours = options.plugins.as_deref().unwrap_or(&links);
    let mut suites = vec![(Who::Ours, ours)];
    suites.extend(options.compare.as_deref().map(|dir| (Who::Theirs, dir)));
    let places: Vec<Place<'_>> = suites
        .iter()
        .zip(1..)
        .map(|((who, dir), number)| Place {
            who: *who,
            dir,
            scratch,
            number,
        })
        .collect();
    // Those that are compared take turns; what would disturb them comes after.
    let mut together: Vec<Box<dyn Scenario>> = Vec::new();
    for place in &places {
        let chains = cases::chains(place).into_iter();
        together.extend(chains.map(|chain| -> Box<dyn Scenario> { Box::new(chain) }));
    }
    together.extend(floor::floors());
    // Behind processes that leave the kernel nothing to clear up.
    together.insert(3, Box::new(chain::Nothing(links.join(NOTHING))));
    let many = together.extract_if(.., |scenario| scenario.case() == cases::THOUSAND);
    let many = many.collect();
    let mut groups = vec![together, many];
    if options.pools {
        let pools = |(who, dir): &(Who, &Path)| host_local::scenarios(*who, dir, scratch);
        groups.extend(suites.iter().map(pools));
        groups.push(vec![Box::new(host_local::Sync::new(scratch))]);
    }
    let (effort, scales) = (
        Effort {
            rounds: options.rounds,
            patience: options.patience,
        },
        links.join(process::SCALES),
    );
    let mut figures = Vec::new();
    for mut scenarios in groups {
        scenarios.retain(|scenario| scenario.case().contains(&options.only));
        figures.extend(measure(&mut scenarios, effort, &scales));
    }
    let mut throughput = Vec::new();
    if options.only.is_empty() {
        figures.extend(
            places
                .iter()
                .take(1)
                .flat_map(|place| crowd::growth(place, options.pods)),
        );
        for place in &places {
            let (of_place, per_second) = crowd::parallel(place, options.runtimes, 5);
            figures.extend(of_place);
            throughput.push((place.who, per_second));
        }
    }
    (figures, throughput)
}

/// A directory in which this program has every name that it answers to.
fn links(scratch: &Path) -> PathBuf {
    let bin = scratch.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let exe = std::env::current_exe().unwrap();
    let plugins = ENTRIES.iter().flat_map(|entry| entry.names).copied();
    for name in plugins.chain([NOTHING, process::SCALES]) {
        std::os::unix::fs::symlink(&exe, bin.join(name)).unwrap();
    }
    bin
}
