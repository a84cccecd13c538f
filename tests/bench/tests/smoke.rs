//! The benchmark runs, and its output can be read. What it measures is nobody's business here.

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::lab::in_lab;
use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_linkspan-bench");

#[test]
fn figures_come_as_a_table_as_json_and_as_a_chart() {
    in_lab(BENCH, |lab| {
        let file = |name| lab.dir().join(name).display().to_string();
        let (json, svg) = (file("figures.json"), file("chart.svg"));
        let bench = Call::new(BENCH.as_ref()).args(&["--rounds", "3", "--only", "loopback"]);
        let run = bench.args(&["--json", &json, "--svg", &svg]).run();
        let rows: Vec<_> = run.succeeded().lines().skip(2).collect();
        // A head, a rule, and for each verb us and the floor.
        assert_eq!(rows.iter().filter(|row| row.starts_with('|')).count(), 6);
        let figures: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        let figures = figures["figures"].as_array().unwrap();
        let of = |key: &str| figures.iter().map(|figure| figure[key].clone()).collect();
        let (operations, who): (Vec<Value>, Vec<Value>) = (of("operation"), of("who"));
        assert_eq!(operations, ["ADD", "ADD", "DEL", "DEL"]);
        assert_eq!(who, ["linkspan", "floor", "linkspan", "floor"]);
        for figure in figures {
            assert_eq!(figure["rounds"], 3);
            assert!(figure["p50Ms"].as_f64().unwrap() > 0.0);
        }
        let chart = fs::read_to_string(svg).unwrap();
        assert_eq!(chart.matches("<rect").count(), 5, "{chart}");
        assert!(chart.ends_with("</svg>\n"));
    });
}
