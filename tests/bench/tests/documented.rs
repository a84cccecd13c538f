//! The tables of figures in README.md and docs/performance.md are those of docs/benchmark.json.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use linkspan_harness::kept::{file_is_kept, with_part};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The rows of README.md.
const BRIEF: [(&str, &str); 5] = [
    ("loopback", "ADD"),
    ("pod chain", "ADD"),
    ("pod chain", "DEL, lived"),
    ("engines' chain", "ADD"),
    ("engines' chain", "DEL, lived"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The figures of one run.
struct Record(Value);

impl Record {
    fn all(&self, key: &str) -> &[Value] {
        self.0[key].as_array().unwrap()
    }

    fn figure(&self, (case, verb, who): (&str, &str, &str)) -> Option<&Value> {
        let mut all = self.all("figures").iter();
        all.find(|figure| {
            figure["case"] == case && figure["operation"] == verb && figure["who"] == who
        })
    }

    /// A value of a figure, with so many digits; empty if it was not measured.
    fn told(&self, what: (&str, &str, &str), key: &str, digits: usize) -> String {
        let figure = self.figure(what);
        figure.map_or(String::new(), |figure| number(&figure[key], digits))
    }

    /// A ratio, with its spread.
    fn ratio(&self, what: (&str, &str, &str), of: &str, digits: usize) -> String {
        let value = self.told(what, &format!("{of}Ratio"), digits);
        let spread = self
            .figure(what)
            .and_then(|figure| figure[format!("{of}Spread")].as_array());
        spread.map_or(value.clone(), |ends| {
            let [low, high] = [0, 1].map(|end| number(&ends[end], digits));
            format!("{value} ({low} to {high})")
        })
    }

    /// Our cases and verbs, in the order of the benchmark.
    fn ours(&self) -> Vec<(&str, &str)> {
        let all = self.all("figures").iter();
        let ours = all.filter(|figure| figure["who"] == "linkspan");
        ours.map(|figure| (text(figure, "case"), text(figure, "operation")))
            .collect()
    }

    fn rate(&self, runtimes: &Value, who: &str) -> Option<f64> {
        let mut all = self.all("throughput").iter();
        let found = all.find(|told| told["runtimes"] == *runtimes && told["who"] == who)?;
        found["podsPerSecond"].as_f64()
    }

    /// The machine, and the C library of the measured plugins.
    fn machine(&self) -> String {
        let machine = &self.0["machine"];
        let (processors, processor) = (&machine["processors"], text(machine, "processor"));
        let kernel = text(machine, "kernel").split('-').next().unwrap();
        let libc = machine["libc"].as_str().map_or(String::new(), |banner| {
            let version = banner.rsplit_once("version ");
            version.map_or(format!(", {banner}"), |(_, it)| format!(", glibc {it}"))
        });
        format!("{processors} processors ({processor}, Linux {kernel}{libc})")
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap()
}

fn number(value: &Value, digits: usize) -> String {
    let value = value.as_f64();
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

/// A table in Markdown, whose first column has words.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = format!("|---|{}\n", "--:|".repeat(head.len() - 1));
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{rows}", line(&head).replace("|  |", "| |"))
}

/// The name of a case and verb, with the times of ours and of the other suite.
fn beside(record: &Record, (case, verb): (&str, &str)) -> Vec<String> {
    let of = |who, key| record.told((case, verb, who), key, 2);
    vec![
        format!("{case} {verb}"),
        of("linkspan", "p50Ms"),
        of("linkspan", "p99Ms"),
        of("compared", "p50Ms"),
        of("compared", "p99Ms"),
    ]
}

fn brief(record: &Record) -> String {
    let row = |(case, verb)| {
        let ratio = |key| record.told((case, verb, "compared"), key, 1);
        let mut row = beside(record, (case, verb));
        row.extend(["wallRatio", "cpuRatio"].map(ratio));
        row
    };
    let head = ["", "ours", "p99", "Go suite", "p99", "× time", "× CPU"];
    let rows: Vec<_> = BRIEF.into_iter().map(row).collect();
    format!(
        "Milliseconds on {}.\n\n{}",
        record.machine(),
        table(&head, &rows)
    )
}

/// Each verb of each case that stands by itself.
fn verbs(record: &Record) -> String {
    let is_apart = |case: &str| {
        let parts = [" pod on ", " pod with ", "at once", "host-local, /"];
        !parts.iter().any(|part| case.contains(part))
    };
    let row = |(case, verb)| {
        let ratio = |who, of, digits| record.ratio((case, verb, who), of, digits);
        let mut row = beside(record, (case, verb));
        row.extend([
            ratio("compared", "wall", 1),
            record.told((case, verb, "compared"), "cpuRatio", 1),
            ratio("nftables", "wall", 1),
            ratio("netavark", "wall", 1),
            record.told((case, verb, "floor"), "p50Ms", 2),
            ratio("linkspan", "floor", 2),
        ]);
        row
    };
    let head = [
        "",
        "ours",
        "p99",
        "Go suite",
        "p99",
        "× time",
        "× CPU",
        "× time, its nf_tables",
        "× time, netavark",
        "floor",
        "ours ÷ floor",
    ];
    let ours = record.ours().into_iter();
    let rows: Vec<_> = ours.filter(|(case, _)| is_apart(case)).map(row).collect();
    let netavark = record.0["machine"]["netavark"].as_str();
    let beside = netavark.map_or(String::new(), |version| format!(", beside {version}"));
    let machine = record.machine();
    format!(
        "Milliseconds on {machine}{beside}.\n\n{}",
        table(&head, &rows)
    )
}

fn growth(record: &Record) -> String {
    let row = |case| {
        let of = |verb| {
            let told = |who, key| record.told((case, verb, who), key, 2);
            [
                told("linkspan", "p50Ms"),
                told("linkspan", "p99Ms"),
                told("floor", "p50Ms"),
                told("linkspan", "floorRatio"),
                told("compared", "p50Ms"),
            ]
        };
        let name = [case.to_owned()].into_iter();
        name.chain(of("ADD")).chain(of("DEL, lived")).collect()
    };
    let head = [
        "",
        "ADD",
        "p99",
        "floor",
        "ours ÷ floor",
        "Go suite",
        "DEL, lived",
        "p99",
        "floor",
        "ours ÷ floor",
        "Go suite",
    ];
    let ours = record.ours().into_iter();
    let cases = ours.filter(|(case, verb)| {
        *verb == "ADD"
            && [" pod on ", " pod with "]
                .iter()
                .any(|part| case.contains(part))
    });
    table(&head, &cases.map(|(case, _)| row(case)).collect::<Vec<_>>())
}

fn pools(record: &Record) -> String {
    let ours = record.ours().into_iter();
    let pools = ours.filter(|(case, _)| case.starts_with("host-local, /"));
    let head = ["", "ours", "p99", "Go suite", "p99"];
    table(
        &head,
        &pools.map(|of| beside(record, of)).collect::<Vec<_>>(),
    )
}

fn runtimes(record: &Record) -> String {
    let ours = record.all("throughput").iter();
    let ours = ours.filter(|told| told["who"] == "linkspan");
    let row = |told: &Value| {
        let many = &told["runtimes"];
        let case = format!("pod on a bridge, {many} runtimes at once");
        let rate = |who| record.rate(many, who);
        let whole = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!("{rate:.0}"));
        let part = rate("linkspan").zip(rate("floor"));
        let of = |who, key| record.told((&case, "ADD", who), key, 0);
        vec![
            many.to_string(),
            whole(rate("linkspan")),
            whole(rate("floor")),
            part.map_or(String::new(), |(ours, floor)| {
                format!("{:.2}", ours / floor)
            }),
            whole(rate("compared")),
            whole(rate("nftables")),
            of("linkspan", "p50Ms"),
            of("linkspan", "p99Ms"),
            of("compared", "p50Ms"),
            of("compared", "p99Ms"),
        ]
    };
    let head = [
        "runtimes at once",
        "pods a second",
        "floor",
        "ours ÷ floor",
        "Go suite",
        "its nf_tables",
        "ADD",
        "p99",
        "Go suite's ADD",
        "p99",
    ];
    table(&head, &ours.map(row).collect::<Vec<_>>())
}

fn aims(record: &Record) -> String {
    let row = |aim: &Value| {
        let text = |key| text(aim, key).to_owned();
        let [before, value, low, high] =
            ["before", "value", "low", "high"].map(|key| number(&aim[key], 2));
        let met = if aim["isMet"] == true {
            "met"
        } else {
            "missed"
        };
        let spread = if low == high {
            String::new()
        } else {
            format!("{low} to {high}")
        };
        vec![
            text("name"),
            text("wanted"),
            before,
            value,
            spread,
            met.to_owned(),
        ]
    };
    let head = ["", "aim", "before", "now", "90 % of draws", ""];
    let rows: Vec<_> = record.all("aims").iter().map(row).collect();
    table(&head, &rows)
}

#[test]
fn the_documents_have_the_figures_of_the_benchmark() {
    let record = Record(serde_json::from_str(&read("docs/benchmark.json")).unwrap());
    let documents = [
        ("README.md", vec![("figures", brief(&record))]),
        (
            "docs/performance.md",
            vec![
                ("verbs", verbs(&record)),
                ("growth", growth(&record)),
                ("pools", pools(&record)),
                ("runtimes", runtimes(&record)),
                ("aims", aims(&record)),
            ],
        ),
    ];
    for (document, parts) in documents {
        let text = parts.iter().fold(read(document), |text, (name, part)| {
            with_part(&text, name, part).unwrap()
        });
        file_is_kept(document, &text);
    }
}
