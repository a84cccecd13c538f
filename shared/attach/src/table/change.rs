//! Transactions on what other programs change, too.

use std::time::{Duration, Instant};

use linkspan_netlink::error::Error;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use super::TABLE;
use crate::kernel;

/// How long a change is planned anew because other writers of nf_tables were faster.
const PATIENCE: Duration = Duration::from_secs(10);

/// Commits the batch that `plan` makes of what it sees, and plans anew whenever another writer changed that meanwhile.
/// The kernel compares generations, so nothing is locked.
pub fn transact(netfilter: &Netfilter, plan: impl FnMut() -> Result<Batch>) -> Result<()> {
    attempt(netfilter, plan)?.map_err(kernel)
}

/// The same; any other refusal of the kernel is for the caller to judge.
pub fn attempt(
    netfilter: &Netfilter,
    mut plan: impl FnMut() -> Result<Batch>,
) -> Result<std::result::Result<(), Error>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = netfilter.generation().map_err(kernel)?;
        let mut batch = plan()?;
        if batch.is_empty() {
            return Ok(Ok(()));
        }
        batch.at(seen);
        match netfilter.commit(batch) {
            Err(err) if err.is(Errno::ERESTART) && Instant::now() < deadline => {}
            Err(err) if err.is(Errno::ERESTART) => return Err(outrun()),
            done => return Ok(done),
        }
    }
}

fn outrun() -> Failure {
    let patience = PATIENCE.as_secs();
    Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!("change {TABLE}: other writers of nf_tables were faster for {patience} s"),
    )
    .hint("try again, or find the program that keeps changing nf_tables with `nft monitor`")
}
