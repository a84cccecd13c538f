//! Requests and their answers: acknowledgements with the kernel's text, dumps that are whole.

use std::fmt;

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::error::Error;
use crate::rtnl::Rtnl;

/// How often a dump that changes interrupted is begun again.
const DUMP_ATTEMPTS: usize = 20;

/// The name of an attempt, for its error.
pub(crate) struct Attempt<'a, D>(pub(crate) &'a str, pub(crate) D);

#[expect(
    clippy::needless_pass_by_value,
    reason = "an attempt is written in place, for its one request"
)]
impl Rtnl {
    /// Sends a request that changes something, and waits for its acknowledgement.
    pub(crate) fn change<D: fmt::Display>(
        &self,
        attempt: Attempt<'_, D>,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), Error> {
        self.exchange(&attempt, flags | NLM_F_ACK, message)
            .map(drop)
    }

    /// Asks for one object; `None` where there is none.
    pub(crate) fn get<D: fmt::Display>(
        &self,
        attempt: Attempt<'_, D>,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, Error> {
        match self.exchange(&attempt, 0, message) {
            Err(err) if err.is(Errno::ENODEV) => Ok(None),
            Err(err) => Err(err),
            Ok((messages, _)) => Ok(messages.into_iter().next()),
        }
    }

    /// The same of a queueing discipline. The kernel tells of one as it would of a change, to everybody who listens and, for
    /// the echo, to us; of the one that it chose by itself it says nothing but the acknowledgement.
    pub(crate) fn get_acknowledged<D: fmt::Display>(
        &self,
        attempt: Attempt<'_, D>,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, Error> {
        match self.exchange(&attempt, NLM_F_ACK | NLM_F_ECHO, message) {
            Err(err) if err.is(Errno::ENODEV) || err.is(Errno::ENOENT) => Ok(None),
            Err(err) => Err(err),
            Ok((messages, _)) => Ok(messages.into_iter().next()),
        }
    }

    /// Asks for all objects, at one moment.
    pub(crate) fn dump<D: fmt::Display>(
        &self,
        attempt: Attempt<'_, D>,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        match self.dumps(&attempt, message)? {
            (found, true) => Ok(found),
            (_, false) => Err(Error::new(attempt.0, attempt.1, Errno::EINTR as i32)),
        }
    }

    /// Asks for all objects until changes do not interrupt the answer, and tells whether there was such a one: otherwise
    /// it is what all of many answers had.
    pub(crate) fn dumps<D: fmt::Display>(
        &self,
        attempt: &Attempt<'_, D>,
        message: &RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), Error> {
        let mut seen = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            let (messages, whole) = self.exchange(attempt, NLM_F_DUMP, message.clone())?;
            if whole {
                return Ok((messages, true));
            }
            seen.extend(messages);
        }
        Ok((seen, false))
    }

    /// An answer that ends without its last part was lost with the connection, which counts as a failure: whether the
    /// kernel has done what it was asked for is not known then.
    fn exchange<D: fmt::Display>(
        &self,
        attempt: &Attempt<'_, D>,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), Error> {
        let fail = |errno| Error::new(attempt.0, &attempt.1, errno);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut handle = self.handle.clone();
        let mut answers = handle.request(request).map_err(|_closed| fail(0))?;
        let (mut messages, mut whole, mut ended) = (Vec::new(), true, false);
        self.context.0.block_on(async {
            while let Some(answer) = answers.next().await {
                whole &= answer.header.flags & NLM_F_DUMP_INTR == 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => {
                        // A request without flags has one message for its answer.
                        ended |= flags == 0;
                        messages.push(inner);
                    }
                    NetlinkPayload::Error(refused) if refused.code.is_some() => {
                        return Err(Error::refused(attempt.0, &attempt.1, &refused));
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => ended = true,
                    _ => {}
                }
            }
            Ok(())
        })?;
        if !ended {
            return Err(fail(0));
        }
        Ok((messages, whole))
    }
}
