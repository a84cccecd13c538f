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

mod aims;
mod beside;
mod cases;
mod chain;
mod chart;
mod crowd;
mod floor;
mod host_local;
mod measure;
mod netavark;
mod options;
mod process;
mod report;
mod requests;
mod scenario;
mod spread;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aims::Measured;
use cases::Place;
use clap::Parser;
use crowd::Throughput;
use linkspan_harness::conf::with;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_plugin::Entry;
use measure::{Effort, Figure, measure};
use netavark::Netavark;
use nix::unistd::mkdtemp;
use options::Options;
use scenario::{Scenario, Who};
use serde_json::json;

/// The plugins in this program.
const ENTRIES: &[&Entry] = &[
    &linkspan_bandwidth::ENTRY,
    &linkspan_bridge::ENTRY,
    &linkspan_firewall::ENTRY,
    &linkspan_host_local::ENTRY,
    &linkspan_loopback::ENTRY,
    &linkspan_macvlan::ENTRY,
    &linkspan_portmap::ENTRY,
    &linkspan_tuning::ENTRY,
    &linkspan_veth::ENTRY,
];

/// The name under which this program ends at once.
const NOTHING: &str = "nothing";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = PathBuf::from(args.next().unwrap_or_default());
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    if name == NOTHING {
        return ExitCode::SUCCESS;
    }
    if name == floor::ASKER {
        return floor::ask(args);
    }
    if name == process::SCALES {
        return process::weigh(args);
    }
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.names.contains(&&*name)) {
        return linkspan_plugin::process::run_among(ENTRIES, entry);
    }
    let options = Options::parse();
    Netns::isolate().unwrap();
    start_node();
    let scratch = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = mkdtemp(&scratch.join("linkspan-bench-XXXXXX")).unwrap();
    let (figures, throughput) = everything(&options, &scratch);
    std::fs::remove_dir_all(&scratch).unwrap();
    report(options, &figures, &throughput);
    ExitCode::SUCCESS
}

/// Tells what was measured, and keeps it where the options say.
fn report(options: Options, figures: &[Figure], throughput: &[Throughput]) {
    let own = options.plugins.as_ref().map(|dir| dir.join("bridge"));
    let size = own
        .as_ref()
        .map(|own| std::fs::metadata(own).unwrap().len());
    let mut machine = report::machine(&own.unwrap_or_else(|| "/proc/self/exe".into()));
    if figures.iter().any(|figure| figure.who == Who::Netavark) {
        machine = with(
            machine,
            &json!({ "netavark": Netavark::version(&options.netavark) }),
        );
    }
    println!("{machine}\n\n{}", report::table(figures));
    for told in throughput {
        println!("{told}");
    }
    let measured = Measured {
        figures,
        throughput,
        size,
    };
    let aims = aims::json(measured, options.before.as_deref());
    println!("\n{}", aims::lines(&aims));
    if let Some(file) = options.json {
        let all = json!({
            "machine": machine,
            "aims": aims,
            "throughput": throughput.iter().map(Throughput::json).collect::<Vec<_>>(),
            "figures": report::json(figures),
        });
        std::fs::write(file, format!("{all:#}\n")).unwrap();
    }
    if let Some(file) = options.svg {
        std::fs::write(file, chart::svg(figures)).unwrap();
    }
}

/// Makes the thread's namespace a node that is in use: its loopback interface is up, and it forwards IPv6. Then the kernel
/// has more to do for the end of a link whose address of IPv6 has been used.
fn start_node() {
    let lo = Rtnl::here()
        .and_then(|host| host.link_by_name("lo"))
        .unwrap();
    lo.unwrap().set_up().unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
}

/// Every case that the options request.
fn everything(options: &Options, scratch: &Path) -> (Vec<Figure>, Vec<Throughput>) {
    let links = links(scratch);
    let ours = options.plugins.as_deref().unwrap_or(&links);
    let mut suites = vec![(Who::Ours, ours)];
    suites.extend(options.compare.iter().map(|peer| (peer.who, &*peer.dir)));
    if options.compare.iter().any(|peer| peer.who == Who::Nftables) && !cases::make_path(scratch) {
        suites.retain(|(who, _)| *who != Who::Nftables);
    }
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
    for mut scenarios in groups(&places, &links, options) {
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
        let (of_all, per_second) = crowd::parallel(&places, &links, many);
        figures.extend(of_all);
        throughput.extend(per_second);
    }
    (figures, throughput)
}

/// Scenarios that alternate: those of one case. The work that the kernel has left from one case would slow another one.
fn groups(places: &[Place<'_>], links: &Path, options: &Options) -> Vec<Vec<Box<dyn Scenario>>> {
    let lacking = cases::make_master();
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    for place in places {
        let chains = cases::chains(place, &lacking).into_iter();
        all.extend(chains.map(boxed));
    }
    all.extend(floor::floors());
    if let [first, _, ..] = places {
        all.extend(Netavark::new(&options.netavark, first.scratch).map(boxed));
    }
    all.push(Box::new(chain::Nothing(links.join(NOTHING))));
    all.extend(places.iter().flat_map(cases::crowded).map(boxed));
    let mut groups: Vec<Vec<Box<dyn Scenario>>> = Vec::new();
    while let Some(case) = all.first().map(|first| first.case()) {
        let alike = all.extract_if(.., |scenario| scenario.case() == case);
        groups.push(alike.collect());
    }
    let pools = |pools: &'static [host_local::Pool]| {
        let of = move |place: &Place<'_>| {
            host_local::scenarios(place.who, place.dir, place.scratch, pools)
        };
        let of_default = places.iter().filter(|place| place.who != Who::Nftables);
        of_default.map(of).collect::<Vec<_>>()
    };
    groups.extend(pools(&host_local::NODE));
    if options.pools {
        groups.extend(pools(&host_local::LARGE));
        let sync = places.iter().take(1);
        groups.push(
            sync.map(|place| boxed(host_local::Sync::new(place.scratch)))
                .collect(),
        );
    }
    groups
}

fn boxed<'a>(scenario: impl Scenario + 'a) -> Box<dyn Scenario + 'a> {
    Box::new(scenario)
}

/// A directory with all names of this program, installed as plugins are: hard links to one copy. The linker's own file
/// is in the page cache in pieces, and starts a fifth slower.
fn links(scratch: &Path) -> PathBuf {
    let bin = scratch.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let copy = scratch.join("copy");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let plugins = ENTRIES.iter().flat_map(|entry| entry.names).copied();
    for name in plugins.chain([NOTHING, process::SCALES, floor::ASKER]) {
        std::fs::hard_link(&copy, bin.join(name)).unwrap();
    }
    bin
}
