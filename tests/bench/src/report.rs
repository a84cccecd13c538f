//! Figures for people and for programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::Figure;
use crate::scenario::Who;
use crate::spread::Ratio;

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

/// Ratios in wall time and processor time.
type Against = (Option<Ratio>, Option<f64>);

/// The factors of a peer to ours; of others to the case that they grew from.
fn against(figure: &Figure, all: &[Figure]) -> Against {
    let other = match &figure.base {
        None if figure.who.is_peer() => by(all, figure, Who::Ours),
        None => None,
        Some(base) => {
            let same = |other: &&Figure| {
                (&other.case, other.operation, other.who) == (base, figure.operation, figure.who)
            };
            all.iter().find(same)
        }
    };
    let cpu = |other: &Figure| {
        let least = other.cpu().as_secs_f64();
        (least > 0.0).then(|| figure.cpu().as_secs_f64() / least)
    };
    (
        other.and_then(|other| figure.over(&[other])),
        other.and_then(cpu),
    )
}

fn over_floor(figure: &Figure, all: &[Figure]) -> Option<Ratio> {
    let floor = by(all, figure, Who::Floor).filter(|_| figure.who != Who::Floor)?;
    figure.over(&[floor])
}

/// Each case's rows together, and in these each operation's.
pub(crate) fn in_order(figures: &[Figure]) -> Vec<&Figure> {
    let first = |figure: &Figure| {
        let same_case = |other: &Figure| other.case == figure.case;
        let same = |other: &Figure| same_case(other) && other.operation == figure.operation;
        (
            figures.iter().position(same_case),
            figures.iter().position(same),
        )
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
    let spread = |ratio: Option<Ratio>| {
        ratio.map_or(String::new(), |Ratio { value, low, high }| {
            format!("{value:.2} ({low:.2} to {high:.2})")
        })
    };
    let seen = |time: Duration| (!time.is_zero()).then(|| millis(time));
    let mut rows = vec![HEAD.map(str::to_owned)];
    for figure in in_order(figures) {
        let (wall, cpu) = against(figure, figures);
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
            spread(wall),
            number(cpu, 2),
            spread(over_floor(figure, figures)),
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

/// The machine, and the C libraries that the measured plugins and the benchmark's own empty process are linked with.
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
        "emptyLibc": libc(&fs::read("/proc/self/exe").unwrap_or_default()),
    })
}

/// The C library that an executable has in it, which a great part of a start depends on: glibc's banner, or musl, which
/// has none and is known by a message that it alone has. `None` where there is neither.
fn libc(executable: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"GNU C Library (";
    let windows = executable.windows(BANNER.len()).enumerate();
    let starts = windows.filter(|(_, some)| *some == BANNER);
    // This program has the beginning of a banner, too.
    let mut banners = starts.filter_map(|(at, _)| {
        let mut lines = executable.get(at..)?.split(|byte| *byte < b' ');
        let banner = String::from_utf8_lossy(lines.next()?);
        let banner = banner.trim_end_matches('.');
        banner.contains(" version ").then(|| banner.to_owned())
    });
    let musl = b"No error information";
    let mut texts = executable.windows(musl.len());
    let has_musl = || texts.any(|text| text == musl).then(|| "musl".to_owned());
    banners.next().or_else(has_musl)
}

/// The figures as an array of objects.
pub(crate) fn json(figures: &[Figure]) -> Value {
    let object = |figure: &Figure| {
        let (wall, cpu) = against(figure, figures);
        let floor = over_floor(figure, figures);
        let value = |ratio: Option<Ratio>| ratio.map(|ratio| ratio.value);
        let spread = |ratio: Option<Ratio>| ratio.map(|ratio| [ratio.low, ratio.high]);
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
            "wallRatio": value(wall),
            "wallSpread": spread(wall),
            "cpuRatio": cpu,
            "floorRatio": value(floor),
            "floorSpread": spread(floor),
        })
    };
    in_order(figures).into_iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_whole_banner() {
        let banner = "GNU C Library (Debian) stable release version 2.36";
        let executable = format!("\0GNU C Library (\0{banner}.\nCopyright");
        assert_eq!(libc(executable.as_bytes()).as_deref(), Some(banner));
        assert_eq!(libc(b"\0GNU C Library (\0musl"), None);
    }
}
