//! The addresses of networks, as their lists have them, and conflicts over them.

mod conf;
mod overlap;

pub(crate) use conf::{Conf, Range};
pub(crate) use overlap::{HostRoute, overlaps};
