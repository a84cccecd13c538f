//! A socket whose answers are there once a request is sent: rtnetlink does its work within sendto(2), and continues a dump
//! within recvfrom(2). So nothing has to wait for them.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use bytes::BufMut;
use nix::libc::MSG_DONTWAIT;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr};

/// The socket. It reads one datagram in each turn. A second read would only find that no other waits.
pub(crate) struct Prompt {
    socket: Socket,
    turn: Cell<Turn>,
}

/// The progress of a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ended,
    Begun,
    Heard,
}

impl Prompt {
    /// Allows one more datagram.
    pub(crate) fn begin(&self) {
        self.turn.set(Turn::Begun);
    }

    /// Ends the turn. Returns whether it read a datagram.
    pub(crate) fn end(&self) -> bool {
        self.turn.replace(Turn::Ended) == Turn::Heard
    }

    fn receive<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> Poll<io::Result<T>> {
        if self.turn.get() != Turn::Begun {
            return Poll::Pending;
        }
        match receive() {
            Err(err) if err.kind() == ErrorKind::WouldBlock => Poll::Pending,
            received => {
                self.turn.set(Turn::Heard);
                Poll::Ready(received)
            }
        }
    }
}

impl AsyncSocket for Prompt {
    fn socket_ref(&self) -> &Socket {
        &self.socket
    }

    fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn new(protocol: isize) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(protocol)?,
            turn: Cell::new(Turn::Ended),
        })
    }

    fn poll_send(&self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.socket.send(buf, 0))
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        buf: &[u8],
        addr: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.socket.send_to(buf, addr, 0))
    }

    fn poll_recv<B: BufMut>(&self, _: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.receive(|| self.socket.recv(buf, MSG_DONTWAIT).map(drop))
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        _: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        self.receive(|| {
            let (_, from) = self.socket.recv_from(buf, MSG_DONTWAIT)?;
            Ok(from)
        })
    }

    fn poll_recv_from_full(&self, _: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.receive(|| self.socket.recv_from_full())
    }
}
