//! A rule of the table `filter` in the form of `iptables`: a value, its text, and its nf_tables expressions.
//!
//! `iptables-nft` finds a rule by comparing it, field by field, with its arguments. So our rules have exactly the
//! expressions of `iptables-nft`, and an `iptables -D` with the same arguments deletes them.

use std::net::IpAddr;

use crate::expr::{self, Direction, Expr, Header, MetaKey};
use crate::extended;
use crate::ruleset::Rule;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// `-s`: one address.
    pub source: Option<IpAddr>,
    /// `-d`: one address.
    pub destination: Option<IpAddr>,
    /// `-i`
    pub input: Option<Via>,
    /// `-o`
    pub output: Option<Via>,
    /// `-m conntrack`
    pub tracked: Option<Tracked>,
    /// `-m comment`; empty for none.
    pub comment: String,
    /// `-j`
    pub verdict: Verdict,
}

/// A condition on a packet's incoming or outgoing interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The interface's name.
    pub name: String,
    /// Whether the condition is inverted (`!`).
    pub inverted: bool,
}

/// A packet's state in connection tracking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// `--ctstate RELATED,ESTABLISHED`
    Answers,
    /// `--ctstate DNAT --ctdir`: in a connection to a translated address, in this direction.
    Translated(Direction),
}

/// The verdict on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `ACCEPT`
    Accept,
    /// `DROP`
    Drop,
    /// `RETURN`
    Return,
    /// Continues in a chain, and returns.
    Jump(String),
}

/// A rule found in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFilterRule {
    /// The number for its deletion; 0 in iptables-legacy.
    pub handle: u64,
    /// The rule; `None` if it has conditions that a [`FilterRule`] lacks.
    pub rule: Option<FilterRule>,
}

/// Members of `struct xt_conntrack_mtinfo3` of `linux/netfilter/xt_conntrack.h`.
pub(crate) mod conntrack {
    pub(crate) const NAME: &str = "conntrack";
    pub(crate) const REVISION: u32 = 3;
    /// Size of the struct, aligned.
    pub(crate) const SIZE: usize = 168;
    pub(crate) const MATCH_FLAGS: usize = 146;
    pub(crate) const INVERT_FLAGS: usize = 148;
    pub(crate) const STATES: usize = 150;
    /// `XT_CONNTRACK_STATE` and `XT_CONNTRACK_DIRECTION`
    pub(crate) const STATE: u16 = 1;
    pub(crate) const DIRECTION: u16 = 1 << 12;
    /// `XT_CONNTRACK_STATE_BIT` of `IP_CT_ESTABLISHED` and `IP_CT_RELATED`
    pub(crate) const ANSWERS: u16 = 1 << 1 | 1 << 2;
    /// `XT_CONNTRACK_STATE_DNAT`
    pub(crate) const DNAT: u16 = 1 << 7;
}

/// `struct xt_comment_info`
pub(crate) const COMMENT: &str = "comment";
const COMMENT_SIZE: usize = 256;

impl Tracked {
    /// The match's data.
    fn data(self) -> Vec<u8> {
        use conntrack::{ANSWERS, DIRECTION, DNAT, INVERT_FLAGS, MATCH_FLAGS, SIZE, STATE, STATES};
        let (flags, inverted, states) = match self {
            Self::Answers => (STATE, 0, ANSWERS),
            Self::Translated(Direction::Original) => (STATE | DIRECTION, 0, DNAT),
            Self::Translated(Direction::Reply) => (STATE | DIRECTION, DIRECTION, DNAT),
        };
        let mut data = vec![0; SIZE];
        for (at, value) in [
            (MATCH_FLAGS, flags),
            (INVERT_FLAGS, inverted),
            (STATES, states),
        ] {
            let bytes: [u8; 2] = u16::to_ne_bytes(value);
            if let Some(place) = data.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(&bytes);
            }
        }
        data
    }

    /// Reads the match's data; `None` for any other condition.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let all = [
            Self::Answers,
            Self::Translated(Direction::Original),
            Self::Translated(Direction::Reply),
        ];
        // The bytes after the last used member have no meaning.
        let used = conntrack::STATES + 4;
        let is_it = |tracked: &Self| tracked.data().get(..used) == data.get(..used);
        all.into_iter().find(is_it)
    }
}

impl FilterRule {
    /// A rule without conditions.
    pub fn of(verdict: Verdict) -> Self {
        Self {
            source: None,
            destination: None,
            input: None,
            output: None,
            tracked: None,
            comment: String::new(),
            verdict,
        }
    }

    /// The text that `iptables-restore` reads after the chain's name.
    pub fn text(&self) -> String {
        let mut words = Vec::new();
        for (option, ip) in [("-s", self.source), ("-d", self.destination)] {
            words.extend(ip.map(|ip| format!("{option} {ip}")));
        }
        for (option, via) in [("-i", &self.input), ("-o", &self.output)] {
            if let Some(Via { name, inverted }) = via {
                let not = if *inverted { "! " } else { "" };
                words.push(format!("{not}{option} {name}"));
            }
        }
        let tracked = self.tracked.map(|tracked| match tracked {
            Tracked::Answers => "RELATED,ESTABLISHED",
            Tracked::Translated(Direction::Original) => "DNAT --ctdir ORIGINAL",
            Tracked::Translated(Direction::Reply) => "DNAT --ctdir REPLY",
        });
        words.extend(tracked.map(|states| format!("-m conntrack --ctstate {states}")));
        if !self.comment.is_empty() {
            words.push(format!("-m comment --comment \"{}\"", self.comment));
        }
        let target = match &self.verdict {
            Verdict::Accept => "ACCEPT",
            Verdict::Drop => "DROP",
            Verdict::Return => "RETURN",
            Verdict::Jump(chain) => chain,
        };
        words.push(format!("-j {target}"));
        words.join(" ")
    }

    /// The expressions for nf_tables.
    pub(crate) fn expressions(&self) -> Rule {
        let mut exprs = Vec::new();
        let address = |ip: IpAddr, v4: Header, v6: Header| match ip {
            IpAddr::V4(ip) => [expr::load(v4, 0), expr::equal(0, &ip.octets())],
            IpAddr::V6(ip) => [expr::load(v6, 0), expr::equal(0, &ip.octets())],
        };
        let source = self
            .source
            .map(|ip| address(ip, Header::IP_SADDR, Header::IP6_SADDR));
        let destination = self
            .destination
            .map(|ip| address(ip, Header::IP_DADDR, Header::IP6_DADDR));
        for pair in [source, destination].into_iter().flatten() {
            exprs.extend(pair);
        }
        for (key, via) in [
            (MetaKey::Iifname, &self.input),
            (MetaKey::Oifname, &self.output),
        ] {
            if let Some(via) = via {
                exprs.push(expr::meta(key, 0));
                exprs.push(via.comparison());
            }
        }
        exprs.extend(self.tracked.map(|tracked| {
            extended::extension(conntrack::NAME, conntrack::REVISION, tracked.data())
        }));
        if !self.comment.is_empty() {
            let mut data = self.comment.as_bytes().to_vec();
            data.resize(COMMENT_SIZE, 0);
            exprs.push(extended::extension(COMMENT, 0, data));
        }
        exprs.push(extended::counter());
        exprs.push(self.verdict.expression());
        Rule { exprs }
    }
}

impl Via {
    /// The interface of that name.
    pub fn only(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            inverted: false,
        })
    }

    /// Every interface but that one.
    pub fn but(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            inverted: true,
        })
    }

    fn comparison(&self) -> Expr {
        // The comparison includes the final NUL: without it the name would be a prefix.
        let name = [self.name.as_bytes(), &[0]].concat();
        if self.inverted {
            expr::differ(0, &name)
        } else {
            expr::equal(0, &name)
        }
    }
}

impl Verdict {
    fn expression(&self) -> Expr {
        match self {
            Self::Accept => expr::accept(),
            Self::Drop => expr::drop(),
            Self::Return => expr::leave(),
            Self::Jump(chain) => expr::jump(chain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_what_iptables_would_be_told() {
        let answers = FilterRule {
            destination: Some([10, 1, 0, 5].into()),
            tracked: Some(Tracked::Answers),
            ..FilterRule::of(Verdict::Accept)
        };
        assert_eq!(
            answers.text(),
            "-d 10.1.0.5 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        );
        let between = FilterRule {
            input: Via::only("br0"),
            output: Via::but("br0"),
            comment: "a b".to_owned(),
            ..FilterRule::of(Verdict::Jump("NEXT".to_owned()))
        };
        assert_eq!(
            between.text(),
            "-i br0 ! -o br0 -m comment --comment \"a b\" -j NEXT"
        );
    }

    #[test]
    fn what_tracking_says_is_read_back_and_nothing_else_is() {
        for tracked in [
            Tracked::Answers,
            Tracked::Translated(Direction::Original),
            Tracked::Translated(Direction::Reply),
        ] {
            let mut data = tracked.data();
            assert_eq!(Tracked::read(&data), Some(tracked));
            data[conntrack::STATES] ^= 1;
            assert_eq!(Tracked::read(&data), None);
        }
        assert_eq!(Tracked::read(&[]), None);
    }
}
