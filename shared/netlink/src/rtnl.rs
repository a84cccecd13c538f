//! The connection to one namespace.

use std::fmt;
use std::io;
use std::rc::Rc;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;
use tokio::runtime::{Builder, Runtime};

use crate::error::Error;
use crate::netns::Netns;

type Connection = rtnetlink::proto::Connection<RouteNetlinkMessage>;

/// The driver of this process's sockets: one runtime on the current thread.
#[derive(Debug, Clone)]
pub struct Context(pub(crate) Rc<Runtime>);

impl Context {
    /// Starts the runtime, without a new thread.
    pub fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime
            .map(|runtime| Self(Rc::new(runtime)))
            .map_err(Error::io("start", "the netlink runtime"))
    }
}

/// A connection to the kernel's rtnetlink. It acts on the namespace in which it was opened.
#[derive(Clone)]
pub struct Rtnl {
    pub(crate) context: Context,
    pub(crate) handle: rtnetlink::Handle,
}

impl Rtnl {
    /// Opens a connection to the namespace of this thread.
    pub fn here(context: &Context) -> Result<Self, Error> {
        let _in_runtime = context.0.enter();
        let fail = || Error::io("open", "a netlink socket");
        let (mut connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().map_err(fail())?;
        explain(&mut connection).map_err(fail())?;
        context.0.spawn(connection);
        Ok(Self {
            context: context.clone(),
            handle,
        })
    }

    /// Opens a connection to `netns`, in one visit.
    pub fn open(context: &Context, netns: &Netns) -> Result<Self, Error> {
        netns.scope(|| Self::here(context))?
    }
}

impl fmt::Debug for Rtnl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rtnl").finish_non_exhaustive()
    }
}

/// Asks the kernel for error texts without an echo of the request, and for the flags at the end of a dump.
fn explain(connection: &mut Connection) -> io::Result<()> {
    connection.set_forward_done(true);
    connection.set_forward_ack(true);
    let socket = connection.socket_mut().socket_mut();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}
