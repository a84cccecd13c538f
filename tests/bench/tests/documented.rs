//! The tables of figures in README.md and docs/performance.md are those of docs/benchmark.json.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim_matches('|');
    inner.split('|').map(str::trim).collect()
}

/// The row of a case and verb in the documents' form, from ours to the floor.
fn rows() -> BTreeMap<String, Vec<String>> {
    let record: Value = serde_json::from_str(&read("docs/benchmark.json")).unwrap();
    let figures = record["figures"].as_array().unwrap();
    let row = |ours: &Value| {
        let of = |who: &str, key: &str, digits: usize| {
            let same = |other: &&Value| {
                other["who"] == who
                    && ["case", "operation"]
                        .iter()
                        .all(|key| other[key] == ours[key])
            };
            let figure = figures
                .iter()
                .find(same)
                .and_then(|other| other[key].as_f64());
            figure.map_or(String::new(), |figure| format!("{figure:.digits$}"))
        };
        vec![
            of("linkspan", "p50Ms", 2),
            of("linkspan", "p99Ms", 2),
            of("compared", "p50Ms", 2),
            of("compared", "p99Ms", 2),
            of("compared", "wallRatio", 1),
            of("compared", "cpuRatio", 1),
            of("floor", "p50Ms", 2),
            of("linkspan", "floorRatio", 2),
        ]
    };
    let ours = figures.iter().filter(|figure| figure["who"] == "linkspan");
    let name = |ours: &Value| {
        let [case, verb] = ["case", "operation"].map(|key| ours[key].as_str().unwrap());
        format!("{case} {verb}")
    };
    ours.map(|ours| (name(ours), row(ours))).collect()
}

#[test]
fn the_documents_have_the_figures_of_the_benchmark() {
    let rows = rows();
    for (document, least) in [("README.md", 5), ("docs/performance.md", 20)] {
        let text = read(document);
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let cells = cells(line);
            let Some(row) = rows.get(cells[0]) else {
                continue;
            };
            // README has no floor.
            let shown = cells.len() - 1;
            assert_eq!(cells[1..], row[..shown], "{document}: {line}");
            count += 1;
        }
        assert!(count >= least, "{document}: {count} rows");
    }
}

#[test]
fn the_figures_of_growth_are_those_of_the_benchmark() {
    let rows = rows();
    let text = read("docs/performance.md");
    let mut count = 0;
    for line in text.lines().filter(|line| line.contains(" pod ")) {
        let cells = cells(line);
        let (Some(add), Some(del)) = (
            rows.get(&format!("{} ADD", cells[0])),
            rows.get(&format!("{} DEL", cells[0])),
        ) else {
            continue;
        };
        let expected = [add, del]
            .into_iter()
            .flat_map(|row| [0, 1, 6, 7, 2].map(|at| row[at].as_str()));
        assert_eq!(cells[1..], expected.collect::<Vec<_>>(), "{line}");
        count += 1;
    }
    assert!(count >= 9, "{count} rows");
}
