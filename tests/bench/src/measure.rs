//! Rounds and costs.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use linkspan_harness::dice::Dice;

use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};
use crate::spread;

/// Rounds of each scenario before time can end it.
const LEAST: usize = 3;

/// The operation that detaches a pod which has lived.
pub(crate) const LIVED: &str = "DEL, lived";

/// The time in which both ends of a pair have made sure of their link-local addresses and used them.
const LIFE: Duration = Duration::from_secs(3);

/// Pods of one suite that live at the same time.
const TOGETHER: usize = 10;

/// Lived pods of each scenario before time can end it.
const LEAST_LIVED: usize = 2 * TOGETHER;

/// The cost of one operation of a scenario.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) case: String,
    pub(crate) who: Who,
    pub(crate) base: Option<String>,
    pub(crate) operation: &'static str,
    /// In ascending order.
    walls: Vec<Duration>,
    cpus: Vec<Duration>,
    /// KiB; 0 without a measurement.
    pub(crate) peak: u64,
}

impl Figure {
    pub(crate) fn new(
        (case, who, base): (String, Who, Option<String>),
        operation: &'static str,
        costs: &[Cost],
        peak: u64,
    ) -> Self {
        let sorted = |of: fn(&Cost) -> Duration| {
            let mut times: Vec<_> = costs.iter().map(of).collect();
            times.sort_unstable();
            times
        };
        Self {
            case,
            who,
            base,
            operation,
            walls: sorted(|cost| cost.wall),
            cpus: sorted(|cost| cost.cpu),
            peak,
        }
    }

    fn of(
        scenario: &dyn Scenario,
        operation: &'static str,
        costs: &[Cost],
        peak: Option<u64>,
    ) -> Self {
        let what = (scenario.case(), scenario.who(), scenario.base());
        Self::new(what, operation, costs, peak.unwrap_or(0))
    }

    pub(crate) fn rounds(&self) -> usize {
        self.walls.len()
    }

    /// The time within which `percent` of the rounds ended.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.walls, percent)
    }

    /// The median of the time on a processor.
    pub(crate) fn cpu(&self) -> Duration {
        percentile(&self.cpus, 50)
    }

    /// The time of each round, in milliseconds.
    pub(crate) fn times(&self) -> Vec<f64> {
        let millis = |wall: &Duration| wall.as_secs_f64() * 1000.0;
        self.walls.iter().map(millis).collect()
    }

    /// Its ratio to the sum of others.
    pub(crate) fn over(&self, others: &[&Self]) -> Option<spread::Ratio> {
        let others: Vec<Vec<f64>> = others.iter().map(|other| other.times()).collect();
        let others: Vec<&[f64]> = others.iter().map(Vec::as_slice).collect();
        spread::ratio(&self.times(), &others)
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or_default()
}

/// How long a measurement may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds per scenario.
    pub(crate) rounds: usize,
    /// Seconds after which a scenario has no more rounds.
    pub(crate) patience: u64,
}

/// Alternates, so that other load of the machine affects all scenarios alike. The order of each round is another one,
/// since the kernel works on after some operations.
pub(crate) fn measure(
    scenarios: &mut [Box<dyn Scenario>],
    effort: Effort,
    scales: &Path,
) -> Vec<Figure> {
    let mut peaks: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut costs: BTreeMap<(usize, usize), (&str, Vec<Cost>)> = BTreeMap::new();
    let weighed = Mode::Weighed(scales.to_owned());
    for (at, scenario) in scenarios.iter_mut().enumerate() {
        progress(&format!(
            "preparing {}: {}",
            scenario.case(),
            scenario.who()
        ));
        scenario.prepare();
        // This is also the first round, which creates shared state.
        for (order, (_, cost)) in scenario.round(&weighed).into_iter().enumerate() {
            peaks.insert((at, order), cost.peak);
        }
    }
    let mut spent = vec![Duration::ZERO; scenarios.len()];
    let mut dice = Dice::new(1);
    for round in 0..effort.rounds {
        progress(&format!(
            "{} scenarios, round {round} of {}",
            scenarios.len(),
            effort.rounds
        ));
        for at in shuffled(scenarios.len(), &mut dice) {
            let (Some(scenario), Some(spent)) = (scenarios.get_mut(at), spent.get_mut(at)) else {
                continue;
            };
            if round >= LEAST && spent.as_secs() >= effort.patience {
                continue;
            }
            let start = Instant::now();
            let taken = scenario.round(&Mode::Timed);
            for (order, (operation, cost)) in taken.into_iter().enumerate() {
                let (_, costs) = costs.entry((at, order)).or_insert((operation, Vec::new()));
                costs.push(cost);
            }
            *spent += start.elapsed();
        }
    }
    progress("");
    let figures = costs.into_iter().map(|(place, (operation, costs))| {
        let scenario = scenarios.get(place.0).unwrap();
        Figure::of(&**scenario, operation, &costs, peaks.get(&place).copied())
    });
    let mut figures: Vec<Figure> = figures.collect();
    figures.extend(outlived(scenarios, effort));
    figures
}

/// The numbers below `count`, in a random order.
fn shuffled(count: usize, dice: &mut Dice) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::new();
    while let Some(at) = dice.one_of(&left).copied() {
        left.retain(|other| *other != at);
        order.push(at);
    }
    order
}

/// DEL of pods that have lived until IPv6 has used their links: most pods do, and the kernel has more to do then. The
/// pods of all scenarios live at the same time, and are detached in turns.
fn outlived(scenarios: &mut [Box<dyn Scenario>], effort: Effort) -> Vec<Figure> {
    let living = |scenario: &&mut Box<dyn Scenario>| scenario.lives();
    let mut living: Vec<_> = scenarios.iter_mut().filter(living).collect();
    if living.is_empty() {
        return Vec::new();
    }
    let mut dice = Dice::new(2);
    let mut costs = vec![Vec::new(); living.len()];
    let (start, mut lived) = (Instant::now(), 0);
    while lived < effort.rounds
        && (lived < LEAST_LIVED || start.elapsed().as_secs() < effort.patience)
    {
        progress(&format!("lived pods, round {lived}"));
        let together = u16::try_from((effort.rounds - lived).min(TOGETHER)).unwrap();
        for scenario in &mut living {
            (0..together).for_each(|number| scenario.attach(number));
        }
        live();
        for number in 0..together {
            for at in shuffled(living.len(), &mut dice) {
                if let (Some(scenario), Some(costs)) = (living.get_mut(at), costs.get_mut(at)) {
                    costs.push(scenario.detach(number));
                }
            }
        }
        lived += usize::from(together);
    }
    progress("");
    let of = |(scenario, costs): (&&mut Box<dyn Scenario>, Vec<Cost>)| {
        Figure::of(&***scenario, LIVED, &costs, None)
    };
    living.iter().zip(costs).map(of).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a life is a time, and the kernel tells no event of the last use of an address"
)]
fn live() {
    sleep(LIFE);
}

/// Prints the progress, on one line of a terminal.
pub(crate) fn progress(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    } else if !what.is_empty() && !what.contains(", round ") {
        eprintln!("{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_each_scenario_once() {
        let mut dice = Dice::new(7);
        let mut order = shuffled(20, &mut dice);
        assert_ne!(order, shuffled(20, &mut dice));
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
