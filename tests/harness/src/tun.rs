//! A tunnel as a VPN in user space makes it: two tun devices, and a thread that carries packets from one to the other.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for the request that makes a tun device"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::thread::{Builder, JoinHandle};

use linkspan_netlink::netns::Netns;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::skip;

/// The device's name at both ends.
pub const NAME: &str = "tun0";

/// Longer than any packet of a device with the usual MTU.
const PACKET: usize = 2048;

/// A tunnel, as long as it is kept.
#[derive(Debug)]
pub struct Tunnel {
    stop: UnixStream,
    carrier: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// A tunnel between two namespaces, whose ends are down; `None` where this user has no tun devices, which is told.
    pub fn between(near: &Netns, far: &Netns) -> Option<Self> {
        let ends = (device(near), device(far));
        let (Ok(near), Ok(far)) = ends else {
            skip::tell(&format!("what needs /dev/net/tun: {ends:?}"));
            return None;
        };
        let (stop, stopped) = UnixStream::pair().unwrap();
        let carrier = Builder::new().name("tunnel".to_owned());
        let carrier = carrier.spawn(move || carry(&[near, far], &stopped));
        Some(Self {
            stop,
            carrier: Some(carrier.unwrap()),
        })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        drop(self.stop.shutdown(Shutdown::Both));
        drop(self.carrier.take().map(JoinHandle::join));
    }
}

/// Carries packets between the two devices until it is told to stop.
fn carry(devices: &[File; 2], stopped: &UnixStream) {
    let mut packet = [0; PACKET];
    loop {
        let watched = [devices[0].as_fd(), devices[1].as_fd(), stopped.as_fd()];
        let mut watched = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.unwrap(),
        };
        let [first, second, stop] = watched.map(|fd| fd.any().unwrap_or_default());
        if stop {
            return;
        }
        for (ready, from, to) in [(first, 0, 1), (second, 1, 0)] {
            if ready {
                // A device that is down takes no packet, as a wire that is cut.
                let read = (&devices[from]).read(&mut packet);
                drop(read.and_then(|len| (&devices[to]).write(&packet[..len])));
            }
        }
    }
}

/// Opens the device of a namespace: packets of the network layer, with nothing before them.
fn device(netns: &Netns) -> io::Result<File> {
    /// Size of `struct ifreq`: a name and a union, of which the flags come first.
    const REQUEST: usize = 40;
    let mut request = [0u8; REQUEST];
    request[..NAME.len()].copy_from_slice(NAME.as_bytes());
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request[libc::IFNAMSIZ..][..4].copy_from_slice(&flags.to_ne_bytes());
    let make = || {
        let path = "/dev/net/tun";
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: the kernel reads and writes the 40 bytes of a `struct ifreq`, which the buffer has and which outlive the
        // call.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
        Errno::result(made)?;
        Ok(file)
    };
    netns.scope(make).map_err(io::Error::other)?
}
