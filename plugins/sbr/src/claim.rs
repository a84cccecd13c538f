//! The routing tables of addresses. A rule claims a table. An ADD whose table has another rule by now chooses another
//! table, so no lock is needed.

use std::collections::BTreeSet;

use linkspan_attach::creation::random;
use linkspan_attach::{Side, kernel};
use linkspan_netlink::rule::Rule;
use linkspan_netlink::stored::Stored;
use linkspan_owner::Owner;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::IpConfig;
use nix::errno::Errno;

use crate::is_rule_of;

/// The first table to try, as in the reference.
const FIRST: u32 = 100;
/// Tables that every namespace has: default, main and local.
const RESERVED: [u32; 3] = [253, 254, 255];
/// Maximum number of conflicts with other ADDs.
const ATTEMPTS: u32 = 10;

/// An address and its table.
pub(crate) type Way = (IpConfig, u32);

/// The numbers of one attachment's rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// Identifies rules to our own tables, whose routes DEL puts back.
    pub(crate) filled: u32,
    /// Identifies rules to a table that others fill.
    pub(crate) foreign: u32,
}

impl Marks {
    pub(crate) fn of(owner: &Owner) -> Self {
        let filled = owner.number();
        let foreign = filled | 1;
        Self { filled, foreign }
    }

    /// Returns whether the attachment made the rule.
    pub(crate) fn has(self, rule: &Rule) -> bool {
        [Some(self.filled), Some(self.foreign)].contains(&rule.owner)
    }
}

/// The tables for the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tables<'a> {
    /// One table, which others fill.
    Fixed(u32),
    /// An unused table for each address. A table of one of these routes is in use.
    Free(&'a [Stored]),
}

/// The claims of one attachment.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) side: &'a Side,
    pub(crate) netns: &'a NetnsPath,
    pub(crate) marks: Marks,
    /// The interface, if sockets bound to it get a rule.
    pub(crate) oif: Option<&'a str>,
}

impl Claim<'_> {
    /// Creates the rules of the addresses. A rule of an earlier ADD stays while its address is in the result.
    pub(crate) fn tables(
        &self,
        ips: &[IpConfig],
        tables: Tables<'_>,
        undo: &mut Undo,
    ) -> Result<Vec<Way>> {
        for attempt in 0..ATTEMPTS {
            let rules = rules(self.side)?;
            let ways = match tables {
                Tables::Fixed(table) => ips.iter().map(|ip| (ip.clone(), table)).collect(),
                Tables::Free(routes) => self.choose(ips, &rules, routes, attempt),
            };
            let is_fixed = matches!(tables, Tables::Fixed(_));
            let wanted = self.wanted(&ways, is_fixed);
            let own = rules.iter().filter(|rule| self.marks.has(rule));
            let (present, stale): (Vec<_>, Vec<_>) =
                own.partition(|rule| wanted.iter().any(|wanted| is_same(rule, wanted)));
            for rule in stale {
                self.remove(rule, undo)?;
            }
            for rule in &wanted {
                if !present.iter().any(|present| is_same(present, rule)) {
                    self.add(rule, undo)?;
                }
            }
            if is_fixed || !self.is_contested(&ways)? {
                return Ok(ways);
            }
            for rule in &wanted {
                delete(self.side, rule)?;
            }
        }
        let text = format!("other plugins took each of {ATTEMPTS} routing tables at the same time");
        Err(Failure::new(ErrorCode::TRY_AGAIN_LATER, text).hint("try again"))
    }

    /// The tables of an earlier ADD, and free ones. After a conflict it skips some, so that two ADDs do not collide
    /// for ever.
    fn choose(
        &self,
        ips: &[IpConfig],
        rules: &[Rule],
        routes: &[Stored],
        attempt: u32,
    ) -> Vec<Way> {
        let mut taken: BTreeSet<u32> = rules.iter().filter_map(|rule| rule.table).collect();
        taken.extend(routes.iter().map(Stored::table));
        taken.extend(RESERVED);
        let skipped = match attempt {
            0 => 0,
            _ => random() % (1 << attempt),
        };
        let free = (FIRST..).filter(|table| !taken.contains(table));
        let mut free = free.skip(usize::try_from(skipped).unwrap_or(0));
        let mut ways = Vec::new();
        for ip in ips {
            let is_earlier =
                |rule: &&Rule| rule.owner == Some(self.marks.filled) && is_rule_of(rule, ip);
            let earlier = rules.iter().find(is_earlier).and_then(|rule| rule.table);
            let table = earlier.or_else(|| free.next());
            ways.extend(table.map(|table| (ip.clone(), table)));
        }
        ways
    }

    fn wanted(&self, ways: &[Way], is_foreign: bool) -> Vec<Rule> {
        let to_table = |family, table| {
            let mut rule = Rule::of_table(family, table);
            let Marks { filled, foreign } = self.marks;
            rule.owner = Some(if is_foreign { foreign } else { filled });
            rule
        };
        let mut rules = Vec::new();
        for (ip, table) in ways {
            let address = ip.address.ip();
            let family = Family::of(address);
            let mut rule = to_table(family, *table);
            rule.src = Some((address, family.host_prefix()));
            rules.push(rule);
        }
        let Some(ifname) = self.oif else {
            return rules;
        };
        for family in Family::BOTH {
            let is_of_family = |(ip, _): &&Way| Family::of(ip.address.ip()) == family;
            if let Some((_, table)) = ways.iter().find(is_of_family) {
                let mut rule = to_table(family, *table);
                rule.oif = Some(ifname.to_owned());
                rules.push(rule);
            }
        }
        rules
    }

    /// Returns whether a rule of another owner leads to one of the tables.
    fn is_contested(&self, ways: &[Way]) -> Result<bool> {
        let is_ours = |table| ways.iter().any(|(_, way)| Some(*way) == table);
        let is_anothers = |rule: &Rule| !self.marks.has(rule) && is_ours(rule.table);
        Ok(rules(self.side)?.iter().any(is_anothers))
    }

    fn add(&self, rule: &Rule, undo: &mut Undo) -> Result<()> {
        let outcome = self.side.rtnl.add_rule(rule).map_err(kernel);
        let (netns, rule) = (self.netns.clone(), rule.clone());
        undo.push_unless_refused(outcome, "delete a rule", move || {
            Side::unless_gone(&netns, |sandbox| delete(sandbox, &rule))
        })
    }

    fn remove(&self, rule: &Rule, undo: &mut Undo) -> Result<()> {
        let outcome = delete(self.side, rule);
        let (netns, rule) = (self.netns.clone(), rule.clone());
        undo.push_unless_refused(outcome, "put back a rule", move || {
            Side::unless_gone(&netns, |sandbox| {
                sandbox.rtnl.add_rule(&rule).map_err(kernel)
            })
        })
    }
}

/// The rules of both families.
pub(crate) fn rules(side: &Side) -> Result<Vec<Rule>> {
    let mut all = Vec::new();
    for family in Family::BOTH {
        match side.rtnl.rules(family) {
            // A kernel without IPv6 has no rules of it.
            Err(err) if family == Family::V6 && err.is(Errno::EOPNOTSUPP) => {}
            rules => all.extend(rules.map_err(kernel)?),
        }
    }
    Ok(all)
}

/// Returns whether both rules look up the same packets in the same table, for the same owner. The kernel chooses the
/// priority.
fn is_same(one: &Rule, other: &Rule) -> bool {
    let parts = |rule: &Rule| {
        (
            rule.family,
            rule.src,
            rule.oif.clone(),
            rule.table,
            rule.owner,
        )
    };
    parts(one) == parts(other)
}

pub(crate) fn delete(side: &Side, rule: &Rule) -> Result<()> {
    match side.rtnl.delete_rule(rule) {
        Err(err) if err.is(Errno::ENOENT) => Ok(()),
        deleted => deleted.map_err(kernel),
    }
}
