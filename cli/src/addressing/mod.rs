//! The addresses of networks, as their lists have them: which are whose, and which are somebody else's already.

mod conf;
mod overlap;

pub(crate) use conf::{Conf, Range};
pub(crate) use overlap::{HostRoute, overlaps};
