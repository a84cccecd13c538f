//! Whose a thing on the host is, and whether its owner can still be there.
//!
//! - [`line`]: the tag that names the owner of a thing. [`hash`]: digests in names.
//! - [`life`]: the one judge. Pools, published ports, GC and the runtime's listings ask it.
//! - [`home`]: where an attachment lives. [`memory`]: facts of ADD for DEL and GC.
//! - [`boot`]: which boot of the machine something was seen in.
//! - [`file`]: how small facts are written and read.
//! - [`capability`]: what this process may look at.

pub mod boot;
pub mod capability;
pub mod file;
pub mod hash;
pub mod home;
pub mod life;
pub mod line;
pub mod memory;
mod processes;

pub use line::{Owner, Stale, Subject};
