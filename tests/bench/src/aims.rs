//! The aims, each as a ratio of figures of one run, and whether they are met.

use std::path::Path;

use serde_json::{Value, json};

use crate::cases::{ENGINES, POD, THOUSAND};
use crate::chain::Nothing;
use crate::crowd::Throughput;
use crate::measure::{Figure, LIVED};
use crate::scenario::Who;
use crate::spread::{Ratio, ratio};

/// The side of a bound on which a value is wanted.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}
use Wanted::{AtLeast, AtMost};

/// The measure of an aim.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// How many times as fast as the Go suite.
    Faster(&'static str, &'static str),
    /// Against the floor.
    Floor(&'static str, &'static str),
    /// Against the floor and the start of an empty process.
    FloorAndStart(&'static str, &'static str),
    /// Against the start of an empty process.
    Start(&'static str, &'static str),
    /// Pods a second of so many runtimes, as a part of the floor's.
    Rate(usize),
    /// The size of the executable, in MB.
    Size,
    /// The most memory of a process of the usual chains, in MiB.
    Peak,
}
use Measure::{Faster, Floor, FloorAndStart, Peak, Rate, Size, Start};

const BRIDGE: &str = "bridge with masquerade";
const LAST: &str = "1,000th pod on a bridge";

/// Every aim: its name, its measure and the wanted value.
const AIMS: [(&str, Measure, Wanted); 21] = [
    (
        "pod chain ADD, times as fast as the Go suite",
        Faster(POD, "ADD"),
        AtLeast(22.0),
    ),
    (
        "pod chain DEL, lived, times as fast as the Go suite",
        Faster(POD, LIVED),
        AtLeast(8.0),
    ),
    (
        "pod chain DEL, lived, against the floor",
        Floor(POD, LIVED),
        AtMost(1.1),
    ),
    (
        "engines' chain ADD, times as fast as the Go suite",
        Faster(ENGINES, "ADD"),
        AtLeast(35.0),
    ),
    (
        "engines' chain DEL, lived, times as fast as the Go suite",
        Faster(ENGINES, LIVED),
        AtLeast(10.0),
    ),
    (
        "bridge with masquerade ADD, against the floor and an empty process",
        FloorAndStart(BRIDGE, "ADD"),
        AtMost(1.4),
    ),
    (
        "loopback ADD, against an empty process",
        Start("loopback", "ADD"),
        AtMost(1.5),
    ),
    (
        "loopback DEL, against an empty process",
        Start("loopback", "DEL"),
        AtMost(1.5),
    ),
    (
        "portmap without ports ADD, against an empty process",
        Start("portmap without ports", "ADD"),
        AtMost(1.2),
    ),
    (
        "portmap without ports DEL, against an empty process",
        Start("portmap without ports", "DEL"),
        AtMost(1.2),
    ),
    (
        "tuning without keys ADD, against an empty process",
        Start("tuning without keys", "ADD"),
        AtMost(1.2),
    ),
    (
        "tuning without keys DEL, against an empty process",
        Start("tuning without keys", "DEL"),
        AtMost(1.2),
    ),
    (
        "bandwidth without limits ADD, against an empty process",
        Start("bandwidth without limits", "ADD"),
        AtMost(1.2),
    ),
    (
        "bandwidth without limits DEL, against an empty process",
        Start("bandwidth without limits", "DEL"),
        AtMost(1.2),
    ),
    (
        "pod chain, 1,000 ports ADD, against the floor",
        Floor(THOUSAND, "ADD"),
        AtMost(2.0),
    ),
    (
        "1,000th pod on a bridge ADD, against the floor",
        Floor(LAST, "ADD"),
        AtMost(2.5),
    ),
    (
        "1,000th pod on a bridge DEL, against the floor",
        Floor(LAST, "DEL"),
        AtMost(1.05),
    ),
    (
        "1,000th pod on a bridge DEL, lived, against the floor",
        Floor(LAST, LIVED),
        AtMost(1.05),
    ),
    (
        "100 runtimes at once, pods a second as a part of the floor's",
        Rate(100),
        AtLeast(0.7),
    ),
    ("all plugins in one executable, MB", Size, AtMost(6.0)),
    ("peak memory of a plugin, MiB", Peak, AtMost(4.0)),
];

/// All that a run has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) figures: &'a [Figure],
    pub(crate) throughput: &'a [Throughput],
    /// Bytes of the measured executable, if it is that of a release.
    pub(crate) size: Option<u64>,
}

impl Measured<'_> {
    fn of(&self, case: &str, operation: &str, who: Who) -> Option<&Figure> {
        let mut all = self.figures.iter();
        all.find(|figure| (&*figure.case, figure.operation, figure.who) == (case, operation, who))
    }

    fn start(&self) -> Option<&Figure> {
        self.of(Nothing::CASE, Nothing::OPERATION, Who::Ours)
    }

    fn rate(&self, runtimes: usize, who: Who) -> Option<&[f64]> {
        let mut all = self.throughput.iter();
        let found = all.find(|told| (told.runtimes, told.who) == (runtimes, who))?;
        Some(&found.per_second)
    }

    /// The largest process among those of the usual chains.
    fn peak(&self) -> Option<u64> {
        let usual =
            |figure: &&Figure| figure.who == Who::Ours && [POD, ENGINES].contains(&&*figure.case);
        let peaks = self.figures.iter().filter(usual).map(|figure| figure.peak);
        peaks.max().filter(|peak| *peak > 0)
    }

    fn measure(&self, measure: Measure) -> Option<Ratio> {
        let ours = |case, operation| self.of(case, operation, Who::Ours);
        let floor = |case, operation| self.of(case, operation, Who::Floor);
        match measure {
            Faster(case, operation) => {
                let theirs = self.of(case, operation, Who::Theirs)?;
                theirs.over(&[ours(case, operation)?])
            }
            Floor(case, operation) => ours(case, operation)?.over(&[floor(case, operation)?]),
            FloorAndStart(case, operation) => {
                ours(case, operation)?.over(&[floor(case, operation)?, self.start()?])
            }
            Start(case, operation) => ours(case, operation)?.over(&[self.start()?]),
            Rate(runtimes) => {
                let floor = self.rate(runtimes, Who::Floor)?;
                ratio(self.rate(runtimes, Who::Ours)?, &[floor])
            }
            Size => Some(exact(self.size?, 1_000_000.0)),
            Peak => Some(exact(self.peak()?, 1024.0)),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes have less than 2^52 bytes"
)]
fn exact(size: u64, unit: f64) -> Ratio {
    let value = size as f64 / unit;
    Ratio {
        value,
        low: value,
        high: value,
    }
}

impl Wanted {
    fn told(self) -> String {
        match self {
            AtLeast(least) => format!("≥ {least}"),
            AtMost(most) => format!("≤ {most}"),
        }
    }

    fn is_met(self, value: f64) -> bool {
        match self {
            AtLeast(least) => value >= least,
            AtMost(most) => value <= most,
        }
    }
}

/// The measured aims as an array of objects, each with its value in an earlier run of the benchmark.
pub(crate) fn json(measured: Measured<'_>, before: Option<&Path>) -> Value {
    let earlier: Value = before.map_or(Value::Null, |file| {
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    });
    let was = |name: &str| {
        let aims = earlier.get("aims")?.as_array()?;
        let same = aims.iter().find(|aim| aim["name"] == name)?;
        same["value"].as_f64()
    };
    let aims = AIMS.iter().filter_map(|(name, measure, wanted)| {
        let now = measured.measure(*measure)?;
        Some(json!({
            "name": name,
            "wanted": wanted.told(),
            "before": was(name),
            "value": now.value,
            "low": now.low,
            "high": now.high,
            "isMet": wanted.is_met(now.value),
        }))
    });
    aims.collect()
}

/// The aims as lines for people.
pub(crate) fn lines(aims: &Value) -> String {
    let aims = aims.as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |aim: &Value, key: &str| {
        let value = aim[key].as_f64();
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
    };
    let line = |aim: &Value| {
        let [name, wanted] = ["name", "wanted"].map(|key| aim[key].as_str().unwrap_or_default());
        let [before, value, low, high] =
            ["before", "value", "low", "high"].map(|key| number(aim, key));
        let met = if aim["isMet"] == true {
            "met"
        } else {
            "missed"
        };
        format!("{met:6} {name}: {wanted}; before {before}, now {value} ({low} to {high})\n")
    };
    aims.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::process::Cost;

    use super::*;

    fn figure(case: &str, who: Who, operation: &'static str, millis: u64) -> Figure {
        let cost = Cost {
            wall: Duration::from_millis(millis),
            ..Cost::default()
        };
        Figure::new((case.to_owned(), who, None), operation, &[cost; 5], 0)
    }

    #[test]
    fn an_aim_is_a_ratio_of_one_run() {
        let figures = [
            figure(POD, Who::Ours, "ADD", 4),
            figure(POD, Who::Theirs, "ADD", 100),
            figure(BRIDGE, Who::Ours, "ADD", 3),
            figure(BRIDGE, Who::Floor, "ADD", 1),
            figure(Nothing::CASE, Who::Ours, Nothing::OPERATION, 1),
        ];
        let rate = |who, per_second: f64| Throughput {
            who,
            runtimes: 100,
            per_second: vec![per_second],
        };
        let measured = Measured {
            figures: &figures,
            throughput: &[rate(Who::Ours, 60.0), rate(Who::Floor, 100.0)],
            size: Some(5_000_000),
        };
        let told = json(measured, None);
        let told: Vec<_> = told.as_array().unwrap().iter().collect();
        let values: Vec<_> = told
            .iter()
            .map(|aim| aim["value"].as_f64().unwrap())
            .collect();
        assert_eq!(values, [25.0, 1.5, 0.6, 5.0]);
        let met: Vec<_> = told.iter().map(|aim| &aim["isMet"]).collect();
        assert_eq!(met, [true, false, false, true]);
    }
}
