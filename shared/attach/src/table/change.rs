//! Transactions on what other programs change, too.

use std::time::{Duration, Instant};

use linkspan_netlink::error::Error;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use super::TABLE;
use crate::kernel;

/// How long a change is planned anew because other writers of nf_tables were faster, and how often at least: on a busy
/// machine a single attempt may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 50;

/// How often, and how long, a batch that guards itself is held to its generation, too, which is the stricter guard.
const STRICT: usize = 10;
const STRICT_TIME: Duration = Duration::from_millis(500);

/// How a batch is kept from undoing what somebody did after it was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The kernel refuses it where anything has changed (`ERESTART`).
    Generation,
    /// The kernel refuses it where an element that comes or goes is somebody else's by now (`EEXIST`), as its value tells.
    /// So it is committed in the end, however fast other writers are.
    Values,
}

/// Commits the batch that `plan` makes of what it sees, and plans anew whenever another writer changed that meanwhile.
/// The kernel compares generations, so nothing is locked.
pub fn transact(netfilter: &Netfilter, mut plan: impl FnMut() -> Result<Batch>) -> Result<()> {
    attempt(netfilter, || Ok((plan()?, Guard::Generation)))?.map_err(kernel)
}

/// The same with a guard that `plan` chooses; any other refusal of the kernel is for the caller to judge.
pub fn attempt(
    netfilter: &Netfilter,
    mut plan: impl FnMut() -> Result<(Batch, Guard)>,
) -> Result<std::result::Result<(), Error>> {
    let begun = Instant::now();
    for number in 1.. {
        let seen = netfilter.generation().map_err(kernel)?;
        let (mut batch, guard) = plan()?;
        if batch.is_empty() {
            return Ok(Ok(()));
        }
        let is_strict = number <= STRICT && begun.elapsed() < STRICT_TIME;
        if is_strict || guard == Guard::Generation {
            batch.at(seen);
        }
        match netfilter.commit(batch) {
            Err(err) if err.is(Errno::ERESTART) && guard == Guard::Generation => {
                if number > ATTEMPTS && begun.elapsed() > PATIENCE {
                    break;
                }
            }
            Err(err) if err.is(Errno::ERESTART) => {}
            done => return Ok(done),
        }
    }
    Err(outrun())
}

fn outrun() -> Failure {
    let patience = PATIENCE.as_secs();
    Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!("change {TABLE}: other writers of nf_tables were faster for {patience} s"),
    )
    .hint("try again, or find the program that keeps changing nf_tables with `nft monitor`")
}
