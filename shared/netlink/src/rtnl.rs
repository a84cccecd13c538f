//! The connection to one namespace.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;

use crate::error::Error;
use crate::netns::Netns;
use crate::prompt::Prompt;

type Connection = rtnetlink::proto::Connection<RouteNetlinkMessage, Prompt>;

/// A connection to the kernel's rtnetlink. It acts on the namespace in which it was opened.
#[derive(Clone)]
pub struct Rtnl {
    connection: Rc<RefCell<Connection>>,
    pub(crate) handle: rtnetlink::Handle,
}

impl Rtnl {
    /// Opens a connection to the namespace of this thread.
    pub fn here() -> Result<Self, Error> {
        let fail = || Error::io("open", "a netlink socket");
        let opened = rtnetlink::new_connection_with_socket::<Prompt>();
        let (mut connection, handle, _) = opened.map_err(fail())?;
        explain(&mut connection).map_err(fail())?;
        Ok(Self {
            connection: Rc::new(RefCell::new(connection)),
            handle,
        })
    }

    /// Opens a connection to `netns`, in one visit.
    pub fn open(netns: &Netns) -> Result<Self, Error> {
        netns.scope(Self::here)?
    }

    /// Sends the pending request, if any, and reads one datagram. Returns whether there was one.
    pub(crate) fn turn(&self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut connection = self.connection.borrow_mut();
        if connection.should_shut_down() {
            return false;
        }
        connection.poll_requests(cx);
        connection.poll_send_messages(cx);
        connection.socket_mut().begin();
        connection.poll_read_messages(cx);
        connection.forward_unsolicited_messages();
        connection.forward_responses();
        connection.socket_mut().end()
    }
}

impl fmt::Debug for Rtnl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rtnl").finish_non_exhaustive()
    }
}

/// Asks the kernel for strict checks, for error texts without an echo of the request, and for the flags at the end of a
/// dump.
fn explain(connection: &mut Connection) -> io::Result<()> {
    connection.set_forward_done(true);
    connection.set_forward_ack(true);
    let socket = connection.socket_mut().socket_mut();
    socket.set_netlink_get_strict_chk(true)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}
