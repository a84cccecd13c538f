//! The handle of one namespace.

use std::fmt;
use std::io;
use std::rc::Rc;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;
use tokio::runtime::{Builder, Runtime};

use crate::error::Error;
use crate::netns::Netns;

type Connection = rtnetlink::proto::Connection<RouteNetlinkMessage>;

/// What drives the sockets of this process: one runtime on the current thread.
#[derive(Debug, Clone)]
pub struct Context(pub(crate) Rc<Runtime>);

impl Context {
    /// Starts the runtime; no thread is made.
    pub fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime
            .map(|runtime| Self(Rc::new(runtime)))
            .map_err(Error::io("start", "the netlink runtime"))
    }
}

/// A connection to the kernel's rtnetlink that acts on the namespace it was opened in.
#[derive(Clone)]
pub struct Rtnl {
    pub(crate) context: Context,
    pub(crate) handle: rtnetlink::Handle,
}

impl Rtnl {
    /// Opens a connection to the namespace that the thread is in.
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

/// Asks the kernel for its own words, short of the request that it would echo, and for the flags of a dump's end.
fn explain(connection: &mut Connection) -> io::Result<()> {
    connection.set_forward_done(true);
    connection.set_forward_ack(true);
    let socket = connection.socket_mut().socket_mut();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}
