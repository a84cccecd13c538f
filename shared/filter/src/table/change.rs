//! Transactions on shared state.

use std::time::{Duration, Instant};

use linkspan_netlink::error::Error;
use linkspan_nftables::changes::wait_while_busy;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::{Result, step};
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::kernel;

/// Limits for retries after faster writers of nf_tables: a time, and a minimum number of attempts. On a busy machine a
/// single attempt may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const COURTESY: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 50;

/// Maximum number of conflicts with other writers over keys that the plan takes or deletes.
const TAKEN: usize = 100;

/// Limits for the generation check on a batch that guards itself by its values: attempts and time.
const STRICT: usize = 10;
const STRICT_TIME: Duration = Duration::from_millis(500);

/// The protection of a batch against changes after its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The kernel refuses the batch after any change (`ERESTART`).
    Generation,
    /// The same, with an early end of the retries: the elements to remove do no harm.
    Courtesy,
    /// The kernel refuses the batch if another writer owns an element by now (`EEXIST`), by its value. The batch
    /// succeeds in the end, however fast other writers are.
    Values,
}

/// Commits the batch that `plan` makes, and plans again after every interfering change. The kernel compares
/// generations, so no lock is needed.
pub fn transact(netfilter: &Netfilter, mut plan: impl FnMut() -> Result<Batch>) -> Result<()> {
    attempt(netfilter, || Ok((plan()?, Guard::Generation)))?.map_err(kernel)
}

/// The same with a guard that `plan` chooses. Returns any other refusal of the kernel for the caller to judge.
pub fn attempt(
    netfilter: &Netfilter,
    mut plan: impl FnMut() -> Result<(Batch, Guard)>,
) -> Result<std::result::Result<(), Error>> {
    let _step = step("nf_tables");
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
                wait_while_busy().map_err(kernel)?;
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

/// The same, but plans again while the kernel refuses with one of `taken`: another writer took a key, or deleted a
/// rule, between our look and our commit.
pub fn insist(
    netfilter: &Netfilter,
    taken: &[Errno],
    mut plan: impl FnMut() -> Result<(Batch, Guard)>,
) -> Result<std::result::Result<(), Error>> {
    let mut attempts = 1..TAKEN;
    loop {
        match attempt(netfilter, &mut plan)? {
            Err(err) if taken.iter().any(|errno| err.is(*errno)) && attempts.next().is_some() => {}
            done => return Ok(done),
        }
    }
}

fn outrun(patience: Duration) -> Failure {
    let patience = patience.as_secs();
    Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!("change nf_tables: other writers were faster for {patience} s"),
    )
    .hint("try again, or find the program that keeps changing nf_tables with `nft monitor`")
}
