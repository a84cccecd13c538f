//! Base chains of nf_tables at the hook `forward`, of all owners. [`crate::legacy_forward`] reads the corresponding
//! chain of iptables-legacy.

use netlink_packet_netfilter::nftables::{
    ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage,
};

use crate::decode::{attribute, attributes, text};
use crate::ruleset::TableFamily;
use crate::{Error, Netfilter};

/// `NF_INET_FORWARD` and `NF_BR_FORWARD`
const FORWARD: u32 = 2;
/// `NF_DROP` and `NF_ACCEPT`, `NFT_JUMP` and `NFT_GOTO`
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;

/// A base chain at the hook `forward`, of the kind `filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardChain {
    /// Family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether it drops or rejects packets that no rule accepts, by its policy or by its last rule.
    pub drops: bool,
    /// Interfaces whose incoming packets some rule of the table accepts or sends to another chain; a final `*` matches
    /// any suffix. Empty for a chain that does not drop.
    pub passes: Vec<String>,
}

impl Netfilter {
    /// The chains of one family at the hook `forward`.
    pub fn forward_chains(&self, family: TableFamily) -> Result<Vec<ForwardChain>, Error> {
        let request = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
        let read = |object: &[u8]| chain(object, family);
        let mut chains = self.list(("list", "base chains"), family, request, read)?;
        for chain in &mut chains {
            let rules = self.rules_of(family, &chain.table)?;
            let last = rules.iter().rfind(|rule| rule.chain == chain.name);
            chain.drops |= last.is_some_and(|rule| rule.drops_all);
            if chain.drops {
                chain.passes = rules.into_iter().filter_map(|rule| rule.passes).collect();
            }
        }
        Ok(chains)
    }

    fn rules_of(&self, family: TableFamily, table: &str) -> Result<Vec<Rule>, Error> {
        let attributes = vec![RuleAttribute::Table(table.to_owned())];
        let request = NfTablesMessage::GetRule(RuleMessage { attributes });
        self.list(("list", "rules"), family, request, Rule::decode)
    }
}

/// Decodes a reply to `NFT_MSG_GETCHAIN`. Returns `None` for chains of other kinds or hooks.
pub fn chain(object: &[u8], family: TableFamily) -> Option<ForwardChain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const KIND: u16 = 7;
    const NUMBER: u16 = 1;
    let hook = attribute(object, HOOK)?;
    if number(attribute(hook, NUMBER)?)? != FORWARD || text(object, KIND)? != "filter" {
        return None;
    }
    Some(ForwardChain {
        family,
        table: text(object, TABLE)?,
        name: text(object, NAME)?,
        drops: attribute(object, POLICY).and_then(number) == Some(DROP.cast_unsigned()),
        passes: Vec::new(),
    })
}

/// The relevant parts of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    chain: String,
    drops_all: bool,
    passes: Option<String>,
}

impl Rule {
    /// Decodes a reply to `NFT_MSG_GETRULE`.
    pub fn decode(object: &[u8]) -> Option<Self> {
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        let list = attribute(object, EXPRESSIONS).unwrap_or_default();
        let steps: Vec<Step> = attributes(list)
            .map(|(_, expression)| Step::decode(expression))
            .collect();
        let goes_on = steps
            .iter()
            .any(|step| matches!(step, Step::Verdict(code) if [ACCEPT, JUMP, GOTO].contains(code)));
        let named = steps.windows(2).find_map(|pair| match pair {
            [Step::IncomingName, Step::Equals(name)] => Some(interface(name)),
            _ => None,
        });
        let mut deeds = steps.iter().filter(|step| **step != Step::Nothing);
        let first = deeds.next();
        Some(Self {
            chain: text(object, CHAIN)?,
            drops_all: matches!(first, Some(Step::Rejects | Step::Verdict(DROP)))
                && deeds.next().is_none(),
            passes: named.filter(|_| goes_on),
        })
    }
}

/// An expression.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Loads the name of the incoming interface.
    IncomingName,
    /// Compares the loaded value with these bytes.
    Equals(Vec<u8>),
    /// Ends the rule.
    Verdict(i32),
    /// Rejects the packet.
    Rejects,
    /// Neither selects packets nor decides about them.
    Nothing,
    /// Anything else, such as a condition.
    Other,
}

impl Step {
    fn decode(expression: &[u8]) -> Self {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let name = text(expression, NAME).unwrap_or_default();
        let data = attribute(expression, DATA).unwrap_or_default();
        let known = match &*name {
            "counter" | "log" => Some(Self::Nothing),
            "reject" => Some(Self::Rejects),
            "meta" => meta(data),
            "cmp" => comparison(data),
            "immediate" => verdict(data),
            "match" | "target" => extension(data),
            _ => None,
        };
        known.unwrap_or(Self::Other)
    }
}

fn meta(data: &[u8]) -> Option<Step> {
    const KEY: u16 = 2;
    /// `NFT_META_IIFNAME` and `NFT_META_BRI_IIFNAME`
    const NAMES: [u32; 2] = [6, 17];
    let key = attribute(data, KEY).and_then(number)?;
    NAMES.contains(&key).then_some(Step::IncomingName)
}

fn comparison(data: &[u8]) -> Option<Step> {
    const OPERATOR: u16 = 2;
    const DATA: u16 = 3;
    const VALUE: u16 = 1;
    /// `NFT_CMP_EQ`
    const EQUAL: u32 = 0;
    if number(attribute(data, OPERATOR)?)? != EQUAL {
        return None;
    }
    let value = attribute(attribute(data, DATA)?, VALUE)?;
    Some(Step::Equals(value.to_vec()))
}

fn verdict(data: &[u8]) -> Option<Step> {
    const DATA: u16 = 2;
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    let verdict = attribute(attribute(data, DATA)?, VERDICT)?;
    let code = attribute(verdict, CODE).and_then(number)?;
    Some(Step::Verdict(code.cast_signed()))
}

/// An extension of iptables-legacy, in the form of `iptables-nft`.
fn extension(data: &[u8]) -> Option<Step> {
    const NAME: u16 = 1;
    match &*text(data, NAME)? {
        "comment" => Some(Step::Nothing),
        "REJECT" => Some(Step::Rejects),
        _ => None,
    }
}

/// The name in a comparison. Without a final NUL it is a prefix.
fn interface(compared: &[u8]) -> String {
    let end = compared.iter().position(|byte| *byte == 0);
    let name = compared.get(..end.unwrap_or(compared.len()));
    let mut name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
    if end.is_none() {
        name.push('*');
    }
    name
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
