//! Userspace devices: a tunnel like a VPN's, with two tun devices and a thread that carries packets between them, and
//! the queues of a tap device.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for the request that makes a tun device"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, Builder, JoinHandle};

use linkspan_netlink::netns::Netns;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::skip;

/// The device's name at both ends.
pub const NAME: &str = "tun0";

/// Longer than any packet of a device with the usual MTU.
const PACKET: usize = 2048;

/// A tunnel, for as long as the value lives.
#[derive(Debug)]
pub struct Tunnel {
    stop: UnixStream,
    carrier: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// A tunnel between two namespaces, with its ends down; `None`, with a line, if this user has no tun devices.
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

/// Carries packets between the two devices until stopped.
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
                // A device that is down takes no packet, like a cut wire.
                let read = (&devices[from]).read(&mut packet);
                drop(read.and_then(|len| (&devices[to]).write(&packet[..len])));
            }
        }
    }
}

/// Opens the device of a namespace: network layer packets without a header before them.
fn device(netns: &Netns) -> io::Result<File> {
    let file = driver(netns)?;
    attach(&file, NAME, libc::IFF_TUN | libc::IFF_NO_PI)?;
    Ok(file)
}

/// Opens this many queues of an existing tap device, as the user and the group with these numbers, without
/// capabilities.
pub fn queues(
    netns: &Netns,
    (name, flags): (&str, i32),
    count: usize,
    (user, group): (u32, u32),
) -> io::Result<Vec<File>> {
    let files: io::Result<Vec<File>> = (0..count).map(|_| driver(netns)).collect();
    let files = files?;
    let attach_all = || -> io::Result<()> {
        set_thread_groups(&[])?;
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        let mut files = files.iter();
        files.try_for_each(|file| attach(file, name, libc::IFF_TAP | flags))
    };
    // User ids belong to a thread.
    let attached = thread::scope(|scope| {
        let attacher = Builder::new().name("queues".to_owned());
        let attacher = attacher.spawn_scoped(scope, attach_all).unwrap();
        attacher.join().unwrap()
    });
    attached.map(|()| files)
}

/// The driver's file, for a device of the namespace.
fn driver(netns: &Netns) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open("/dev/net/tun")
    };
    netns.scope(open).map_err(io::Error::other)?
}

/// Attaches the file to a device, which is created if it is missing and this user may.
fn attach(file: &File, name: &str, flags: i32) -> io::Result<()> {
    /// Size of `struct ifreq`: a name and a union whose flags come first.
    const REQUEST: usize = 40;
    let mut request = [0u8; REQUEST];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[libc::IFNAMSIZ..][..4].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the kernel reads and writes the 40 bytes of a `struct ifreq`, which the buffer has and which outlive the
    // call.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    Errno::result(made)?;
    Ok(())
}
