//! A machine of one test's own, as far as mounts, processes, namespaces and the boot id go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};

use nix::mount::{MsFlags, mount, umount};
use nix::unistd::geteuid;

use crate::lab::{test_name, tried_in};

/// Tells the test that runs inside from the one that starts it.
const INSIDE: &str = "LINKSPAN_TEST_MACHINE";
const USER: &str = "--map-root-user";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Runs `body` where it may mount and sees no foreign process: the test runs again below `unshare`. It is skipped,
/// loudly, where that is refused.
pub fn in_machine<F: FnOnce()>(body: F) {
    in_machine_as(&test_name::<F>(), body);
}

/// The same for the test `name`.
pub(crate) fn in_machine_as(name: &str, body: impl FnOnce()) {
    let user: &[&str] = if is_root() { &[] } else { &[USER] };
    // The first process of the machine is a shell, because the orphans of others are its own: it waits for any child.
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

/// Runs `body` as root of a user namespace, where it sees processes that it may not look into.
pub fn in_user_namespace<F: FnOnce()>(body: F) {
    below_unshare(&test_name::<F>(), &[USER, "--mount", "--net"], body);
}

fn below_unshare(name: &str, args: &[&str], body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    let mut probe = Command::new("unshare");
    probe.args(args).arg("true").stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED {name}: needs root or user namespaces (unshare {args:?} was refused)");
        return;
    }
    let mut unshare = Command::new("unshare");
    tried_in(unshare.args(args).env(INSIDE, name), name);
}

/// Makes `dir` read-only, also for root, until it is unmounted. Only for use in a machine of one's own.
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

/// The boot id of the machine that the test is in; it changes as often as the test wants.
#[derive(Debug)]
pub struct BootId(PathBuf);

impl BootId {
    /// Takes the place of the kernel's.
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

    /// The machine has booted once more.
    pub fn set(&self, boot: u32) {
        fs::write(&self.0, format!("{boot:08x}-0000-4000-8000-000000000000\n")).unwrap();
    }
}
