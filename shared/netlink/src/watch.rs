//! Waiting for changes in the kernel, with a deadline.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, LocalBoxStream};
use rtnetlink::MulticastGroup;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::netns::Netns;
use crate::rtnl::Context;

/// A subscription to changes of links and IPv6 addresses. Open it before the change that is awaited.
pub struct Watch {
    context: Context,
    events: LocalBoxStream<'static, ()>,
}

impl Watch {
    /// Subscribes in `netns`, by default in the namespace of this thread.
    pub fn open(context: &Context, netns: Option<&Netns>) -> Result<Self, Error> {
        match netns {
            Some(netns) => netns.scope(|| Self::here(context))?,
            None => Self::here(context),
        }
    }

    fn here(context: &Context) -> Result<Self, Error> {
        let _in_runtime = context.0.enter();
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups)
            .map_err(Error::io("subscribe to", "changes of links"))?;
        context.0.spawn(connection);
        let events: BoxStream<'static, ()> = messages.map(drop).boxed();
        Ok(Self {
            context: context.clone(),
            events,
        })
    }

    /// Calls `look` now and after each change; `None` once `deadline` has passed.
    pub fn until<T>(
        &mut self,
        deadline: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let deadline = {
            let _in_runtime = self.context.0.enter();
            Instant::now() + deadline
        };
        loop {
            if let Some(seen) = look()? {
                return Ok(Some(seen));
            }
            let events = &mut self.events;
            let next = self
                .context
                .0
                .block_on(async { timeout_at(deadline, events.next()).await });
            if !matches!(next, Ok(Some(()))) {
                return Ok(None);
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
