//! Tools of the system that look where we have made something.

use crate::call::Call;
use crate::skip;

/// What a tool prints; `None` where it is not installed, which is told.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    let run = Call::new(&skip::without(name)?).args(args).run();
    Some(run.succeeded().to_owned())
}

/// What `nft` prints.
pub fn nft(args: &[&str]) -> Option<String> {
    tool("nft", args)
}

/// All that is in nf_tables.
pub fn ruleset() -> Option<String> {
    nft(&["list", "ruleset"])
}
