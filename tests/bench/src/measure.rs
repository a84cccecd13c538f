//! Rounds and costs.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// Rounds of each scenario before time can end it.
const LEAST: usize = 3;

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

/// Alternates, so that other load of the machine affects all scenarios alike.
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
    for round in 0..effort.rounds {
        progress(&format!(
            "{} scenarios, round {round} of {}",
            scenarios.len(),
            effort.rounds
        ));
        for (at, scenario) in scenarios.iter_mut().enumerate() {
            let spent = spent.get_mut(at).unwrap();
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
        let what = (scenario.case(), scenario.who(), scenario.base());
        Figure::new(
            what,
            operation,
            &costs,
            peaks.get(&place).copied().unwrap_or(0),
        )
    });
    figures.collect()
}

/// Prints the progress, on one line of a terminal.
pub(crate) fn progress(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    } else if !what.is_empty() && !what.contains(", round ") {
        eprintln!("{what}");
    }
}
