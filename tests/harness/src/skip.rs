//! Lines for skipped tests, one for each test and reason. [`skipped`] counts them at the end of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use linkspan_netlink::link::{Kind, LinkSpec, Netkit, Vlan};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use nix::errno::Errno;

use crate::lab::{is_nested, own_name};
use crate::said::say;
use crate::{forks, kind, search};

/// The prefix of a skip's line.
pub(crate) const MARK: &str = "SKIPPED ";

/// Reports that the running test, or a part of it, is skipped. The reason follows the last colon.
pub fn tell(why: &str) {
    tell_of(&own_name(), why);
}

/// The same for the test `name`.
pub(crate) fn tell_of(name: &str, why: &str) {
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo appends a number to the name of a test binary.
    let binary = stem
        .rsplit_once('-')
        .map_or(&*stem, |(binary, _)| binary)
        .to_owned();
    tell_line(&format!("{binary} {name}: {why}"));
}

/// Prints a line once per process.
pub(crate) fn tell_line(line: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(line.to_owned()) {
        say(MARK, line);
        // If a test runs below another one, the outer one repeats and counts its lines.
        if !is_nested() {
            // If the register cannot be written, the line was still printed.
            drop(skipped::note(line));
        }
    }
}

/// The path of a system tool; `None`, with a line, if it is not installed.
pub fn without(name: &str) -> Option<PathBuf> {
    let found = search::find(name);
    if found.is_none() {
        tell(&format!("{name} is not in PATH"));
    }
    found
}

/// Returns whether the kernel has links of that kind; prints a line if not.
pub fn has_kind(rtnl: &Rtnl, kind: &Kind) -> bool {
    let is_known = rtnl.knows(kind).unwrap();
    if !is_known {
        tell(&format!("this kernel has no links of kind {kind}"));
    }
    is_known
}

/// Whether the kernel has pairs of that kind; told where it has none.
pub fn has_pair(rtnl: &Rtnl, device: &str) -> bool {
    device != "netkit" || has_kind(rtnl, &Kind::Netkit(Netkit::OPEN))
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

/// Returns whether the kernel has the plugin's further requirements, besides links and addresses; prints a line if
/// not.
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

/// A namespace outside of a laboratory; `None`, with a line, if this user may not create one.
pub fn namespace() -> Option<Netns> {
    match Netns::create() {
        Err(err) if err.is(Errno::EPERM) => {
            tell("needs root, or `unshare -rn`");
            None
        }
        made => Some(made.unwrap()),
    }
}

/// Returns whether this user may make tap devices; prints a line if not.
pub fn has_tap() -> bool {
    let found = linkspan_netlink::tap::can_be_created();
    if let Err(err) = &found {
        tell(&format!("no tap devices here: {err}"));
    }
    found.is_ok()
}

/// Returns whether the test `name` lacks any of these tools, with a line if so.
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

/// Returns whether strace is there and may trace; prints a line if not.
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
