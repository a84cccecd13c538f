//! The cost of plugins, measured as whole processes: `cargo run --release -p linkspan-bench`.
//!
//! A [`scenario::Scenario`] is a sequence of operations, [`measure`] repeats it and takes the times, [`report`] prints
//! them. Under a plugin's name the program is that plugin, so one build suffices.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is a program for people: it prints, and gives up where it cannot go on"
)]

mod beside;
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
use crowd::Throughput;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_plugin::Entry;
use measure::{Effort, Figure, measure};
use nix::unistd::mkdtemp;
use scenario::{Scenario, Who};
use serde_json::json;

/// The plugins in this program.
const ENTRIES: &[&Entry] = &[
    &linkspan_bridge::ENTRY,
    &linkspan_firewall::ENTRY,
    &linkspan_host_local::ENTRY,
    &linkspan_loopback::ENTRY,
    &linkspan_portmap::ENTRY,
    &linkspan_tuning::ENTRY,
    &linkspan_veth::ENTRY,
];

/// The name under which this program ends at once.
const NOTHING: &str = "nothing";

/// Measures the cost of plugins, as whole processes, in namespaces of its own.
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
    /// Seconds after which a case ends, with three rounds at least
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    patience: u64,
    /// The most pods on one node, to see whether the 100th, the 1,000th and the 2,000th are as fast as the 10th
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pods: usize,
    /// Runtimes that attach pods at once, one number after the other
    #[arg(
        long,
        value_name = "N",
        default_value = "32,100",
        value_delimiter = ','
    )]
    runtimes: Vec<usize>,
    /// Also measure host-local with pools of up to 65,533 leases, which take a minute or two to fill
    #[arg(long)]
    pools: bool,
    /// Directory for all files; the default is the directory for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the cases whose name contains this text
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
    start_loopback();
    let scratch = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = mkdtemp(&scratch.join("linkspan-bench-XXXXXX")).unwrap();
    let (figures, throughput) = everything(&options, &scratch);
    std::fs::remove_dir_all(&scratch).unwrap();
    let own = options.plugins.as_ref().map(|dir| dir.join("bridge"));
    let machine = report::machine(&own.unwrap_or_else(|| "/proc/self/exe".into()));
    println!("{machine}\n\n{}", report::table(&figures));
    for Throughput {
        who,
        runtimes,
        per_second,
    } in &throughput
    {
        println!(
            "{runtimes} runtimes at once, {who}: {per_second:.0} pods attached and detached per second"
        );
    }
    if let Some(file) = options.json {
        let told = |all: &Throughput| {
            json!({
                "who": all.who.to_string(),
                "runtimes": all.runtimes,
                "podsPerSecond": all.per_second,
            })
        };
        let throughput: Vec<_> = throughput.iter().map(told).collect();
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

/// Sets the loopback interface up, in the thread's namespace.
fn start_loopback() {
    let lo = Rtnl::here()
        .and_then(|host| host.link_by_name("lo"))
        .unwrap();
    lo.unwrap().set_up().unwrap();
}

/// Every case that the options request.
fn everything(options: &Options, scratch: &Path) -> (Vec<Figure>, Vec<Throughput>) {
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
    let (effort, scales) = (
        Effort {
            rounds: options.rounds,
            patience: options.patience,
        },
        links.join(process::SCALES),
    );
    let mut figures = Vec::new();
    for mut scenarios in groups(&places, &links, options.pools) {
        scenarios.retain(|scenario| scenario.case().contains(&options.only));
        figures.extend(measure(&mut scenarios, effort, &scales));
    }
    let (only, pods) = (&options.only, options.pods);
    for place in &places {
        figures.extend(crowd::growth(place, pods, only, (effort, &scales)));
    }
    let mut throughput = Vec::new();
    let mut runtimes = options.runtimes.clone();
    runtimes.retain(|many| crowd::at_once(*many).contains(only));
    for many in runtimes {
        for place in &places {
            let (of_place, per_second) = crowd::parallel(place, many, 5);
            figures.extend(of_place);
            throughput.push(per_second);
        }
    }
    (figures, throughput)
}

/// Scenarios that alternate. Scenarios that would disturb others come last.
fn groups(places: &[Place<'_>], links: &Path, large: bool) -> Vec<Vec<Box<dyn Scenario>>> {
    let mut together: Vec<Box<dyn Scenario>> = Vec::new();
    for place in places {
        let chains = cases::chains(place).into_iter();
        together.extend(chains.map(|chain| -> Box<dyn Scenario> { Box::new(chain) }));
    }
    together.extend(floor::floors());
    // After processes that leave the kernel nothing to clean up.
    together.insert(3, Box::new(chain::Nothing(links.join(NOTHING))));
    let many = together.extract_if(.., |scenario| cases::is_large(&scenario.case()));
    let many = many.collect();
    let mut groups = vec![together, many];
    for place in places {
        let crowded = cases::crowded(place).into_iter();
        groups.extend(crowded.map(|case| -> Vec<Box<dyn Scenario>> { vec![Box::new(case)] }));
    }
    let pools = |pools: &'static [host_local::Pool]| {
        let of = move |place: &Place<'_>| {
            host_local::scenarios(place.who, place.dir, place.scratch, pools)
        };
        places.iter().map(of).collect::<Vec<_>>()
    };
    groups.extend(pools(&host_local::NODE));
    if large {
        groups.extend(pools(&host_local::LARGE));
        let scratch = places.first().map(|place| place.scratch);
        let sync = scratch.map(host_local::Sync::new);
        groups.push(
            sync.into_iter()
                .map(|sync| -> Box<dyn Scenario> { Box::new(sync) })
                .collect(),
        );
    }
    groups
}

/// A directory with all names of this program, installed as plugins are: hard links to one copy. The linker's own file
/// is in the page cache in pieces, and starts a fifth slower.
fn links(scratch: &Path) -> PathBuf {
    let bin = scratch.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let copy = scratch.join("copy");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let plugins = ENTRIES.iter().flat_map(|entry| entry.names).copied();
    for name in plugins.chain([NOTHING, process::SCALES]) {
        std::fs::hard_link(&copy, bin.join(name)).unwrap();
    }
    bin
}
