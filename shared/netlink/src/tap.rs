//! A tap device: a link whose frames a program reads and writes. The kernel creates it only through `/dev/net/tun`.
#![expect(
    unsafe_code,
    reason = "nix and rustix have no wrapper for the requests of /dev/net/tun"
)]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{
    IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_TUN_EXCL, IFF_VNET_HDR, IFNAMSIZ, Ioctl, TUNSETGROUP,
    TUNSETIFF, TUNSETOWNER, TUNSETPERSIST, c_ulong, ioctl,
};

use crate::error::Error;
use crate::netns::Netns;

/// The device of the kernel's driver.
const DRIVER: &str = "/dev/net/tun";

/// Size of `struct ifreq`: a name, and a union whose flags come first.
const REQUEST: usize = 40;

/// A tap device to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tap {
    /// Name.
    pub name: String,
    /// The user who may open it, besides those with `CAP_NET_ADMIN`.
    pub owner: Option<u32>,
    /// The group that may open it.
    pub group: Option<u32>,
    /// Whether it can be opened several times at once, each time for a queue of its own.
    pub has_many_queues: bool,
    /// Whether four bytes of information precede each frame.
    pub has_packet_info: bool,
    /// Whether a virtio header precedes each frame.
    pub has_vnet_header: bool,
}

impl Tap {
    /// Creates the device, down, in `netns`, or in the namespace of the thread. The device persists when it is closed;
    /// until that last step it goes with this process. `EBUSY` if a link of the namespace has the name.
    pub fn create(&self, netns: Option<&Netns>) -> Result<(), Error> {
        match netns {
            Some(netns) => netns.scope(|| self.create_here())?,
            None => self.create_here(),
        }
    }

    fn create_here(&self) -> Result<(), Error> {
        let failed = |errno: Errno| Error::new("create tap", &self.name, errno as i32);
        let driver = driver()?;
        let mut request = [0u8; REQUEST];
        let (name, flags) = request.split_at_mut(IFNAMSIZ);
        if self.name.len() >= IFNAMSIZ {
            return Err(failed(Errno::ENAMETOOLONG));
        }
        for (to, from) in name.iter_mut().zip(self.name.bytes()) {
            *to = from;
        }
        for (to, from) in flags.iter_mut().zip(self.flags().to_ne_bytes()) {
            *to = from;
        }
        // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, whose size the buffer has, and which outlives the call.
        let made = unsafe { ioctl(driver.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
        Errno::result(made).map_err(failed)?;
        let steps = [
            (TUNSETOWNER, self.owner),
            (TUNSETGROUP, self.group),
            (TUNSETPERSIST, Some(1)),
        ];
        for (step, number) in steps {
            if let Some(number) = number {
                set(&driver, step, number).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The kernel has 16 bits for flags.
    fn flags(&self) -> u16 {
        let mut flags = IFF_TAP | IFF_TUN_EXCL;
        for (is_on, flag) in [
            (self.has_many_queues, IFF_MULTI_QUEUE),
            (!self.has_packet_info, IFF_NO_PI),
            (self.has_vnet_header, IFF_VNET_HDR),
        ] {
            flags |= if is_on { flag } else { 0 };
        }
        u16::try_from(flags).unwrap_or_default()
    }
}

/// Verifies that the kernel has tap devices, and that this process may open their driver.
pub fn can_be_created() -> Result<(), Error> {
    driver().map(drop)
}

fn driver() -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let driver = options.read(true).write(true).open(DRIVER);
    driver.map_err(Error::io("open", DRIVER))
}

/// A request whose argument is a number.
fn set(driver: &File, request: Ioctl, number: u32) -> Result<(), Errno> {
    // SAFETY: these requests take a number in place of a pointer, and the kernel reads no memory.
    let done = unsafe { ioctl(driver.as_raw_fd(), request, c_ulong::from(number)) };
    Errno::result(done).map(drop)
}
