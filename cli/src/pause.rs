//! `linkspan pause`: the command of a container without work, such as that of a pod whose work was in its init
//! containers.
use linkspan_runtime::Result;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for a signal to end, and handles it: the kernel delivers no unhandled signal to a container's first process.
pub(crate) fn run() -> Result<()> {
    let asked = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
    let mut asked = asked.map_err(linkspan_runtime::io("handle signals"))?;
    asked.forever().next();
    Ok(())
}
