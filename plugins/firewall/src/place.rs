//! The location of the table `filter` of iptables: in nf_tables, in iptables-legacy, or nowhere yet.

use linkspan_filter::iptables::Iptables;
use linkspan_filter::kernel;
use linkspan_nftables::Batch;
use linkspan_nftables::Netfilter;
use linkspan_nftables::legacy_filter::LegacyFilter;
use linkspan_nftables::ruleset::Table;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::chains::{ACCEPTS, Found, HOOK, STAGE_1, STAGE_2, Step};

const FILTER: &str = "filter";

/// The kernel's refusals if a rule was deleted, or a key taken, since the look.
pub(crate) const RACES: [Errno; 2] = [Errno::ENOENT, Errno::EEXIST];

/// The table of a family in nf_tables, under the name of `iptables-nft`.
pub(crate) fn table(family: Family) -> Table {
    Table {
        family: family.into(),
        name: FILTER,
    }
}

/// The families of which nf_tables has it.
pub(crate) fn natives(netfilter: &Netfilter, families: &[Family]) -> Result<Vec<Family>> {
    let hooks: Vec<_> = families
        .iter()
        .map(|family| (table(*family), HOOK))
        .collect();
    let there = netfilter.has_chains(&hooks).map_err(kernel)?;
    let all = families.iter().zip(there).filter(|(_, there)| *there);
    Ok(all.map(|(family, _)| *family).collect())
}

/// The part of a chain that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    /// The start of the long chain, with the jump to the administrator's chain. The rest has rules for each address.
    Beginning,
}

/// The chains in nf_tables, of those that are asked for. That of the administrator is there without its rules, which are
/// nobody else's business.
pub(crate) fn native(
    netfilter: &Netfilter,
    family: Family,
    chains: &[&str],
    extent: Extent,
) -> Result<Found> {
    let table = table(family);
    let mut found = Found::new();
    let all: Vec<_> = chains.iter().map(|chain| (table, *chain)).collect();
    let there = netfilter.has_chains(&all).map_err(kernel)?;
    for (chain, _) in chains.iter().zip(there).filter(|(_, there)| *there) {
        let rules = if ![HOOK, ACCEPTS, STAGE_1, STAGE_2].contains(chain) {
            Vec::new()
        } else if extent == Extent::Beginning && *chain == ACCEPTS {
            let another = Netfilter::open().map_err(kernel)?;
            another.first_filter_rules(table, chain).map_err(kernel)?
        } else {
            netfilter.filter_rules(table, chain).map_err(kernel)?
        };
        found.insert((*chain).to_owned(), rules);
    }
    Ok(found)
}

/// Adds the steps to a transaction.
pub(crate) fn plan(batch: &mut Batch, family: Family, steps: &[Step]) {
    let table = table(family);
    for step in steps {
        match step {
            Step::Make(chain) => batch.ensure_chain(table, chain),
            Step::Add(chain, rule, end) => batch.add_filter_rule(table, chain, rule, *end),
            Step::Delete(chain, handle, _) => batch.delete_rule(table, chain, *handle),
        }
    }
}

/// The table of iptables-legacy, if it has any effect.
pub(crate) fn older(family: Family) -> Result<Option<LegacyFilter>> {
    let found = LegacyFilter::read(family).map_err(kernel)?;
    Ok(found.filter(LegacyFilter::is_effective))
}

/// The requested chains that it has.
pub(crate) fn chains(older: &LegacyFilter, chains: &[&str]) -> Found {
    let there = chains.iter().filter(|chain| older.has_chain(chain));
    there
        .map(|chain| ((*chain).to_owned(), older.rules(chain)))
        .collect()
}

/// Applies the steps in iptables-legacy: executes one program, or none without steps.
pub(crate) fn apply_older(family: Family, steps: &[Step]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    Iptables::apply_legacy(family, FILTER, &lines(steps))
}

/// Applies the steps with the system's default program, while neither filter has the table.
pub(crate) fn apply_first(family: Family, steps: &[Step]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    Iptables::of(family).on(FILTER).apply(&lines(steps))
}

fn lines(steps: &[Step]) -> Vec<String> {
    use linkspan_nftables::batch::End;
    let line = |step: &Step| match step {
        Step::Make(chain) => format!(":{chain} - [0:0]"),
        Step::Add(chain, rule, End::First) => format!("-I {chain} 1 {}", rule.text()),
        Step::Add(chain, rule, End::Last) => format!("-A {chain} {}", rule.text()),
        Step::Delete(chain, _, rule) => format!("-D {chain} {}", rule.text()),
    };
    steps.iter().map(line).collect()
}
