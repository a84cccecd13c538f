//! Telling what a test run did not prove: one line for each test and reason. [`skipped`] counts them at the end of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use linkspan_netlink::link::{Kind, LinkSpec, Vlan};
use linkspan_netlink::rtnl::Rtnl;

use crate::lab::{is_nested, own_name};
use crate::said::say;
use crate::{forks, kind, search};

/// How a line of what was skipped begins.
pub(crate) const MARK: &str = "SKIPPED ";

/// Says that the running test, or a part of it, was skipped. The reason is what comes behind the last colon.
pub fn tell(why: &str) {
    tell_of(&own_name(), why);
}

/// The same of the test `name`.
pub(crate) fn tell_of(name: &str, why: &str) {
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo puts a number behind the name of a test binary.
    let binary = stem
        .rsplit_once('-')
        .map_or(&*stem, |(binary, _)| binary)
        .to_owned();
    tell_line(&format!("{binary} {name}: {why}"));
}

/// Says a line, unless this process has said it before.
pub(crate) fn tell_line(line: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(line.to_owned()) {
        say(MARK, line);
        // A test that runs below another one is counted by that one, which says its lines again.
        if !is_nested() {
            // Where the register cannot be written, the line has been said all the same.
            drop(skipped::note(line));
        }
    }
}

/// Where a tool of the system is; none where it is not installed, which is told.
pub fn without(name: &str) -> Option<PathBuf> {
    let found = search::find(name);
    if found.is_none() {
        tell(&format!("{name} is not in PATH"));
    }
    found
}

/// Whether the kernel has links of that kind; told where it has none.
pub fn has_kind(rtnl: &Rtnl, kind: &Kind) -> bool {
    let is_known = rtnl.knows(kind).unwrap();
    if !is_known {
        tell(&format!("this kernel has no links of kind {kind}"));
    }
    is_known
}

/// Whether the kernel's bridges have VLANs; told where they have none.
pub fn has_bridge_vlans(rtnl: &Rtnl) -> bool {
    const PROBE: &str = "probe";
    rtnl.create(&LinkSpec::new(PROBE, Kind::Bridge)).unwrap();
    let probe = rtnl.link_by_name(PROBE).unwrap().unwrap();
    probe.delete().unwrap();
    if probe.filtering.is_none() {
        tell("this kernel has no VLANs for bridges");
    }
    probe.filtering.is_some()
}

/// Whether the kernel has what the plugin needs beyond links and addresses; told where it has not.
pub fn can_attach(rtnl: &Rtnl, plugin: &str) -> bool {
    match plugin {
        "dummy" => has_kind(rtnl, &Kind::Dummy),
        "host-reach" | "macvlan" => has_kind(rtnl, &kind::macvlan()),
        "ipvlan" => has_kind(rtnl, &kind::ipvlan()),
        "vlan" => has_kind(rtnl, &Kind::Vlan(Vlan::of(1))),
        "tap" => has_tap(),
        "vrf" => has_kind(rtnl, &Kind::Vrf { table: 1 }),
        _ => true,
    }
}

/// Whether this user may make tap devices; told where not.
pub fn has_tap() -> bool {
    let found = linkspan_netlink::tap::can_be_created();
    if let Err(err) = &found {
        tell(&format!("no tap devices here: {err}"));
    }
    found.is_ok()
}

/// Whether the test `name` lacks any of these tools, which is told.
pub(crate) fn lacks(name: &str, tools: &[&str]) -> bool {
    let is_absent = |tool: &&str| search::find(tool).is_none();
    let absent: Vec<&str> = tools.iter().copied().filter(is_absent).collect();
    match absent.as_slice() {
        [] => return false,
        [one] => tell_of(name, &format!("{one} is not in PATH")),
        some => tell_of(name, &format!("{} are not in PATH", some.join(", "))),
    }
    true
}

/// Whether strace is there and may trace; told where it is not.
pub fn can_trace(what: &str) -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]);
    let works = forks::output(&mut probe).is_ok_and(|output| output.status.success());
    if !works {
        tell(&format!(
            "{what}: strace is not there, or may not trace (apt install strace)"
        ));
    }
    works
}
