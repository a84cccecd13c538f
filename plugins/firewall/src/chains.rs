//! The chains of iptables, exactly as the Go plugin creates them: names, comments, rules and their order. Pure.
//!
//! The Go plugin finds each rule by its arguments, so each suite can check and remove the other's rules. As with the
//! Go plugin, chains and the jumps to them stay.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use linkspan_nftables::batch::End;
use linkspan_nftables::expr::Direction;
use linkspan_nftables::filter_rule::{FilterRule, FoundFilterRule, Tracked, Verdict, Via};

use crate::claim::Member;
use crate::conf::Policy;

pub(crate) const HOOK: &str = "FORWARD";
pub(crate) const ACCEPTS: &str = "CNI-FORWARD";
pub(crate) const STAGE_1: &str = "CNI-ISOLATION-STAGE-1";
pub(crate) const STAGE_2: &str = "CNI-ISOLATION-STAGE-2";

const TO_ACCEPTS: &str = "CNI firewall plugin rules";
const TO_ADMIN: &str = "CNI firewall plugin admin overrides";

/// The prefix of the policies' comments.
const OF_POLICY: &str = "CNI firewall plugin rules (ingressPolicy: ";

/// The relevant chains of a family with their rules; missing chains are absent.
pub(crate) type Found = BTreeMap<String, Vec<FoundFilterRule>>;

/// A change of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Creates the chain.
    Make(String),
    /// Adds the rule at one end.
    Add(&'static str, FilterRule, End),
    /// Deletes the rule that was found.
    Delete(&'static str, u64, FilterRule),
}

/// The state that attachments need in the chains of one family.
#[derive(Debug, Clone)]
pub(crate) struct Need<'a> {
    /// Addresses to accept; none if iptables does not decide about them.
    pub(crate) accepted: Vec<IpAddr>,
    /// Addresses of other attachments, too, whose rules are recreated: a DEL that has planned to delete them is
    /// refused then.
    pub(crate) renewed: Vec<IpAddr>,
    pub(crate) admin: &'a str,
    pub(crate) member: Option<&'a Member>,
}

/// The steps that create missing state. Existing rules are not repeated.
pub(crate) fn establish(found: &Found, need: &Need<'_>) -> Vec<Step> {
    let mut plan = Plan {
        found,
        steps: Vec::new(),
    };
    if !need.accepted.is_empty() {
        plan.make(ACCEPTS);
        plan.make(need.admin);
        plan.add(HOOK, jump(ACCEPTS, TO_ACCEPTS), End::First);
        plan.add(ACCEPTS, jump(need.admin, TO_ADMIN), End::First);
    }
    for ip in &need.accepted {
        for rule in accepts(*ip) {
            if need.renewed.contains(ip) {
                plan.delete(ACCEPTS, |found| *found == rule);
                plan.steps.push(Step::Add(ACCEPTS, rule, End::Last));
            } else {
                plan.add(ACCEPTS, rule, End::Last);
            }
        }
    }
    if let Some(member) = need.member {
        plan.policy(member);
        if member.allow_published {
            plan.published(member, !need.accepted.is_empty());
        }
    }
    plan.steps
}

/// Returns whether the chain of accepted addresses, if it exists, jumps to the administrator's chain.
pub(crate) fn leads_to(found: &Found, admin: &str) -> bool {
    let wanted = jump(admin, TO_ADMIN);
    let rules = found.get(ACCEPTS);
    rules.is_none_or(|rules| {
        rules
            .iter()
            .any(|found| found.rule.as_ref() == Some(&wanted))
    })
}

/// The steps that remove the state of addresses and bridges without an attachment.
pub(crate) fn withdraw(
    found: &Found,
    addresses: &BTreeSet<IpAddr>,
    bridges: &BTreeSet<String>,
) -> Vec<Step> {
    let mut plan = Plan {
        found,
        steps: Vec::new(),
    };
    let rules: Vec<_> = addresses.iter().flat_map(|ip| accepts(*ip)).collect();
    plan.delete(ACCEPTS, |found| rules.contains(found));
    let is_theirs = |found: &FilterRule| {
        let names = [&found.input, &found.output].into_iter().flatten();
        let mut theirs = names.filter(|via| bridges.contains(&via.name));
        found.comment.starts_with(OF_POLICY) && theirs.next().is_some()
    };
    for chain in [HOOK, STAGE_1, STAGE_2] {
        plan.delete(chain, is_theirs);
    }
    plan.steps
}

/// The rules of an address, in the order of the Go plugin.
fn accepts(ip: IpAddr) -> [FilterRule; 2] {
    [
        FilterRule {
            destination: Some(ip),
            tracked: Some(Tracked::Answers),
            ..FilterRule::of(Verdict::Accept)
        },
        FilterRule {
            source: Some(ip),
            ..FilterRule::of(Verdict::Accept)
        },
    ]
}

fn jump(chain: &str, comment: &str) -> FilterRule {
    FilterRule {
        comment: comment.to_owned(),
        ..FilterRule::of(Verdict::Jump(chain.to_owned()))
    }
}

fn of_policy(words: &str) -> String {
    format!("{OF_POLICY}{words})")
}

struct Plan<'a> {
    found: &'a Found,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn make(&mut self, chain: &str) {
        if !self.found.contains_key(chain) {
            self.steps.push(Step::Make(chain.to_owned()));
        }
    }

    fn add(&mut self, chain: &'static str, rule: FilterRule, end: End) {
        let found = self.found.get(chain).map(Vec::as_slice).unwrap_or_default();
        if !found.iter().any(|found| found.rule.as_ref() == Some(&rule)) {
            self.steps.push(Step::Add(chain, rule, end));
        }
    }

    fn delete(&mut self, chain: &'static str, condemned: impl Fn(&FilterRule) -> bool) {
        for found in self.found.get(chain).into_iter().flatten() {
            if let Some(rule) = found.rule.as_ref().filter(|rule| condemned(rule)) {
                self.steps
                    .push(Step::Delete(chain, found.handle, rule.clone()));
            }
        }
    }

    /// The order is that of the Go plugin's iptables calls.
    fn policy(&mut self, member: &Member) {
        let bridge = &*member.bridge;
        let both = of_policy("same-bridge|isolated");
        let own = of_policy(member.policy.word());
        let rule = |input, output, comment: &str, verdict| FilterRule {
            input,
            output,
            comment: comment.to_owned(),
            ..FilterRule::of(verdict)
        };
        self.make(STAGE_1);
        self.make(STAGE_2);
        self.add(HOOK, jump(STAGE_1, &both), End::First);
        let onward = Verdict::Jump(STAGE_2.to_owned());
        let across = rule(Via::only(bridge), Via::but(bridge), &own, onward);
        self.add(STAGE_1, across, End::First);
        if member.policy == Policy::Isolated {
            let within = rule(Via::only(bridge), Via::only(bridge), &own, Verdict::Drop);
            self.add(STAGE_1, within, End::First);
        }
        self.add(STAGE_1, rule(None, None, &both, Verdict::Return), End::Last);
        let closed = rule(None, Via::only(bridge), &both, Verdict::Drop);
        self.add(STAGE_2, closed, End::First);
        self.add(STAGE_2, rule(None, None, &both, Verdict::Return), End::Last);
    }

    /// Not in the Go suite: connections to published ports, and their answers, bypass the policies of all bridges.
    /// Their rules come before the first policy, since a later bridge puts its own before the others.
    fn published(&mut self, member: &Member, is_accepted: bool) {
        let comment = of_policy(&format!("{}, allowPublished", member.policy.word()));
        let verdict = if is_accepted {
            Verdict::Jump(ACCEPTS.to_owned())
        } else {
            Verdict::Accept
        };
        let bridge = || Via::only(&member.bridge);
        for (direction, input, output) in [
            (Direction::Reply, bridge(), None),
            (Direction::Original, None, bridge()),
        ] {
            let rule = FilterRule {
                input,
                output,
                tracked: Some(Tracked::Translated(direction)),
                comment: comment.clone(),
                ..FilterRule::of(verdict.clone())
            };
            self.add(HOOK, rule, End::First);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chains after the steps, as `iptables-save` would list the rules.
    fn after(found: &mut Found, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Make(chain) => drop(found.insert(chain.clone(), Vec::new())),
                Step::Add(chain, rule, end) => {
                    let rules = found.get_mut(*chain).unwrap();
                    let at = if *end == End::First { 0 } else { rules.len() };
                    let rule = Some(rule.clone());
                    rules.insert(at, FoundFilterRule { handle: 0, rule });
                }
                Step::Delete(chain, _, rule) => found
                    .get_mut(*chain)
                    .unwrap()
                    .retain(|found| found.rule.as_ref() != Some(rule)),
            }
        }
    }

    fn texts(found: &Found) -> Vec<String> {
        let of = |(chain, rules): (&String, &Vec<FoundFilterRule>)| {
            let text = |found: &FoundFilterRule| {
                format!("{chain} {}", found.rule.as_ref().unwrap().text())
            };
            rules.iter().map(text).collect::<Vec<_>>()
        };
        found.iter().flat_map(of).collect()
    }

    #[test]
    fn rules_are_those_of_the_reference_and_made_once() {
        let member = |policy, bridge: &str| Member {
            bridge: bridge.to_owned(),
            policy,
            allow_published: false,
        };
        let mut found = Found::from([(HOOK.to_owned(), Vec::new())]);
        let first = member(Policy::SameBridge, "br0");
        let second = member(Policy::Isolated, "br1");
        for (ip, member) in [([10, 1, 0, 2], &first), ([10, 2, 0, 2], &second)] {
            let need = Need {
                accepted: vec![ip.into()],
                renewed: vec![],
                admin: "CNI-ADMIN",
                member: Some(member),
            };
            let steps = establish(&found, &need);
            after(&mut found, &steps);
            assert_eq!(establish(&found, &need), []);
        }
        let both = "-m comment --comment \"CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)\"";
        let of = |word: &str| {
            format!("-m comment --comment \"CNI firewall plugin rules (ingressPolicy: {word})\"")
        };
        let (same, isolated) = (of("same-bridge"), of("isolated"));
        let expected = [
            "CNI-FORWARD -m comment --comment \"CNI firewall plugin admin overrides\" -j CNI-ADMIN"
                .to_owned(),
            "CNI-FORWARD -d 10.1.0.2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                .to_owned(),
            "CNI-FORWARD -s 10.1.0.2 -j ACCEPT".to_owned(),
            "CNI-FORWARD -d 10.2.0.2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                .to_owned(),
            "CNI-FORWARD -s 10.2.0.2 -j ACCEPT".to_owned(),
            format!("CNI-ISOLATION-STAGE-1 -i br1 -o br1 {isolated} -j DROP"),
            format!("CNI-ISOLATION-STAGE-1 -i br1 ! -o br1 {isolated} -j CNI-ISOLATION-STAGE-2"),
            format!("CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 {same} -j CNI-ISOLATION-STAGE-2"),
            format!("CNI-ISOLATION-STAGE-1 {both} -j RETURN"),
            format!("CNI-ISOLATION-STAGE-2 -o br1 {both} -j DROP"),
            format!("CNI-ISOLATION-STAGE-2 -o br0 {both} -j DROP"),
            format!("CNI-ISOLATION-STAGE-2 {both} -j RETURN"),
            format!("FORWARD {both} -j CNI-ISOLATION-STAGE-1"),
            "FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD".to_owned(),
        ];
        assert_eq!(texts(&found), expected);
        let gone = BTreeSet::from([[10, 2, 0, 2].into()]);
        let steps = withdraw(&found, &gone, &BTreeSet::from(["br1".to_owned()]));
        assert_eq!(steps.len(), 5);
        after(&mut found, &steps);
        assert!(texts(&found).iter().all(|rule| !rule.contains("br1")));
        assert!(texts(&found).iter().any(|rule| rule.contains("-o br0")));
    }
}
