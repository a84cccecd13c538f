//! A call's requests to the kernel, as strace shows them.

use std::fs;

use crate::call::Call;
use crate::lab::Lab;

/// Runs the call, which must succeed. Returns its requests to netlink sockets, one per line; a batch is one.
///
/// The caller asks [`crate::skip::can_trace`] first.
pub fn requests(lab: &Lab, call: Call) -> Vec<String> {
    let log = lab.dir().join("requests");
    let file = log.to_str().unwrap();
    let sends = "trace=sendto,sendmsg";
    let strace = ["strace", "-f", "-qq", "-s", "4096", "-e", sends, "-o", file];
    call.under(&strace).run().succeeded();
    let told = fs::read_to_string(&log).unwrap();
    let request = |line: &&str| line.contains("nlmsg_flags=NLM_F_REQUEST");
    told.lines().filter(request).map(str::to_owned).collect()
}
