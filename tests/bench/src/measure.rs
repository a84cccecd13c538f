//! Rounds and times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::scenario::Scenario;

/// What one operation of a scenario took.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) scenario: String,
    pub(crate) base: String,
    pub(crate) operation: &'static str,
    /// In ascending order.
    times: Vec<Duration>,
}

impl Figure {
    pub(crate) fn rounds(&self) -> usize {
        self.times.len()
    }

    /// The time that `percent` of the rounds took at most.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.times.len() * percent).div_ceil(100).max(1) - 1;
        self.times.get(at).copied().unwrap_or_default()
    }
}

/// Takes turns, so that what else the machine does falls on all scenarios alike.
pub(crate) fn measure(
    scenarios: &mut [Box<dyn Scenario>],
    rounds: usize,
    patience: u64,
) -> Vec<Figure> {
    if scenarios.is_empty() {
        return Vec::new();
    }
    for scenario in &mut *scenarios {
        eprintln!("preparing {}", scenario.name());
        scenario.prepare();
    }
    eprintln!("measuring {} scenarios", scenarios.len());
    let mut spent = vec![Duration::ZERO; scenarios.len()];
    let mut times: BTreeMap<(usize, usize), (&str, Vec<Duration>)> = BTreeMap::new();
    for round in 0..rounds {
        for (at, scenario) in scenarios.iter_mut().enumerate() {
            let spent = spent.get_mut(at).unwrap();
            if round >= 5 && spent.as_secs() >= patience {
                continue;
            }
            let start = Instant::now();
            for (order, (operation, time)) in scenario.round().into_iter().enumerate() {
                let (_, times) = times.entry((at, order)).or_insert((operation, Vec::new()));
                times.push(time);
            }
            *spent += start.elapsed();
        }
    }
    let figures = times.into_iter().map(|((at, _), (operation, mut times))| {
        times.sort_unstable();
        let scenario = scenarios.get(at).unwrap();
        Figure {
            scenario: scenario.name(),
            base: scenario.base(),
            operation,
            times,
        }
    });
    figures.collect()
}
