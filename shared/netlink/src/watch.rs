//! Waiting for changes in the kernel, with a deadline.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, LocalBoxStream};
use rtnetlink::MulticastGroup;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::netns::Netns;

/// A subscription to changes of links and IPv6 addresses. Open it before the change that is awaited.
pub struct Watch {
    runtime: Runtime,
    events: LocalBoxStream<'static, ()>,
}

impl Watch {
    /// Subscribes in `netns`, by default in the namespace of this thread.
    pub fn open(netns: Option<&Netns>) -> Result<Self, Error> {
        match netns {
            Some(netns) => netns.scope(Self::here)?,
            None => Self::here(),
        }
    }

    fn here() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("start", "the netlink runtime"))?;
        let in_runtime = runtime.enter();
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups)
            .map_err(Error::io("subscribe to", "changes of links"))?;
        runtime.spawn(connection);
        drop(in_runtime);
        let events: BoxStream<'static, ()> = messages.map(drop).boxed();
        Ok(Self { runtime, events })
    }

    /// Calls `look` now and after each change; `None` once `deadline` has passed.
    pub fn until<T>(
        &mut self,
        deadline: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + deadline;
        loop {
            if let Some(seen) = look()? {
                return Ok(Some(seen));
            }
            let events = &mut self.events;
            let next = self
                .runtime
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
