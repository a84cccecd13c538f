//! Several questions in one request.

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage};
use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;

use crate::batch::append;
use crate::decode::{self, Body, messages};
use crate::found::FoundChain;
use crate::ruleset::{Element, Set, Table};
use crate::socket::Netfilter;
use crate::{Error, encode};

/// A question about one object.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// The chain with this name.
    Chain(Table, &'a str),
    /// The element with this key.
    Element(Table, &'a Set, &'a Element),
}

/// The answer to a question. A question with the wrong key length for the set is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The object or its table does not exist.
    Missing,
    /// The chain.
    Chain(FoundChain),
    /// The element.
    Element(Element),
    /// The kernel refused the question.
    Refused(Error),
}

impl Answer {
    /// The chain, if it is one.
    pub fn chain(&self) -> Option<&FoundChain> {
        match self {
            Self::Chain(chain) => Some(chain),
            _ => None,
        }
    }

    /// The element, if it is one.
    pub fn element(&self) -> Option<&Element> {
        match self {
            Self::Element(element) => Some(element),
            _ => None,
        }
    }
}

impl Question<'_> {
    fn message(&self) -> NetfilterMessage {
        let (table, message) = match self {
            Self::Chain(table, name) => {
                let message = encode::chain_name(*table, name);
                (table, NfTablesMessage::GetChain(message))
            }
            Self::Element(table, set, element) => {
                let message = encode::keys(*table, set.name, std::slice::from_ref(*element));
                (table, NfTablesMessage::GetSetElement(message))
            }
        };
        let header = NetfilterHeader::new(encode::family(table.family), 0, 0);
        NetfilterMessage::new(header, message)
    }

    fn read(&self, object: &[u8]) -> Option<Answer> {
        match self {
            Self::Chain(table, _) => decode::chain(object, table.name).map(Answer::Chain),
            Self::Element(..) => decode::elements(object).pop().map(Answer::Element),
        }
    }

    /// The object, for errors.
    fn object(&self) -> String {
        match self {
            Self::Chain(table, name) => format!("chain {name} in {table}"),
            Self::Element(table, set, _) => format!("{} in {table}", set.describe()),
        }
    }
}

/// Maximum number of questions per request: each answer occupies a page of the socket's buffer.
const QUESTIONS: usize = 16;

impl Netfilter {
    /// Asks all `questions`, a few per request. The answers are in the same order.
    pub fn look(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Error> {
        let some = questions.chunks(QUESTIONS);
        let answers: Vec<_> = some
            .map(|some| self.look_once(some))
            .collect::<Result<_, _>>()?;
        Ok(answers.concat())
    }

    /// Which of the chains are there. A chain whose table is missing is not.
    pub fn has_chains(&self, chains: &[(Table, &str)]) -> Result<Vec<bool>, Error> {
        let questions: Vec<_> = chains
            .iter()
            .map(|(table, name)| Question::Chain(*table, name))
            .collect();
        let there = |answer| match answer {
            Answer::Refused(err) => Err(err),
            answer => Ok(answer.chain().is_some()),
        };
        self.look(&questions)?.into_iter().map(there).collect()
    }

    fn look_once(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Error> {
        let whole = ("look up", "objects of nf_tables");
        let mut request = Vec::new();
        for (number, question) in (1..).zip(questions) {
            append(&mut request, (NLM_F_ACK, number), question.message());
        }
        self.send(&request).map_err(Error::io(whole.0, whole.1))?;
        let mut answers = vec![Answer::Missing; questions.len()];
        let mut open = questions.len();
        let mut refused = None;
        while open > 0 {
            let failed = Error::io("receive", "an answer of netfilter");
            let mut lost = None;
            // The kernel answers before the request returns. If rights are missing, it sends one answer for all
            // questions.
            let answer = self.receive(MSG_DONTWAIT, &mut lost).map_err(failed)?;
            let Some(answer) = answer.filter(|_| lost.is_none()) else {
                return Err(refused.unwrap_or_else(|| Error::new(whole.0, whole.1, 0)));
            };
            for message in messages(&answer)? {
                let at = (message.number as usize).wrapping_sub(1);
                let (Some(question), Some(place)) = (questions.get(at), answers.get_mut(at)) else {
                    return Err(Error::new(whole.0, whole.1, 0));
                };
                match message.body {
                    Body::Object(object) => {
                        *place = question.read(object).unwrap_or(Answer::Missing);
                    }
                    Body::Done => open -= 1,
                    Body::Refused(answer) => {
                        open -= 1;
                        let err = Error::refused(whole.0, question.object(), &answer);
                        // Without the right to ask, the first question's answer is for all (`nfnetlink_rcv`).
                        if err.is(Errno::EPERM) {
                            return Err(err);
                        }
                        if !err.is(Errno::ENOENT) {
                            refused.get_or_insert_with(|| err.clone());
                            *place = Answer::Refused(err);
                        }
                    }
                }
            }
        }
        Ok(answers)
    }
}
