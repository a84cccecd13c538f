//! A part of the table: its sets and chains, and whether they are as this version makes them.

use linkspan_netlink::error::Error;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Chain, Element, Set};
use linkspan_nftables::survey::FoundSet;
use linkspan_nftables::{Netfilter, expr};
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use super::{Elements, TABLE};
use crate::kernel;

/// The comment of each chain, which tells the layout of its part. The kernel keeps it since Linux 5.10. An older one
/// keeps none, and a part is made anew at each ADD there.
pub const LAYOUT: &str = "layout 2";

/// Sets and chains that belong together.
#[derive(Debug)]
pub struct Part {
    /// Its name in messages.
    pub name: &'static str,
    /// Sets and maps.
    pub sets: &'static [&'static Set],
    /// Chains with their rules, each with [`LAYOUT`] as its comment.
    pub chains: fn() -> Vec<Chain>,
    /// The elements that take the place of those of former sets.
    pub convert: fn(&Netfilter, &[Former]) -> Result<Elements<'static>>,
}

/// A set of an earlier layout, or of a wrong type, under the name of one of the part's sets.
#[derive(Debug)]
pub struct Former {
    /// The set.
    pub set: FoundSet,
    /// What is in it.
    pub elements: Vec<Element>,
}

/// What is there of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Missing,
    /// All of it.
    Whole,
    /// Not all, or of another layout: the reason.
    Broken(String),
}

/// A part as one request saw it, and the answers to what else was asked.
#[derive(Debug)]
pub struct Seen {
    /// The part.
    pub state: State,
    /// One for each question. They mean something where the part is whole.
    pub answers: Vec<Answer>,
}

/// Looks at a part, and at what else is asked, in one request.
pub fn see(
    netfilter: &Netfilter,
    part: &Part,
    questions: &[Question<'_>],
) -> std::result::Result<Seen, Error> {
    let chains = (part.chains)();
    let of_chain = |chain: &Chain| Question::Chain(TABLE, chain.name);
    let mut all: Vec<_> = chains.iter().map(of_chain).collect();
    all.extend(questions);
    let mut answers = netfilter.look(&all)?;
    let rest = answers.split_off(chains.len());
    // The kernel refuses every question alike where it has no nf_tables.
    if let Some(Answer::Refused(err)) = answers.first() {
        return Err(err.clone());
    }
    Ok(Seen {
        state: judge(&chains, &answers),
        answers: rest,
    })
}

/// A chain that was flushed has lost its rules, and those it led to have lost a user. Rules of somebody else may have been
/// added to it, or lead there.
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

/// The part is whole. CHECK says so.
pub fn verify(netfilter: &Netfilter, part: &Part) -> Result<()> {
    let found = match see(netfilter, part, &[]).map_err(kernel)?.state {
        State::Whole => return Ok(()),
        State::Missing => "nothing of it".to_owned(),
        State::Broken(reason) => reason,
    };
    let what = format!("{} in {TABLE}", part.name);
    Err(mismatch(what, "its rules", &found).hint("`linkspan restore` puts back what is missing"))
}

/// The elements of former sets that differ from the part's in their flags alone.
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
