//! One test's world: a host namespace of its own, sandboxes, a directory, and `CNI_PATH`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::watch::Watch;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

pub use crate::sandbox::Sandbox;

use crate::call::Call;
use crate::{figure, forks, said, skip};

/// The plugins in the bundle.
pub const PLUGINS: &[&str] = &[
    "bandwidth",
    "bridge",
    "dhcp",
    "dummy",
    "firewall",
    "host-device",
    "host-local",
    "host-reach",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "route-override",
    "sbr",
    "static",
    "tap",
    "tuning",
    "veth",
    "vlan",
    "vrf",
];

/// Debian's directory of the Go plugins, and the variable for another one.
const GO: &str = "/usr/lib/cni";
const CARDS: &str = "LINKSPAN_CARDS";
const GO_ELSEWHERE: &str = "LINKSPAN_GO_PLUGINS";

/// The variable for another executable under test than cargo's, such as a release.
const BUNDLE: &str = "LINKSPAN_BUNDLE";

/// Set for a test that runs below another process of the same test: its name.
const NESTED: &str = "LINKSPAN_TEST";

/// The directory of the Go plugins, for swaps. If it is missing, the test is skipped with a line.
pub fn go_plugins(what: &str) -> Option<&'static Path> {
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let dir = PathBuf::from(std::env::var_os(GO_ELSEWHERE).unwrap_or_else(|| GO.into()));
        Some(dir).filter(|dir| dir.join("bridge").exists())
    });
    if FOUND.is_none() {
        skip::tell(&format!(
            "{what}: no Go plugins (apt install containernetworking-plugins)"
        ));
    }
    FOUND.as_deref()
}

/// A test's world. It stays on the thread whose namespace acts as the host.
#[derive(Debug)]
pub struct Lab {
    host: Netns,
    dir: PathBuf,
    bundle: PathBuf,
}

/// Runs `body` in a separate world, with `bundle` as the executable under test.
///
/// Without root the test runs again below `unshare -rn`. Without user namespaces it is skipped with a line.
pub fn in_lab<F: FnOnce(&Lab) + Send>(bundle: &str, body: F) {
    let name = test_name::<F>();
    if !geteuid().is_root() {
        return in_user_namespace(&name);
    }
    let world = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
        body(&Lab::new(Path::new(bundle)));
    };
    // A separate thread: the test runner's thread may be the main one, which must stay in its namespace.
    let ended = thread::scope(|scope| {
        let builder = thread::Builder::new().name(name.clone());
        builder.spawn_scoped(scope, world).unwrap().join()
    });
    if let Err(panic) = ended {
        panic::resume_unwind(panic);
    }
}

/// Runs `body` with the machine itself as the host. Its cards have these PCI addresses. Only a machine made for the
/// test names any; elsewhere the test is skipped with a line.
pub fn in_lab_with_cards<F: FnOnce(&Lab, &[String])>(bundle: &str, body: F) {
    let Ok(cards) = std::env::var(CARDS) else {
        return skip::tell_of(
            &test_name::<F>(),
            "needs the cards of a machine from .ci/vm",
        );
    };
    let cards: Vec<String> = cards.split(' ').map(str::to_owned).collect();
    body(&Lab::new(Path::new(bundle)), &cards);
}

/// The path of the running test. With a single test thread, only the type of its body has it.
pub(crate) fn test_name<F>() -> String {
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => {
            let body = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
            body.split_once("::")
                .map_or(body, |(_, path)| path)
                .to_owned()
        }
    }
}

/// The name of the running test, even if its thread has another name.
pub(crate) fn own_name() -> String {
    let thread = thread::current();
    let known = thread.name().filter(|name| *name != "main");
    let known = known.map(str::to_owned);
    known.unwrap_or_else(|| nested().unwrap_or_else(|| "main".to_owned()))
}

/// Whether this process runs one test for another process.
pub(crate) fn is_nested() -> bool {
    nested().is_some()
}

/// The name of the one test that this process runs for another.
pub(crate) fn nested() -> Option<String> {
    std::env::var(NESTED).ok()
}

fn in_user_namespace(name: &str) {
    let probe = forks::output(Command::new("unshare").args(["-rn", "true"]));
    if !probe.is_ok_and(|probe| probe.status.success()) {
        skip::tell_of(
            name,
            "needs root or user namespaces (unshare -rn was refused)",
        );
        return;
    }
    tried_in(Command::new("unshare").arg("-rn"), name);
}

/// Runs the test `name` again below `unshare`, and fails as it does.
pub(crate) fn tried_in(unshare: &mut Command, name: &str) {
    let again = unshare
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(NESTED, name);
    let run = forks::output(again).unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && told.contains("1 passed"),
        "{name} below unshare: {told}\n{complaint}"
    );
    said::repeat(&complaint, skip::MARK, skip::tell_line);
    said::repeat(&complaint, figure::MARK, figure::tell);
}

impl Lab {
    fn new(bundle: &Path) -> Self {
        let host = Netns::current().unwrap();
        let bundle = std::env::var_os(BUNDLE).map_or_else(|| bundle.to_owned(), PathBuf::from);
        let lab = Self {
            host,
            dir: temporary_directory(),
            bundle,
        };
        let lo = lab.rtnl().link_by_name("lo").unwrap();
        lo.expect("a namespace has a loopback interface")
            .set_up()
            .unwrap();
        fs::create_dir(lab.bin()).unwrap();
        for name in PLUGINS {
            let copy = lab.bin().join(name);
            fs::hard_link(&lab.bundle, &copy)
                .or_else(|_other_device| symlink(&lab.bundle, &copy))
                .unwrap();
        }
        lab
    }

    /// Waits until the host has so many pairs: a namespace ends some time after its last process and descriptor.
    pub fn until_pairs(&self, count: usize) {
        let rtnl = self.rtnl();
        let mut watch = Watch::open(None).unwrap();
        let is_there = || {
            let links = rtnl.links()?;
            let pairs = links.iter().filter(|link| link.kind.is_pair());
            Ok((pairs.count() == count).then_some(()))
        };
        assert_eq!(
            watch.until(Duration::from_secs(60), is_there).unwrap(),
            Some(())
        );
    }

    /// The namespace that acts as the host.
    pub fn host(&self) -> &Netns {
        &self.host
    }

    /// A handle that acts on the host.
    pub fn rtnl(&self) -> Rtnl {
        Rtnl::open(&self.host).unwrap()
    }

    /// A new, empty namespace.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::new(Netns::create().unwrap())
    }

    /// The test's directory; it goes with the lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `CNI_PATH`: the bundle under each plugin's name.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// A foreign plugin in `CNI_PATH`: a shell script.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        self.script_at(self.bin().join(name), body)
    }

    /// A shell script in a file of the test's directory.
    pub fn script_at(&self, path: PathBuf, body: &str) -> PathBuf {
        // Written under another name first: the replaced file may be running.
        let draft = self.dir.join("draft");
        forks::none(|| fs::write(&draft, format!("#!/bin/sh\n{body}\n"))).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&draft, &path).unwrap();
        path
    }

    /// The directory of leases for configurations from [`crate::conf`].
    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    /// The names of the leases of `network`, sorted.
    pub fn leased(&self, network: &str) -> Vec<String> {
        let entries = match fs::read_dir(self.leases().join(network)) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Vec::new(),
            entries => entries.unwrap(),
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name.starts_with(|c: char| c.is_ascii_hexdigit()) && name.contains(['.', ':'])
            })
            .collect();
        names.sort();
        names
    }

    /// A call of one of our plugins.
    pub fn plugin(&self, name: &str) -> Call {
        self.foreign(&self.bin(), name)
    }

    /// A call of a plugin in another directory, which is also its `CNI_PATH`.
    pub fn foreign(&self, dir: &Path, name: &str) -> Call {
        Call::new(&dir.join(name)).env("CNI_PATH", &dir.to_string_lossy())
    }

    /// A run of the bundle under its own name.
    pub fn linkspan(&self, args: &[&str]) -> Call {
        Call::new(&self.bundle).args(args)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.dir) {
            eprintln!("remove {}: {err}", self.dir.display());
        }
    }
}

fn temporary_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("linkspan-lab-{}-{next}", id()));
        match fs::create_dir(&dir) {
            // A machine has separate process numbers, so another one's process may have the same number.
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.unwrap();
                return dir;
            }
        }
    }
}
