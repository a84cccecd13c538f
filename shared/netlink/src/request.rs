//! Requests and replies: acknowledgements with the kernel's text, and consistent dumps.

use std::fmt;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::error::Error;
use crate::rtnl::Rtnl;

/// Maximum number of attempts at a dump that changes interrupt.
const DUMP_ATTEMPTS: usize = 20;

/// An action and its object, for errors.
pub(crate) struct Attempt<'a, D>(pub(crate) &'a str, pub(crate) D);

#[expect(
    clippy::needless_pass_by_value,
    reason = "an attempt is written in place, for its one request"
)]
impl Rtnl {
    /// Sends a request that changes something, and waits for the acknowledgement.
    pub(crate) fn change<D: fmt::Display>(
        &self,
        attempt: Attempt<'_, D>,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), Error> {
        self.exchange(&attempt, flags | NLM_F_ACK, message)
            .map(drop)
    }

    /// Asks for one object; `None` if it does not exist.
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

    /// The same for a queueing discipline. The kernel sends its description as a notification: to all listeners, and
    /// with `NLM_F_ECHO` to us. The default discipline yields the acknowledgement alone.
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

    /// Asks for all objects, in one consistent dump.
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

    /// Asks for all objects until a dump is not interrupted. The flag tells whether one was consistent; otherwise the
    /// result is the union of all attempts.
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

    /// Sends one request. Fails if the reply is cut off by a lost connection: the kernel may have carried out the
    /// request or not.
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
        let cx = &mut Context::from_waker(Waker::noop());
        loop {
            let answer = match answers.poll_next_unpin(cx) {
                Poll::Ready(Some(answer)) => answer,
                Poll::Pending if self.turn() => continue,
                Poll::Ready(None) | Poll::Pending => break,
            };
            whole &= answer.header.flags & NLM_F_DUMP_INTR == 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => {
                    // A request without flags has a reply of one message.
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
        if !ended {
            return Err(fail(0));
        }
        Ok((messages, whole))
    }
}
