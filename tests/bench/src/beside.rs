//! Cases on a crowded node: published ports, or rules of iptables-legacy. The crowd goes with the case.

use std::fmt::Write;

use linkspan_harness::call::Call;
use linkspan_harness::skip;

use crate::chain::{Chain, List, Pod, Verb};
use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// The crowd.
#[derive(Debug)]
pub(crate) enum Company {
    /// The ports of another pod of the same suite.
    Ports(List, Pod),
    /// This many rules in each family of the table `nat` of `iptables-legacy`.
    LegacyRules(usize),
}

/// A list whose pod is attached and detached beside the crowd.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) chain: Chain,
    pub(crate) company: Company,
}

const LEGACY: [&str; 2] = ["iptables-legacy-restore", "ip6tables-legacy-restore"];

/// Returns whether iptables-legacy can be filled; prints a line if not.
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

/// Recreates the table `nat` of both families with these lines.
fn fill(lines: &str) {
    for tool in LEGACY {
        let Some(tool) = skip::without(tool) else {
            return;
        };
        let script = format!("*nat\n{lines}COMMIT\n");
        // The usual lock is of root alone, and of no use in a namespace of our own.
        let call = Call::new(&tool).env("XTABLES_LOCKFILE", "/dev/null");
        call.stdin(script.as_bytes()).run().succeeded();
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

    fn lives(&self) -> bool {
        self.chain.lives()
    }

    fn attach(&mut self, number: u16) {
        self.chain.attach(number);
    }

    fn detach(&mut self, number: u16) -> Cost {
        self.chain.detach(number)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.company.go();
    }
}
