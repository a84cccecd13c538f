//! Cases beside much that others have on the node: published ports, or rules of the older packet filter. What is there goes
//! with the case.

use std::fmt::Write;

use linkspan_harness::call::Call;
use linkspan_harness::skip;

use crate::chain::{Chain, List, Pod, Verb};
use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// What others have.
#[derive(Debug)]
pub(crate) enum Company {
    /// The ports of another pod of the same suite.
    Ports(List, Pod),
    /// So many rules in each family of the table `nat` of `iptables-legacy`.
    LegacyRules(usize),
}

/// A list whose pod comes and goes beside them.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) chain: Chain,
    pub(crate) company: Company,
}

const LEGACY: [&str; 2] = ["iptables-legacy-restore", "ip6tables-legacy-restore"];

/// Whether the older packet filter can be filled; told where it cannot.
pub(crate) fn has_legacy() -> bool {
    LEGACY.iter().all(|tool| skip::without(tool).is_some())
}

impl Company {
    fn come(&mut self) {
        match self {
            Self::Ports(list, pod) => drop(pod.run(list, Verb::Add, &Mode::Timed)),
            Self::LegacyRules(many) => {
                let mut rules = String::from(":BENCH - [0:0]\n");
                for port in 1..=*many {
                    writeln!(rules, "-A BENCH -p tcp --dport {port} -j RETURN").unwrap();
                }
                fill(&rules);
            }
        }
    }

    fn go(&mut self) {
        match self {
            Self::Ports(list, pod) => drop(pod.run(list, Verb::Del, &Mode::Timed)),
            Self::LegacyRules(_) => fill(""),
        }
    }
}

/// Makes table `nat` of both families anew, with these lines.
fn fill(lines: &str) {
    for tool in LEGACY {
        let Some(tool) = skip::without(tool) else {
            return;
        };
        let script = format!("*nat\n{lines}COMMIT\n");
        Call::new(&tool).stdin(script.as_bytes()).run().succeeded();
    }
}

impl Scenario for Beside {
    fn case(&self) -> String {
        self.chain.case()
    }

    fn who(&self) -> Who {
        self.chain.who()
    }

    fn prepare(&mut self) {
        self.company.come();
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        self.chain.round(mode)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.company.go();
    }
}
