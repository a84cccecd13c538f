//! The kernel's refusals, in the kernel's words.

use std::fmt;
use std::io;

use netlink_packet_core::ErrorMessage;
use nix::errno::Errno;

/// The attribute of an extended acknowledgement that holds text (`NLMSGERR_ATTR_MSG`).
const EXT_ACK_TEXT: u16 = 1;

/// A refused request: "create bridge cni0: operation not permitted".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The attempted action.
    pub action: String,
    /// Its object.
    pub object: String,
    /// The kernel's errno; 0 without a reply.
    pub errno: i32,
    /// The kernel's own text (extended acknowledgement), if any.
    pub kernel_says: Option<String>,
}

impl Error {
    /// An error of `action` on `object`.
    pub fn new(action: &str, object: impl fmt::Display, errno: i32) -> Self {
        Self {
            action: action.to_owned(),
            object: object.to_string(),
            errno,
            kernel_says: None,
        }
    }

    /// The kernel's refusal of a request, with the kernel's text, if any.
    pub fn refused(action: &str, object: impl fmt::Display, answer: &ErrorMessage) -> Self {
        Self {
            kernel_says: text(answer),
            ..Self::new(action, object, answer.raw_code().saturating_abs())
        }
    }

    /// A lost reply, with the system's reason: the kernel may have carried out the request or not.
    pub fn lost(action: &str, object: impl fmt::Display, why: &io::Error) -> Self {
        Self {
            kernel_says: Some(why.to_string()),
            ..Self::new(action, object, 0)
        }
    }

    /// For `map_err` on I/O.
    pub fn io(action: &str, object: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |err| Self::new(action, object, err.raw_os_error().unwrap_or(0))
    }

    /// The kernel's errno.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// Returns whether no reply came: the kernel may have carried out the request or not.
    pub fn is_unanswered(&self) -> bool {
        self.errno == 0
    }

    /// Returns whether the kernel's errno is `errno`.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno == errno as i32
    }

    /// The remedy, if known.
    pub fn hint(&self) -> Option<String> {
        let hint = match Errno::from_raw(self.errno) {
            // rtnetlink(7) returns EPERM for missing rights.
            Errno::EACCES
                if self.action.starts_with("add") || self.action.starts_with("replace") =>
            {
                "IPv6 is switched off there: run sysctl -w net.ipv6.conf.all.disable_ipv6=0, or give no IPv6 addresses"
            }
            Errno::ENETUNREACH | Errno::EHOSTUNREACH if self.action == "add route" => {
                "give a gateway that is in a subnet of the interface"
            }
            Errno::EPERM | Errno::EACCES => "run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN",
            Errno::EOPNOTSUPP if self.action.starts_with("create") => {
                "load the kernel module of that kind of link"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.action, self.object)?;
        if self.errno == 0 {
            return f.write_str("no usable answer from the kernel");
        }
        f.write_str(&Errno::from_raw(self.errno).desc().to_lowercase())
    }
}

impl std::error::Error for Error {}

/// The kernel's text, which follows the header of the refused request.
fn text(refused: &ErrorMessage) -> Option<String> {
    const REQUEST_HEADER: usize = 16;
    let mut rest = refused.header.get(REQUEST_HEADER..)?;
    while let Some(([len0, len1, kind0, kind1], value)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*len0, *len1]));
        let kind = u16::from_ne_bytes([*kind0, *kind1]) & 0x3fff;
        let value = value.get(..len.checked_sub(4)?)?;
        if kind == EXT_ACK_TEXT {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches('\0').to_owned());
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}
