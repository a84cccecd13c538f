//! Owners of things on the host, and a judge of whether an owner still exists.
//!
//! - [`line`]: the tag that names a thing's owner. [`hash`]: digests in names.
//! - [`life`]: the one judge. Pools, published ports, GC and the runtime's listings ask the judge.
//! - [`home`]: where an attachment lives. [`memory`]: facts of ADD for DEL and GC.
//! - [`boot`]: identifies boots of the machine.
//! - [`file`]: how small facts are written and read.
//! - [`capability`]: the capabilities of this process.

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
