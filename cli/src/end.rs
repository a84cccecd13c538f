//! The end of a command: the exit statuses, and the failure for a person.

use linkspan_protocol::error::Failure;

/// The answer is no, or the work failed.
pub(crate) const NO: u8 = 1;
/// The command line is wrong or ambiguous.
pub(crate) const USAGE: u8 = 2;
/// The answer cannot be known, for example without the right to look.
pub(crate) const CANNOT_TELL: u8 = 3;
/// The network or the attachment is unknown.
pub(crate) const UNKNOWN: u8 = 4;

/// A failure with the exit status of the command.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: u8,
    pub(crate) failure: Failure,
}

/// The exit status of a completed command, or the reason for its failure.
pub(crate) type Ended = Result<u8, End>;

impl End {
    /// The end for an unknown name.
    pub(crate) fn unknown(failure: Failure) -> Self {
        Self {
            status: UNKNOWN,
            failure,
        }
    }

    /// The end for an incomplete command line.
    pub(crate) fn usage(failure: Failure) -> Self {
        Self {
            status: USAGE,
            failure,
        }
    }

    /// The same end for a command that answers a question. Without the right to look, such a command cannot tell.
    pub(crate) fn of_question(self) -> Self {
        match self.status {
            NO => Self {
                status: answer_of(&self.failure),
                ..self
            },
            _ => self,
        }
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self {
            status: NO,
            failure,
        }
    }
}

/// The exit status of a failed question. A plugin reports missing rights only in its text.
pub(crate) fn answer_of(failure: &Failure) -> u8 {
    let told = failure.to_wire();
    let lacks_rights = told.details.contains("run as root")
        || told.msg.contains("Permission denied")
        || told.msg.contains("permission denied");
    if lacks_rights { CANNOT_TELL } else { NO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::error::ErrorCode;

    #[test]
    fn a_question_without_rights_has_no_answer() {
        let refused = Failure::new(ErrorCode::INTERNAL, "x").hint("run as root");
        assert_eq!(End::from(refused).of_question().status, CANNOT_TELL);
        let no = End::from(Failure::config("x")).of_question();
        assert_eq!(no.status, NO);
        let unknown = End::unknown(Failure::config("x").hint("run as root"));
        assert_eq!(unknown.of_question().status, UNKNOWN);
    }
}
