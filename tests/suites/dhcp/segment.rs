//! A segment of the network: a bridge that the server is on, containers with an interface each, and the daemon.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, with};
use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::wait;
use linkspan_harness::world::{self, Cable};
use linkspan_netlink::link::{Kind, LinkSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::server::{ADDRESS, Manners, Server};

/// The server's address of IPv6.
pub(crate) const ADDRESS6: &str = "fd77::1";

/// The link that servers are on.
pub(crate) const WIRE: &str = "wire";

/// Waits for a change by others.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    assert!(wait::so(is_so), "{what}");
}

pub(crate) struct Segment<'a> {
    pub(crate) lab: &'a Lab,
    bridge: u32,
}

/// A container on the segment.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) sandbox: Sandbox,
}

/// The daemon under test, or another suite's.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

impl<'a> Segment<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Self {
        let rtnl = lab.rtnl();
        let spec = LinkSpec {
            mac: Some([2, 0, 0, 0, 0, 0x77]),
            ..LinkSpec::new(WIRE, Kind::Bridge)
        };
        rtnl.create(&spec).unwrap();
        let bridge = rtnl.link_by_name(WIRE).unwrap().unwrap();
        world::add_address(&bridge, ADDRESS.into());
        world::add_address(&bridge, ADDRESS6.parse().unwrap());
        bridge.set_up().unwrap();
        Self {
            lab,
            bridge: bridge.index,
        }
    }

    pub(crate) fn server(lease: u32, pool: u8) -> Server {
        let manners = Manners {
            lease,
            pool,
            ..Manners::default()
        };
        Server::start(WIRE, manners)
    }

    pub(crate) fn container(&self, id: &str) -> Container {
        let sandbox = self.lab.sandbox();
        let cable = Cable {
            name: &format!("w-{id}"),
            bridge: Some(self.bridge),
            near: &[],
            far: &[],
        };
        world::plug(self.lab, &sandbox, cable);
        Container {
            id: id.to_owned(),
            sandbox,
        }
    }

    /// The daemon, with times of a test.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon_of(
            &self.lab.bin(),
            &["-timeout", "300ms", "-resendtimeout", "8s"],
        )
    }

    pub(crate) fn daemon_of(&self, dir: &Path, args: &[&str]) -> Daemon {
        let socket = self.lab.dir().join("cni/dhcp.sock");
        let log = self.lab.dir().join("daemon.log");
        let file = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let mut command = Command::new(dir.join("dhcp"));
        command
            .arg("daemon")
            .arg("-socketpath")
            .arg(&socket)
            .args(args);
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = forks::start(&mut command).unwrap();
        let daemon = Daemon { child, socket, log };
        until("the daemon listens", || {
            UnixStream::connect(&daemon.socket).is_ok()
        });
        daemon
    }

    /// The daemon as a service manager starts it, with its socket as the first descriptor after the standard three.
    pub(crate) fn daemon_of_a_manager(&self) -> (Daemon, PathBuf) {
        let socket = self.lab.dir().join("cni/dhcp.sock");
        fs::create_dir(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let log = self.lab.dir().join("daemon.log");
        let start = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", start, "sh"])
            .arg(self.lab.bin().join("dhcp"));
        command.args(["daemon", "-socketpath"]).arg(&socket);
        command.stdin(Stdio::from(OwnedFd::from(listener)));
        command
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let child = forks::start(&mut command).unwrap();
        let daemon = Daemon {
            child,
            socket: socket.clone(),
            log,
        };
        (daemon, socket)
    }

    /// A configuration for the daemon's socket, with more keys of `ipam`.
    pub(crate) fn conf(&self, over: &Value) -> Value {
        let socket = self.lab.dir().join("cni/dhcp.sock");
        let ipam = with(json!({ "type": "dhcp", "daemonSocketPath": socket }), over);
        json!({ "cniVersion": "1.1.0", "name": "net", "type": "macvlan", "ipam": ipam })
    }

    /// A call of the plugin for a container.
    pub(crate) fn call(&self, container: &Container, over: &Value) -> Call {
        self.call_in(&self.lab.bin(), container, over)
    }

    pub(crate) fn call_in(&self, dir: &Path, container: &Container, over: &Value) -> Call {
        let call = self
            .lab
            .foreign(dir, "dhcp")
            .of(&container.id, &container.sandbox);
        call.conf(&self.conf(over))
    }

    /// The number of stored leases.
    pub(crate) fn kept(&self) -> usize {
        let entries = fs::read_dir(self.lab.dir().join("cni/dhcp.leases"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".lease"))
            .count()
    }
}

impl Container {
    /// Applies the result as the interface plugin would.
    pub(crate) fn configure(&self, result: &Value) -> IpAddr {
        let link = self.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        let addresses = addresses(result);
        for ip in &addresses {
            world::add_address(&link, *ip);
        }
        addresses[0]
    }

    /// Takes the interface away, as the interface plugin's DEL does. The kernel tears a namespace down only some time
    /// after its end, and until then its interface answers for its address.
    pub(crate) fn leave(&self) {
        let link = self.sandbox.rtnl().link_by_name("eth0").unwrap();
        link.unwrap().delete().unwrap();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.sandbox
            .rtnl()
            .link_by_name("eth0")
            .unwrap()
            .unwrap()
            .up
    }
}

impl Daemon {
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager does, and waits for the end.
    pub(crate) fn ask_to_end(mut self) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            linkspan_harness::figure::tell(&self.log());
        }
    }
}
