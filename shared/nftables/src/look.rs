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
    /// The chain of that name.
    Chain(Table, &'a str),
    /// The element of that key.
    Element(Table, &'a Set, &'a Element),
}

/// What came of a question. A set whose keys are of another length than the question's is an error of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The object is not there, nor is its table.
    Missing,
    /// The chain.
    Chain(FoundChain),
    /// The element.
    Element(Element),
    /// The kernel does not understand the question.
    Refused(Error),
}

impl Answer {
    /// The chain, where it is one.
    pub fn chain(&self) -> Option<&FoundChain> {
        match self {
            Self::Chain(chain) => Some(chain),
            _ => None,
        }
    }

    /// The element, where it is one.
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

    /// What its error is about.
    fn object(&self) -> String {
        match self {
            Self::Chain(table, name) => format!("chain {name} in {table}"),
            Self::Element(table, set, _) => format!("{} in {table}", set.describe()),
        }
    }
}

/// How many questions go into one request: the answers wait in the socket's buffer, each in a page of its own.
const QUESTIONS: usize = 16;

impl Netfilter {
    /// Asks all `questions`, a few in each request; the answers are in their order.
    pub fn look(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Error> {
        let some = questions.chunks(QUESTIONS);
        let answers: Vec<_> = some
            .map(|some| self.look_once(some))
            .collect::<Result<_, _>>()?;
        Ok(answers.concat())
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
            // The kernel has answered before the request returned. Where rights are missing, it answers once for all.
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
                        // Without the right to ask, the first question is answered for all (`nfnetlink_rcv`).
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
