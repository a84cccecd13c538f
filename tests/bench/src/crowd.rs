//! Many pods: whether the last one is attached as fast as the first, and what happens when many come at once.

use std::thread;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cases::Place;
use crate::chain::{List, Pod, Verb};
use crate::measure::{Figure, progress};
use crate::process::{Cost, Mode};
use crate::scenario::Who;

/// How many pods on either side of a number stand for it.
const AROUND: usize = 5;

/// Attaches so many pods, one after the other, and detaches them; what those around the 10th, the 100th, and so on cost.
pub(crate) fn growth(place: &Place<'_>, pods: usize) -> Vec<Figure> {
    // Each pod's namespace is held by a descriptor.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let list = place.pod(20, 0, false);
    let mut crowd: Vec<Pod> = Vec::new();
    let mut costs = [Vec::new(), Vec::new()];
    for n in 0..pods {
        progress(&format!("growth, round {n} of {pods}"));
        let mut pod = Pod::new(&format!("{n:064x}"));
        costs[0].push(pod.run(&list, Verb::Add, &Mode::Timed));
        crowd.push(pod);
    }
    while let Some(mut pod) = crowd.pop() {
        progress(&format!("growth, round {} of {pods}", crowd.len()));
        costs[1].push(pod.run(&list, Verb::Del, &Mode::Timed));
    }
    costs[1].reverse();
    let case = |nth: usize| format!("{nth}th pod on a bridge");
    let mut numbers = vec![10, 100, 1000];
    numbers.retain(|nth| nth + AROUND <= pods);
    if !numbers.contains(&pods) {
        numbers.push(pods);
    }
    let mut figures = Vec::new();
    for nth in numbers {
        for (operation, costs) in ["ADD", "DEL"].into_iter().zip(&costs) {
            let around = costs
                .iter()
                .skip(nth.saturating_sub(AROUND))
                .take(2 * AROUND);
            let around: Vec<Cost> = around.copied().collect();
            let base = (nth != 10).then(|| case(10));
            figures.push(Figure::new(
                (case(nth), Who::Ours, base),
                operation,
                &around,
                0,
            ));
        }
    }
    figures
}

/// So many runtimes, each of which attaches and detaches a pod `rounds` times; and how many pods came and went a second.
pub(crate) fn parallel(place: &Place<'_>, runtimes: usize, rounds: usize) -> (Vec<Figure>, f64) {
    progress(&format!("{runtimes} runtimes at once, {rounds} pods each"));
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
    let throughput = costs.len() as f64 / spent;
    let case = format!("pod on a bridge, {runtimes} runtimes at once");
    let of = |operation, which: fn(&[Cost; 2]) -> Cost| {
        // What the others compute is counted, too, so that there is no time on a processor to tell.
        let walls: Vec<Cost> = costs
            .iter()
            .map(which)
            .map(|cost| Cost {
                wall: cost.wall,
                ..Cost::default()
            })
            .collect();
        Figure::new((case.clone(), place.who, None), operation, &walls, 0)
    };
    (vec![of("ADD", |c| c[0]), of("DEL", |c| c[1])], throughput)
}

fn churn(list: &List, id: &str, rounds: usize) -> Vec<[Cost; 2]> {
    let mut pod = Pod::new(id);
    let mut round = || [Verb::Add, Verb::Del].map(|verb| pod.run(list, verb, &Mode::Timed));
    (0..rounds).map(|_| round()).collect()
}
