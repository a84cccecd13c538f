//! The cost of a call, as strace shows it.

use std::fs;

use crate::call::{Call, Output};
use crate::lab::Lab;

/// System calls that a budget leaves out: those of the heap, whose number depends on the allocator, and the checks of
/// descriptors that only unoptimised programs make.
const UNCOUNTED: [&str; 7] = [
    " brk(",
    " mmap(",
    " mremap(",
    " munmap(",
    " mprotect(",
    " madvise(",
    " F_GETFD",
];

/// The work that a process, and the processes that it starts, ask of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Executed programs, the plugin among them.
    pub processes: usize,
    /// Messages to netlink sockets; a batch is one.
    pub requests: usize,
    /// Requests for all objects of a kind.
    pub dumps: usize,
    /// Opened files in any directory: leases, sysctls, namespaces.
    pub files: usize,
    /// System calls from the first read of the configuration on. The start of a process is the same for all.
    pub calls: usize,
    /// Grace periods of the kernel, for which the process waits: deleted links, and transactions of nf_tables that delete.
    pub waits: usize,
}

impl Cost {
    /// Returns whether no number exceeds that of `most`.
    pub fn is_within(&self, most: Self) -> bool {
        let numbers = |of: &Self| {
            [
                of.processes,
                of.requests,
                of.dumps,
                of.files,
                of.calls,
                of.waits,
            ]
        };
        let pairs = numbers(self).into_iter().zip(numbers(&most));
        pairs.into_iter().all(|(did, most)| did <= most)
    }
}

/// Runs the call, which must succeed. Returns its output and its cost.
///
/// The caller asks [`crate::skip::can_trace`] first.
pub fn cost(lab: &Lab, call: Call) -> (Output, Cost) {
    let log = lab.dir().join("strace");
    let file = log.to_str().unwrap();
    let strace = ["strace", "-f", "-qq", "-s", "4096", "-o", file];
    let run = call.under(&strace).run();
    run.succeeded();
    let log = fs::read_to_string(log).unwrap();
    let counted = |what: &dyn Fn(&str) -> bool| log.lines().filter(|line| what(line)).count();
    assert_eq!(counted(&|line| line.contains("nanosleep(")), 0, "{log}");
    // In the host's procfs, a file takes longer to find the more namespaces were visited.
    let own = counted(&|line| line.contains(" fsmount(") && !line.contains(" = -1 "));
    let hosts = counted(&|line| line.contains(" openat2(AT_FDCWD, \"/proc/sys/net/"));
    assert!(own == 0 || hosts == 0, "{log}");
    let cost = Cost {
        processes: counted(&|line| line.contains(" execve(")),
        requests: counted(&is_request),
        dumps: counted(&|line| is_request(line) && is_dump(line)),
        files: counted(&opens),
        calls: calls(&log).count(),
        waits: counted(&|line| is_request(line) && deletes(line)),
    };
    (run, cost)
}

fn is_request(line: &str) -> bool {
    line.contains("nlmsg_flags=NLM_F_REQUEST") && line.contains(" send")
}

/// If strace does not know the protocol, it prints only the number of the flag.
fn is_dump(line: &str) -> bool {
    line.contains("NLM_F_DUMP") || line.contains("|0x300,")
}

fn opens(line: &str) -> bool {
    (line.contains(" openat(") || line.contains(" openat2(")) && !line.contains("ENOENT")
}

/// `RTM_DELLINK`, which strace shows by its number or by its name, and the deletions of nf_tables.
fn deletes(line: &str) -> bool {
    let kinds = ["RULE", "CHAIN", "SETELEM", "SET,", "TABLE"];
    let mut kinds = kinds.iter().map(|kind| format!("NFT_MSG_DEL{kind}"));
    let link = line.contains("nlmsg_type=0x11 ") || line.contains("RTM_DELLINK");
    link || kinds.any(|kind| line.contains(&kind))
}

fn calls(log: &str) -> impl Iterator<Item = &str> {
    let lines = log.lines().skip_while(|line| !line.contains(" read(0, "));
    let ends = |line: &str| {
        ["+++", "---", "resumed>"]
            .iter()
            .any(|end| line.contains(end))
    };
    lines.filter(move |line| {
        !ends(line) && !UNCOUNTED.iter().any(|uncounted| line.contains(uncounted))
    })
}
