//! A part of the table: its sets and chains, and a check against this version's form.

use linkspan_netlink::error::Error;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Chain, Element, Set, Table};
use linkspan_nftables::survey::FoundSet;
use linkspan_nftables::{Netfilter, expr};
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use super::Elements;
use crate::kernel;

/// The comment of each chain names the layout of its part; this is that of most. The kernel keeps comments since Linux
/// 5.10. On older kernels each ADD rebuilds the part.
pub const LAYOUT: &str = "layout 2";

/// Sets and chains that belong together.
#[derive(Debug)]
pub struct Part {
    /// Its name in messages.
    pub name: &'static str,
    /// The table that has it.
    pub table: Table,
    /// Sets and maps.
    pub sets: &'static [&'static Set],
    /// Chains with their rules, each with the layout as its comment, which is usually [`LAYOUT`].
    pub chains: fn() -> Vec<Chain>,
    /// Converts elements of former sets.
    pub convert: fn(&Netfilter, &[Former]) -> Result<Elements<'static>>,
}

/// A set of an earlier layout, or of a wrong type, under the name of a set of the part.
#[derive(Debug)]
pub struct Former {
    /// The set.
    pub set: FoundSet,
    /// Its elements.
    pub elements: Vec<Element>,
}

/// The state of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing exists.
    Missing,
    /// Everything exists.
    Whole,
    /// Something is missing or of another layout, for this reason.
    Broken(String),
}

/// A part and the answers to other questions, from one request.
#[derive(Debug)]
pub struct Seen {
    /// The part.
    pub state: State,
    /// One answer for each question, meaningful if the part is whole.
    pub answers: Vec<Answer>,
}

/// Looks at a part, and asks other questions, in one request.
pub fn see(
    netfilter: &Netfilter,
    part: &Part,
    questions: &[Question<'_>],
) -> std::result::Result<Seen, Error> {
    let chains = (part.chains)();
    let of_chain = |chain: &Chain| Question::Chain(part.table, chain.name);
    let mut all: Vec<_> = chains.iter().map(of_chain).collect();
    all.extend(questions);
    let mut answers = netfilter.look(&all)?;
    let rest = answers.split_off(chains.len());
    // A kernel without nf_tables refuses every question.
    if let Some(Answer::Refused(err)) = answers.first() {
        return Err(err.clone());
    }
    Ok(Seen {
        state: judge(&chains, &answers),
        answers: rest,
    })
}

/// Compares the chains with their counts of users. A flushed chain has lost its rules, and the targets of its jumps
/// have lost a user. Foreign rules may add to the counts.
fn judge(chains: &[Chain], answers: &[Answer]) -> State {
    if answers.iter().all(|answer| answer.chain().is_none()) {
        return State::Missing;
    }
    for (chain, answer) in chains.iter().zip(answers) {
        let name = chain.name;
        let Some(found) = answer.chain() else {
            return State::Broken(format!("chain {name} is missing"));
        };
        if found.comment != chain.comment {
            return State::Broken(format!("chain {name} is of another layout"));
        }
        let expected = chain.rules.len() + jumps_to(chains, name);
        if usize::try_from(found.uses).is_ok_and(|uses| uses < expected) {
            return State::Broken(format!("rules of chain {name} are missing"));
        }
    }
    State::Whole
}

fn jumps_to(chains: &[Chain], name: &str) -> usize {
    let jump = expr::jump(name);
    let rules = chains.iter().flat_map(|chain| &chain.rules);
    rules.filter(|rule| rule.exprs.contains(&jump)).count()
}

/// For CHECK: verifies that the part is whole.
pub fn verify(netfilter: &Netfilter, part: &Part) -> Result<()> {
    let found = match see(netfilter, part, &[]).map_err(kernel)?.state {
        State::Whole => return Ok(()),
        State::Missing => "nothing of it".to_owned(),
        State::Broken(reason) => reason,
    };
    let what = format!("{} in {}", part.name, part.table);
    Err(mismatch(what, "its rules", &found).hint("`linkspan restore` puts back what is missing"))
}

/// The elements of former sets that differ from the part's sets only in their flags.
pub fn elements_of(sets: &[&'static Set], former: &[Former]) -> Elements<'static> {
    let of_set = |former: &Former| {
        let same = |set: &&&'static Set| {
            former.set.name == set.name
                && former.set.has_key(set.key)
                && former.set.has_value(set.value)
        };
        let set = sets.iter().find(same)?;
        Some((*set, former.elements.clone()))
    };
    former.iter().filter_map(of_set).collect()
}
