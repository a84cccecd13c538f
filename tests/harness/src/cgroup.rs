//! A control group for one test, in which container engines create theirs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::id;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

/// The usual place of control groups.
const USUAL: &str = "/sys/fs/cgroup";

/// Long enough for the slowest machine. Usually processes end at once.
const DEADLINE_MS: u16 = 20_000;

/// The group. It is removed with the value, along with every process in it except those of the test itself.
#[derive(Debug)]
pub(crate) struct Cgroup {
    outer: PathBuf,
    own: PathBuf,
}

impl Cgroup {
    /// Moves this process into a new group, which becomes the root of the hierarchy at the usual place: version 2,
    /// whatever the machine has. Does nothing without the right to create groups, such as for an ordinary user;
    /// engines then do without.
    pub(crate) fn enter(dir: &Path) -> Option<Self> {
        let outer = dir.join("cgroup");
        fs::create_dir(&outer).unwrap();
        mount_at(&outer);
        let own = outer.join(format!("linkspan-{}", Self::outer_id()));
        let entered = fs::create_dir(&own).and_then(|()| join(&own));
        // The usual place is covered with all mounts below it. A mount in between separates the two hierarchies: the
        // kernel refuses to mount a filesystem upon itself.
        unshare(CloneFlags::CLONE_NEWCGROUP).unwrap();
        let between = Some("tmpfs");
        mount(between, USUAL, between, MsFlags::empty(), None::<&str>).unwrap();
        mount_at(Path::new(USUAL));
        entered.ok()?;
        // A group with processes of its own cannot enable controllers for its children.
        let leaf = own.join("test");
        fs::create_dir(&leaf).unwrap();
        join(&leaf).unwrap();
        Some(Self { outer, own })
    }

    /// The number of this process in the machine's view: within its own namespace every test has the same.
    fn outer_id() -> String {
        let mut link = fs::read_link("/proc/self/ns/pid")
            .unwrap()
            .into_os_string()
            .into_string()
            .unwrap();
        link.retain(|c| c.is_ascii_digit());
        link
    }

    fn leave(&self) {
        join(&self.outer).unwrap();
        fs::write(self.own.join("cgroup.kill"), "1").unwrap();
        self.wait_until_empty();
        remove_below(&self.own);
    }

    fn wait_until_empty(&self) {
        let mut events = File::open(self.own.join("cgroup.events")).unwrap();
        loop {
            let mut text = String::new();
            events.read_to_string(&mut text).unwrap();
            if text.contains("populated 0") {
                return;
            }
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
            let ready = poll(&mut fds, PollTimeout::from(DEADLINE_MS)).unwrap();
            assert!(
                ready > 0,
                "processes outlive {}: {text}",
                self.own.display()
            );
            events = File::open(self.own.join("cgroup.events")).unwrap();
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in ["the group", "what is between"] {
            umount2(USUAL, MntFlags::MNT_DETACH).unwrap();
        }
        self.leave();
    }
}

fn join(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), id().to_string())
}

fn mount_at(dir: &Path) {
    let kind = Some("cgroup2");
    mount(kind, dir, kind, MsFlags::empty(), None::<&str>).unwrap();
}

fn remove_below(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    match fs::remove_dir(dir) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            eprintln!("remove {}: {err}", dir.display());
        }
        _ => {}
    }
}
