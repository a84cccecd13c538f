//! Figures for people and for programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::Figure;
use crate::scenario::Who;

/// A table's columns.
const HEAD: [&str; 11] = [
    "case", "verb", "who", "rounds", "p50 ms", "p99 ms", "CPU ms", "peak MiB", "× wall", "× CPU",
    "× floor",
];

/// The number of columns with words.
const NAMES: usize = 3;

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The figure of the same operation by another suite.
pub(crate) fn by<'a>(all: &'a [Figure], figure: &Figure, who: Who) -> Option<&'a Figure> {
    let mut found = all.iter();
    found.find(|other| {
        (&other.case, other.operation, other.who) == (&figure.case, figure.operation, who)
    })
}

fn ratio(one: Duration, other: Duration) -> Option<f64> {
    (!other.is_zero()).then(|| one.as_secs_f64() / other.as_secs_f64())
}

/// The factors to ours, in wall time and processor time; for ours, to the case that it grew from.
fn against(figure: &Figure, all: &[Figure]) -> [Option<f64>; 2] {
    let other = match (figure.who, &figure.base) {
        (Who::Theirs, None) => by(all, figure, Who::Ours),
        (who, Some(base)) => {
            let same = |other: &&Figure| {
                (&other.case, other.operation, other.who) == (base, figure.operation, who)
            };
            all.iter().find(same)
        }
        _ => None,
    };
    other.map_or([None; 2], |other| {
        [
            ratio(figure.percentile(50), other.percentile(50)),
            ratio(figure.cpu(), other.cpu()),
        ]
    })
}

fn over_floor(figure: &Figure, all: &[Figure]) -> Option<f64> {
    let floor = by(all, figure, Who::Floor).filter(|_| figure.who != Who::Floor)?;
    ratio(figure.percentile(50), floor.percentile(50))
}

/// Each case's rows together.
fn in_order(figures: &[Figure]) -> Vec<&Figure> {
    let first = |figure: &Figure| {
        let mut all = figures.iter();
        all.position(|other| (&other.case, other.operation) == (&figure.case, figure.operation))
    };
    let mut ordered: Vec<&Figure> = figures.iter().collect();
    ordered.sort_by_key(|figure| first(figure));
    ordered
}

/// A table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or(String::new(), |value| format!("{value:.digits$}"))
    };
    let seen = |time: Duration| (!time.is_zero()).then(|| millis(time));
    let mut rows = vec![HEAD.map(str::to_owned)];
    for figure in in_order(figures) {
        let [wall, cpu] = against(figure, figures);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a process has less than 2^52 KiB"
        )]
        let peak = (figure.peak > 0).then(|| figure.peak as f64 / 1024.0);
        rows.push([
            figure.case.clone(),
            figure.operation.to_owned(),
            figure.who.to_string(),
            figure.rounds().to_string(),
            number(seen(figure.percentile(50)), 2),
            number(seen(figure.percentile(99)), 2),
            number(seen(figure.cpu()), 2),
            number(peak, 1),
            number(wall, 2),
            number(cpu, 2),
            number(over_floor(figure, figures), 2),
        ]);
    }
    aligned(&rows)
}

fn aligned(rows: &[[String; HEAD.len()]]) -> String {
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell: &String| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let line = |row: &[String; HEAD.len()]| {
        let cell = |(column, cell): (usize, &String)| match width(column) {
            width if column < NAMES => format!(" {cell:width$} "),
            width => format!(" {cell:>width$} "),
        };
        let cells: Vec<_> = row.iter().enumerate().map(cell).collect();
        format!("|{}|\n", cells.join("|"))
    };
    let rule = |column| {
        let end = if column < NAMES { "-" } else { ":" };
        format!("-{:-<width$}{end}", "", width = width(column))
    };
    let rules: Vec<_> = (0..HEAD.len()).map(rule).collect();
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("|{}|\n", rules.join("|")));
    lines.concat()
}

/// The machine, and the C library that the measured plugins are linked with.
pub(crate) fn machine(plugin: &Path) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processor": model.unwrap_or_default().trim_start_matches(['\t', ' ', ':']),
        "processors": info.lines().filter(|line| line.starts_with("processor")).count(),
        "libc": libc(&fs::read(plugin).unwrap_or_default()),
    })
}

/// The C library that an executable has in it, which a great part of a start depends on: glibc's banner, or musl, which
/// has none and is known by a message that it alone has. `None` where there is neither.
fn libc(executable: &[u8]) -> Option<String> {
    let find = |text: &[u8]| executable.windows(text.len()).position(|some| some == text);
    let Some(at) = find(b"GNU C Library (") else {
        return find(b"No error information").map(|_| "musl".to_owned());
    };
    let mut lines = executable.get(at..)?.split(|byte| *byte < b' ');
    let banner = String::from_utf8_lossy(lines.next()?);
    Some(banner.trim_end_matches('.').to_owned())
}

/// The figures as an array of objects.
pub(crate) fn json(figures: &[Figure]) -> Value {
    let object = |figure: &Figure| {
        let [wall, cpu] = against(figure, figures);
        json!({
            "case": figure.case,
            "operation": figure.operation,
            "who": figure.who.to_string(),
            "rounds": figure.rounds(),
            "p50Ms": millis(figure.percentile(50)),
            "p99Ms": millis(figure.percentile(99)),
            "cpuMs": millis(figure.cpu()),
            "peakKiB": figure.peak,
            "base": figure.base,
            "wallRatio": wall,
            "cpuRatio": cpu,
            "floorRatio": over_floor(figure, figures),
        })
    };
    in_order(figures).into_iter().map(object).collect()
}
