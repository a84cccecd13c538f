//! Many pods: whether the last one is attached as fast as the tenth, and how many concurrent ADDs behave.

use std::path::Path;
use std::thread;
use std::time::Instant;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cases::{ATTACH, Place};
use crate::chain::{Chain, List, Pod, Verb};
use crate::floor::{Floor, Work};
use crate::measure::{Effort, Figure, measure, progress};
use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// The measured pods, by their number on the node.
const NUMBERS: [usize; 5] = [1, 10, 100, 1000, 2000];

/// The pod that the others are compared with.
const BASE: usize = 10;

/// A bridge has 1,023 ports. The floor needs one, too.
const ON_A_BRIDGE: usize = 1000;

/// With more, the Go suite takes minutes: it reads every rule of iptables again and again.
const BEARABLE: usize = 100;

/// A network for the pods.
struct Network {
    name: &'static str,
    list: List,
    most: usize,
    floor: Work,
}

impl Network {
    fn case(&self, number: usize) -> String {
        let (thousands, rest) = (number / 1000, number % 1000);
        let ordinal = match (thousands, rest) {
            (0, 1) => "1st".to_owned(),
            (0, _) => format!("{rest}th"),
            _ => format!("{thousands},{rest:03}th"),
        };
        format!("{ordinal} pod {}", self.name)
    }

    fn base(&self, number: usize) -> Option<String> {
        (number != BASE).then(|| self.case(BASE))
    }
}

/// Attaches and detaches a pod on a node with 0, 9, 99, and so on up to `pods` others; beside it, the kernel's own
/// part on the same node.
pub(crate) fn growth(
    place: &Place<'_>,
    pods: usize,
    only: &str,
    (effort, scales): (Effort, &Path),
) -> Vec<Figure> {
    // Each pod's namespace is held by a descriptor.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let most = match place.who {
        Who::Theirs => BEARABLE.min(pods),
        _ => pods,
    };
    let networks = [
        Network {
            name: "on a bridge",
            list: place.pod(20, 0, false),
            most: most.min(ON_A_BRIDGE),
            floor: Work::Bridge {
                six: false,
                ports: Some(0),
            },
        },
        Network {
            name: "with ptp",
            list: place.ptp(22),
            most,
            floor: Work::Ptp,
        },
    ];
    let grown = networks.iter().flat_map(|network| {
        let mut numbers = NUMBERS.to_vec();
        numbers.retain(|number| *number <= network.most && network.case(*number).contains(only));
        on_a_node(|| grow(place.who, network, &numbers, (effort, scales)))
    });
    grown.collect()
}

/// Runs `act` in a separate namespace as the host, so that the packet filter's state is separate, too.
fn on_a_node<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let node = || {
        Netns::isolate().unwrap();
        crate::start_loopback();
        act()
    };
    thread::scope(|scope| scope.spawn(node).join().unwrap())
}

fn grow(
    who: Who,
    network: &Network,
    numbers: &[usize],
    (effort, scales): (Effort, &Path),
) -> Vec<Figure> {
    let list = &network.list;
    let bridge = list
        .plugins
        .iter()
        .find_map(|plugin| plugin["bridge"].as_str());
    let mut crowd: Vec<Pod> = Vec::new();
    let mut figures = Vec::new();
    for number in numbers {
        let case = network.case(*number);
        while crowd.len() + 1 < *number {
            progress(&format!("{case}: {who}, round {} of {number}", crowd.len()));
            let mut pod = Pod::new(&format!("{:064x}", crowd.len() + 1));
            pod.run(list, Verb::Add, &Mode::Timed);
            crowd.push(pod);
        }
        let base = network.base(*number);
        let chain = Chain {
            case: case.clone(),
            base: base.clone(),
            who,
            list: list.clone(),
            verbs: ATTACH,
            pod: Pod::new(&format!("{:064x}", 0)),
        };
        let mut scenarios: Vec<Box<dyn Scenario>> = vec![Box::new(chain)];
        if who == Who::Ours {
            let floor = Floor::new(&case, network.floor);
            scenarios.push(Box::new(floor.among(bridge.unwrap_or_default(), base)));
        }
        figures.extend(measure(&mut scenarios, effort, scales));
    }
    // At once, so that the kernel is not busy with it during the next measurement.
    let host = Rtnl::here().unwrap();
    host.delete_links(|link| link.kind == "veth").unwrap();
    figures
}

/// The outcome of concurrent runtimes.
#[derive(Debug)]
pub(crate) struct Throughput {
    pub(crate) who: Who,
    pub(crate) runtimes: usize,
    /// Pods that were attached and detached.
    pub(crate) per_second: f64,
}

/// Runtimes in parallel. Each one attaches and detaches a pod `rounds` times.
pub(crate) fn parallel(
    place: &Place<'_>,
    runtimes: usize,
    rounds: usize,
) -> (Vec<Figure>, Throughput) {
    let who = place.who;
    progress(&format!(
        "{runtimes} runtimes at once, {rounds} pods each: {who}"
    ));
    let list = place.pod(21, 0, false);
    let start = Instant::now();
    let costs = thread::scope(|scope| {
        let work = |n| {
            let list: &List = &list;
            scope.spawn(move || churn(list, &format!("{n:064x}"), rounds))
        };
        let running: Vec<_> = (0..runtimes).map(work).collect();
        let ended = running.into_iter().flat_map(|run| run.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let spent = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_second = costs.len() as f64 / spent;
    let of = |operation, which: fn(&[Cost; 2]) -> Cost| {
        // The processor time of the others is included, so it cannot be reported.
        let walls: Vec<Cost> = costs
            .iter()
            .map(which)
            .map(|cost| Cost {
                wall: cost.wall,
                ..Cost::default()
            })
            .collect();
        Figure::new((at_once(runtimes), who, None), operation, &walls, 0)
    };
    let throughput = Throughput {
        who,
        runtimes,
        per_second,
    };
    (vec![of("ADD", |c| c[0]), of("DEL", |c| c[1])], throughput)
}

/// The name of that case.
pub(crate) fn at_once(runtimes: usize) -> String {
    format!("pod on a bridge, {runtimes} runtimes at once")
}

fn churn(list: &List, id: &str, rounds: usize) -> Vec<[Cost; 2]> {
    let mut pod = Pod::new(id);
    let mut round = || [Verb::Add, Verb::Del].map(|verb| pod.run(list, verb, &Mode::Timed));
    (0..rounds).map(|_| round()).collect()
}
