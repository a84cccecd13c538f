//! Many pods: whether the last one is attached as fast as the tenth, and how many concurrent ADDs behave.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::cases::{ATTACH, Place};
use crate::chain::{Chain, List, Pod, Verb};
use crate::floor::{Asked, Floor};
use crate::measure::{Effort, Figure, measure, progress};
use crate::process::{Cost, Mode};
use crate::requests::Work;
use crate::scenario::{Scenario, Who};
use crate::spread::median;

/// The measured pods, by their number on the node.
const NUMBERS: [usize; 4] = [10, 100, 1000, 2000];

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
            (0, _) => format!("{rest}th"),
            _ => format!("{thousands},{rest:03}th"),
        };
        format!("{ordinal} pod {}", self.name)
    }

    fn base(&self, number: usize) -> Option<String> {
        (number != BASE).then(|| self.case(BASE))
    }
}

/// Attaches and detaches a pod on a node with 9, 99, and so on up to `pods` others; beside it, the kernel's own
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
        Who::Ours => pods,
        Who::Theirs => BEARABLE.min(pods),
        _ => return Vec::new(),
    };
    let networks = [
        Network {
            name: "on a bridge",
            list: place.pod(20, 0, false),
            most: most.min(ON_A_BRIDGE),
            floor: Work::Bridge {
                dual: false,
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
        crate::start_node();
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
        let last = Pod::new(&format!("{:064x}", 0));
        let chain = Chain::new((&case, who), list.clone(), ATTACH, last).grown(base.clone());
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
    /// Pods that were attached and detached, in each turn.
    pub(crate) per_second: Vec<f64>,
}

impl Throughput {
    fn median(&self) -> f64 {
        median(self.per_second.clone())
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "who": self.who.to_string(),
            "runtimes": self.runtimes,
            "podsPerSecond": self.median(),
        })
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runtimes, who, median) = (self.runtimes, self.who, self.median());
        write!(
            f,
            "{runtimes} runtimes at once, {who}: {median:.0} pods attached and detached per second"
        )
    }
}

/// Turns of each suite, and the pods of each runtime in a turn.
const TURNS: usize = 3;
const PODS: usize = 3;

/// Runtimes in parallel: those of this suite and of the floor in turns, and of others once.
pub(crate) fn parallel(
    places: &[Place<'_>],
    links: &Path,
    runtimes: usize,
) -> (Vec<Figure>, Vec<Throughput>) {
    let all = [Who::Ours, Who::Floor, Who::Theirs, Who::Nftables];
    let told = |who| {
        let place = places.iter().find(|place| place.who == who);
        (place.is_some() || who == Who::Floor).then_some((who, place))
    };
    let all: Vec<_> = all.into_iter().filter_map(told).collect();
    let mut costs = vec![Vec::new(); all.len()];
    let mut rates = vec![Vec::new(); all.len()];
    for turn in 0..TURNS {
        for (((who, place), costs), rates) in all.iter().zip(&mut costs).zip(&mut rates) {
            if turn > 0 && who.is_peer() {
                continue;
            }
            progress(&format!("{runtimes} runtimes at once, turn {turn}: {who}"));
            let list = place.map(|place| place.pod(21, 0, false));
            let runs: Vec<Run> = (0..runtimes)
                .map(|number| Run::new(links, list.clone(), number))
                .collect();
            let (taken, rate) = churn(runs, if who.is_peer() { 1 } else { PODS });
            costs.extend(taken);
            rates.push(rate);
        }
    }
    let (mut figures, mut throughput) = (Vec::new(), Vec::new());
    for (((who, _), costs), per_second) in all.into_iter().zip(costs).zip(rates) {
        let of = |operation, which: fn(&[Cost; 2]) -> Cost| {
            // The processor time of the others is included, so it cannot be reported.
            let wall = |cost: Cost| Cost {
                wall: cost.wall,
                ..Cost::default()
            };
            let walls: Vec<Cost> = costs.iter().map(which).map(wall).collect();
            Figure::new((at_once(runtimes), who, None), operation, &walls, 0)
        };
        figures.extend([of("ADD", |c| c[0]), of("DEL", |c| c[1])]);
        throughput.push(Throughput {
            who,
            runtimes,
            per_second,
        });
    }
    (figures, throughput)
}

/// The name of that case.
pub(crate) fn at_once(runtimes: usize) -> String {
    format!("pod on a bridge, {runtimes} runtimes at once")
}

/// One of the runtimes, with its pod.
#[derive(Debug)]
enum Run {
    Plugins(List, Pod),
    Floor(Asked),
}

impl Run {
    /// Of a list's plugins, or of the floor.
    fn new(links: &Path, list: Option<List>, number: usize) -> Self {
        match list {
            Some(list) => Self::Plugins(list, Pod::new(&format!("{number:064x}"))),
            None => Self::Floor(Asked::new(links, u16::try_from(number).unwrap())),
        }
    }

    fn round(&mut self) -> [Cost; 2] {
        match self {
            Self::Plugins(list, pod) => {
                [Verb::Add, Verb::Del].map(|verb| pod.run(list, verb, &Mode::Timed))
            }
            Self::Floor(asked) => asked.round(),
        }
    }
}

/// Each runtime attaches and detaches its pod so many times. Returns the costs, and the pods in a second.
fn churn(runs: Vec<Run>, times: usize) -> (Vec<[Cost; 2]>, f64) {
    let start = Instant::now();
    let costs = thread::scope(|scope| {
        let work =
            |mut run: Run| scope.spawn(move || (0..times).map(|_| run.round()).collect::<Vec<_>>());
        let running: Vec<_> = runs.into_iter().map(work).collect();
        let ended = running.into_iter().flat_map(|run| run.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let spent = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_second = costs.len() as f64 / spent;
    (costs, per_second)
}
