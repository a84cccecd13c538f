//! The benchmark runs, and its output can be read. The figures do not matter here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, in_lab};
use serde_json::{Value, json};

const BENCH: &str = env!("CARGO_BIN_EXE_linkspan-bench");

/// The benchmark's JSON output for these options.
fn told(lab: &Lab, options: &[&str]) -> Value {
    let json = lab.dir().join("figures.json").display().to_string();
    let bench = Call::new(BENCH.as_ref()).args(&["--rounds", "3", "--json", &json]);
    bench.args(options).run().succeeded();
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

/// Case, operation, suite and comparison of each figure.
fn names(told: &Value) -> Vec<[String; 4]> {
    let figures = told["figures"].as_array().unwrap();
    let keys = ["case", "operation", "who", "base"];
    let text = |figure: &Value, key| figure[key].as_str().unwrap_or_default().to_owned();
    figures
        .iter()
        .map(|figure| keys.map(|key| text(figure, key)))
        .collect()
}

#[test]
fn figures_come_as_a_table_as_json_and_as_a_chart() {
    in_lab(BENCH, |lab| {
        let file = |name| lab.dir().join(name).display().to_string();
        let (json, svg) = (file("figures.json"), file("chart.svg"));
        let bench = Call::new(BENCH.as_ref()).args(&["--rounds", "3", "--only", "loopback"]);
        let run = bench.args(&["--json", &json, "--svg", &svg]).run();
        let rows: Vec<_> = run.succeeded().lines().skip(2).collect();
        // A head, a rule, and two rows for each verb: ours and the floor.
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

#[test]
fn growth_is_told_beside_the_floor_of_the_same_node() {
    in_lab(BENCH, |lab| {
        for network in ["on a bridge", "with ptp"] {
            let options = ["--pods", "10", "--only", &format!("pod {network}")];
            let told = told(lab, &[&options[..], &["--runtimes", "1"]].concat());
            let case = |ordinal| format!("{ordinal} pod {network}");
            let mut expected = Vec::new();
            for operation in ["ADD", "DEL", "DEL, lived"] {
                for who in ["linkspan", "floor"] {
                    expected.push([&case("10th"), operation, who, ""].map(str::to_owned));
                }
            }
            let mut names = names(&told);
            names.retain(|[case, ..]| !case.contains("at once"));
            assert_eq!(names, expected);
            for figure in told["figures"].as_array().unwrap() {
                let ours = figure["who"] == "linkspan";
                assert_eq!(figure["floorRatio"].is_f64(), ours, "{figure}");
            }
        }
    });
}

#[test]
fn runtimes_at_once_are_told_by_their_number() {
    in_lab(BENCH, |lab| {
        let told = told(lab, &["--only", "at once", "--runtimes", "2,3"]);
        let case = |runtimes| format!("pod on a bridge, {runtimes} runtimes at once");
        let figures = names(&told);
        let cases: Vec<&str> = figures.iter().map(|[case, ..]| case.as_str()).collect();
        // Ours and the floor's, each with two verbs.
        assert_eq!(cases, [vec![case(2); 4], vec![case(3); 4]].concat());
        let rounds: Vec<_> = told["figures"].as_array().unwrap().iter().collect();
        // Two runtimes attach three pods in each of three turns.
        assert_eq!(rounds[0]["rounds"], 18);
        let throughput = told["throughput"].as_array().unwrap();
        for (told, runtimes) in throughput.iter().zip([2, 2, 3, 3]) {
            assert_eq!(told["runtimes"], json!(runtimes));
            assert!(told["podsPerSecond"].as_f64().unwrap() > 0.0);
        }
        assert_eq!(throughput.len(), 4);
    });
}

#[test]
fn a_pool_in_use_is_compared_with_the_empty_one() {
    in_lab(BENCH, |lab| {
        let case = "host-local, /20 50 %";
        let told = told(lab, &["--only", case]);
        let expected = ["ADD", "DEL"].map(|operation| {
            [case, operation, "linkspan", "host-local, /20 0 %"].map(str::to_owned)
        });
        assert_eq!(names(&told), expected);
    });
}
