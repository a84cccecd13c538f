//! The benchmark runs, and its output can be read. What it measures is nobody's business here.

use std::path::Path;

use linkspan_harness::call::Call;

#[test]
fn figures_come_as_a_table_and_as_json() {
    let bench = Call::new(Path::new(env!("CARGO_BIN_EXE_linkspan-bench")));
    let bench = bench.args(&["--rounds", "3", "--only", "/16 0 %"]);
    let table = bench.run();
    assert_eq!(table.succeeded().lines().count(), 3, "{}", table.stdout);
    let figures = bench.args(&["--json"]).run().json();
    let operations: Vec<_> = figures
        .as_array()
        .unwrap()
        .iter()
        .map(|figure| &figure["operation"])
        .collect();
    assert_eq!(operations, ["ADD", "DEL"]);
    for figure in figures.as_array().unwrap() {
        assert_eq!(figure["rounds"], 3);
        assert_eq!(figure["p99Ratio"], 1.0);
        assert!(figure["p50Ms"].as_f64().unwrap() > 0.0);
    }
}
