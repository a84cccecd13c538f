//! System tools that show our state.

use std::fs;
use std::os::unix::fs::symlink;

use crate::call::Call;
use crate::lab::Lab;
use crate::skip;

/// The output of a tool; `None`, with a line, if it is not installed.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    let call = Call::new(&skip::without(name)?).args(args);
    // By default, the lock of iptables is a file of the machine, and only root may use it.
    let run = call.env("XTABLES_LOCKFILE", "/dev/null").run();
    Some(run.succeeded().to_owned())
}

/// The output of `nft`.
pub fn nft(args: &[&str]) -> Option<String> {
    tool("nft", args)
}

/// The whole content of nf_tables, for readers; [`crate::table::everything`] compares without `nft`. Counters are left
/// out: the kernel itself sends packets, so two listings differ in them.
pub fn ruleset() -> Option<String> {
    nft(&["--stateless", "list", "ruleset"])
}

/// The rules of iptables, of both kinds and families, that contain the text.
pub fn iptables_rules(container: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for save in [
        "iptables-nft-save",
        "ip6tables-nft-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ] {
        let listed = tool(save, &["-t", "nat"]).unwrap_or_default();
        // `iptables-save` escapes quotes in comments.
        let own = |line: &&str| line.replace('\\', "").contains(container);
        rules.extend(listed.lines().filter(own).map(str::to_owned));
    }
    rules
}

/// A PATH with iptables-legacy as `iptables`; `None` if it is not installed.
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
