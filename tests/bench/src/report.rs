//! Figures for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::Figure;

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How many times the base's 50th and 99th percentile.
fn ratios(figure: &Figure, all: &[Figure]) -> Option<(f64, f64)> {
    let same =
        |other: &&Figure| other.scenario == figure.base && other.operation == figure.operation;
    let base = all.iter().find(same)?;
    let ratio =
        |percent| figure.percentile(percent).as_secs_f64() / base.percentile(percent).as_secs_f64();
    Some((ratio(50), ratio(99)))
}

/// A table; the ratios are to the scenario that the figure is compared with.
pub(crate) fn table(figures: &[Figure]) -> String {
    let width = figures
        .iter()
        .map(|figure| figure.scenario.chars().count())
        .max();
    let width = width.unwrap_or(0);
    let mut table = format!(
        "{:width$}  {:5}  {:>6}  {:>9}  {:>9}  {:>6}  {:>6}\n",
        "scenario", "what", "rounds", "p50 ms", "p99 ms", "p50 x", "p99 x"
    );
    for figure in figures {
        let (scenario, operation, rounds) = (&figure.scenario, figure.operation, figure.rounds());
        let (p50, p99) = (millis(figure.percentile(50)), millis(figure.percentile(99)));
        let (r50, r99) = ratios(figure, figures).unwrap_or((f64::NAN, f64::NAN));
        writeln!(
            table,
            "{scenario:width$}  {operation:5}  {rounds:6}  {p50:9.3}  {p99:9.3}  {r50:6.2}  {r99:6.2}"
        )
        .unwrap();
    }
    table
}

/// The same as an array of objects.
pub(crate) fn json(figures: &[Figure]) -> Value {
    let object = |figure: &Figure| {
        let ratios = ratios(figure, figures);
        json!({
            "scenario": figure.scenario,
            "operation": figure.operation,
            "rounds": figure.rounds(),
            "p50Ms": millis(figure.percentile(50)),
            "p99Ms": millis(figure.percentile(99)),
            "comparedWith": figure.base,
            "p50Ratio": ratios.map(|(p50, _)| p50),
            "p99Ratio": ratios.map(|(_, p99)| p99),
        })
    };
    figures.iter().map(object).collect()
}
