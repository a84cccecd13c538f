//! Tools of the system that look where we have made something.

use std::fs;
use std::os::unix::fs::symlink;

use crate::call::Call;
use crate::lab::Lab;
use crate::skip;

/// What a tool prints; `None` where it is not installed, which is told.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    let call = Call::new(&skip::without(name)?).args(args);
    // The lock of iptables is otherwise a file of the machine's, and root's alone.
    let run = call.env("XTABLES_LOCKFILE", "/dev/null").run();
    Some(run.succeeded().to_owned())
}

/// What `nft` prints.
pub fn nft(args: &[&str]) -> Option<String> {
    tool("nft", args)
}

/// All that is in nf_tables, to be read; [`crate::table::everything`] compares without `nft`.
pub fn ruleset() -> Option<String> {
    nft(&["list", "ruleset"])
}

/// The rules that iptables has, of both kinds and families, in which a text occurs.
pub fn iptables_rules(container: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for save in [
        "iptables-nft-save",
        "ip6tables-nft-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ] {
        let listed = tool(save, &["-t", "nat"]).unwrap_or_default();
        // `iptables-save` writes quotes in comments behind a backslash.
        let own = |line: &&str| line.replace('\\', "").contains(container);
        rules.extend(listed.lines().filter(own).map(str::to_owned));
    }
    rules
}

/// A PATH on which `iptables` is the one of the older packet filter; `None` where it is not installed.
pub fn older_iptables(lab: &Lab) -> Option<String> {
    let multi = skip::without("xtables-legacy-multi")?;
    let dir = lab.dir().join("older");
    fs::create_dir(&dir).unwrap();
    for program in ["", "-save", "-restore"] {
        for family in ["iptables", "ip6tables"] {
            let link = dir.join(format!("{family}{program}"));
            symlink(&multi, link).unwrap();
        }
    }
    Some(dir.to_string_lossy().into_owned())
}
