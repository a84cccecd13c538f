//! Transactions on what other programs change, too.

use std::time::{Duration, Instant};

use linkspan_netlink::error::Error;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use super::TABLE;
use crate::kernel;

/// How long a change is planned anew because other writers of nf_tables were faster, and how often at least: on a busy
/// machine a single attempt may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const COURTESY: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 50;

/// The kernel refuses an element while it makes a set's table anew, which takes up to 40 ms: it does so where too many
/// elements have one hash, as do those that expired under one key in the last second (`rhashtable_insert_rehash`).
const BUSY: Duration = Duration::from_millis(2);

/// How often, and how long, a batch that guards itself is held to its generation, too, which is the stricter guard.
const STRICT: usize = 10;
const STRICT_TIME: Duration = Duration::from_millis(500);

/// How a batch is kept from undoing what somebody did after it was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The kernel refuses it where anything has changed (`ERESTART`).
    Generation,
    /// The same, but it is given up soon: what it removes is in nobody's way.
    Courtesy,
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
        let patience = match guard {
            Guard::Generation => Some(PATIENCE),
            Guard::Courtesy => Some(COURTESY),
            Guard::Values => None,
        };
        if patience.is_some() || number <= STRICT && begun.elapsed() < STRICT_TIME {
            batch.at(seen);
        }
        match netfilter.commit(batch) {
            Err(err) if err.is(Errno::ERESTART) => {}
            Err(err) if err.is(Errno::EBUSY) && begun.elapsed() < PATIENCE => {
                let changes = Changes::open().map_err(kernel)?;
                changes.wait(BUSY).map_err(kernel)?;
            }
            done => return Ok(done),
        }
        if let Some(patience) = patience
            && number > ATTEMPTS
            && begun.elapsed() > patience
        {
            return Err(outrun(patience));
        }
    }
    Err(outrun(begun.elapsed()))
}

fn outrun(patience: Duration) -> Failure {
    let patience = patience.as_secs();
    Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!("change {TABLE}: other writers of nf_tables were faster for {patience} s"),
    )
    .hint("try again, or find the program that keeps changing nf_tables with `nft monitor`")
}
