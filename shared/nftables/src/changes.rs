//! Waiting for other writers of nf_tables.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc::MSG_DONTWAIT;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::Error;

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h
const GROUP: u32 = 7;

/// Room for one event; the end of a longer one is not needed.
const BUFFER: usize = 4 << 10;

/// Delay after `EBUSY`. The kernel refuses an element while it rebuilds a set's table, which takes up to 40 ms. A
/// rebuild starts when too many elements share a hash, such as those that expired under one key in the last second
/// (`rhashtable_insert_rehash`).
const BUSY: Duration = Duration::from_millis(2);

/// Waits before the next attempt at a batch that the kernel refused with `EBUSY`.
pub fn wait_while_busy() -> Result<(), Error> {
    Changes::open()?.wait(BUSY)
}

/// A subscription to changes of nf_tables. Open it before the look whose outcome a change may alter.
pub struct Changes {
    socket: Socket,
}

impl Changes {
    /// Subscribes in the namespace of this thread.
    pub fn open() -> Result<Self, Error> {
        let fail = || Error::io("subscribe to", "changes of nf_tables");
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(fail())?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(fail())?;
        socket.add_membership(GROUP).map_err(fail())?;
        Ok(Self { socket })
    }

    /// Waits for a change, up to `at_most`, and drops all pending events.
    pub fn wait(&self, at_most: Duration) -> Result<(), Error> {
        let fail = || Error::io("wait for", "changes of nf_tables");
        // A timeout of 0 would mean no timeout.
        let micros = i64::try_from(at_most.as_micros()).unwrap_or(i64::MAX);
        let time = TimeVal::new(micros / 1_000_000, (micros % 1_000_000).max(1));
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &time)
            .map_err(|errno| fail()(errno.into()))?;
        let mut flags = 0;
        loop {
            let mut event = Vec::with_capacity(BUFFER);
            match self.socket.recv(&mut event, flags) {
                // Lost events are events, too (`ENOBUFS`).
                Ok(_) => {}
                Err(err) if err.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(fail()(err)),
            }
            flags = MSG_DONTWAIT;
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
