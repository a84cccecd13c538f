//! A separate machine for one test: mounts, processes, namespaces and boot id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use nix::mount::{MsFlags, mount, umount};
use nix::unistd::geteuid;

use crate::call::Call;
use crate::lab::{test_name, tried_in};
use crate::{forks, skip};

/// Set for the test that runs inside.
const INSIDE: &str = "LINKSPAN_TEST_MACHINE";
const USER: &str = "--map-root-user";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Runs `body` where it may mount and sees no foreign process: the test runs again below `unshare`. If that is
/// refused, the test is skipped with a line.
pub fn in_machine<F: FnOnce()>(body: F) {
    in_machine_as(&test_name::<F>(), body);
}

/// The same for the test `name`.
pub(crate) fn in_machine_as(name: &str, body: impl FnOnce()) {
    let user: &[&str] = if is_root() { &[] } else { &[USER] };
    // The machine's first process is a shell, which waits for any child and so reaps orphans.
    let machine = [
        "--mount",
        "--net",
        "--cgroup",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        r#""$0" "$@"; exit $?"#,
    ];
    below_unshare(name, &[user, &machine].concat(), body);
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Runs `body` as root of a user namespace, where it sees processes that it may not examine.
pub fn in_user_namespace<F: FnOnce()>(body: F) {
    below_unshare(&test_name::<F>(), &[USER, "--mount", "--net"], body);
}

fn below_unshare(name: &str, args: &[&str], body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    let probe = forks::output(Command::new("unshare").args(args).arg("true"));
    if !probe.is_ok_and(|probe| probe.status.success()) {
        let why = format!("needs root or user namespaces (unshare {args:?} was refused)");
        return skip::tell_of(name, &why);
    }
    let mut unshare = Command::new("unshare");
    tried_in(unshare.args(args).env(INSIDE, name), name);
}

/// The call by an ordinary user, as root of a user namespace if the call requires it. Returns `None`, with a line, if
/// that is refused.
pub fn by_ordinary_user(call: Call) -> Option<Call> {
    const NOBODY: [&str; 4] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    // Root of a user namespace with only one user is an ordinary user already.
    let users = fs::read_to_string("/proc/self/uid_map").unwrap();
    let knows_all = users.trim_end().ends_with(&u32::MAX.to_string());
    let user: &[&str] = if knows_all { &NOBODY } else { &[] };
    let probe = [user, &["unshare", "-rnm", "true"]].concat();
    let (program, args) = probe.split_first().unwrap();
    if Call::new(Path::new(program)).args(args).run().status != 0 {
        skip::tell("needs user namespaces for ordinary users (unshare -rnm was refused)");
        return None;
    }
    Some(if knows_all { call.under(user) } else { call })
}

/// Hides the content of `dir` below an empty folder. Only for use in a separate machine, with which the folder goes.
pub fn make_empty(dir: &Path) {
    let tmpfs = Some("tmpfs");
    mount(tmpfs, dir, tmpfs, MsFlags::empty(), None::<&str>).unwrap();
}

/// Returns whether the kernel labels by SELinux; prints a line if not. Makes SELinux's files visible until the
/// machine's end.
pub fn has_selinux() -> bool {
    let dir = Path::new("/sys/fs/selinux");
    let is_there = || dir.join("enforce").exists();
    let kind = Some("selinuxfs");
    if !is_there() && mount(kind, dir, kind, MsFlags::empty(), None::<&str>).is_err() {
        skip::tell("SELinux is not enabled here");
    }
    is_there()
}

/// Makes `dir` read-only, also for root, until it is unmounted. Only for use in a separate machine.
pub fn make_read_only(dir: &Path) {
    let bind = |flags| {
        mount(
            Some(dir),
            dir,
            None::<&str>,
            MsFlags::MS_BIND | flags,
            None::<&str>,
        )
    };
    bind(MsFlags::empty()).unwrap();
    bind(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY).unwrap();
}

/// Undoes it.
pub fn unmount(dir: &Path) {
    umount(dir).unwrap();
}

/// The boot id of the test's machine, which the test can change.
#[derive(Debug)]
pub struct BootId(PathBuf);

impl BootId {
    /// Replaces the kernel's.
    #[must_use]
    pub fn replaced(dir: &Path) -> Self {
        let file = dir.join(format!("boot_id-{}", id()));
        let boot = Self(file);
        boot.set(1);
        mount(
            Some(&boot.0),
            BOOT_ID,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .unwrap();
        boot
    }

    /// Simulates a reboot of the machine.
    pub fn set(&self, boot: u32) {
        fs::write(&self.0, format!("{boot:08x}-0000-4000-8000-000000000000\n")).unwrap();
    }
}
