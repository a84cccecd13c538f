//! Unmodified servers, and the other suite's plugin and daemon.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::skip;
use serde_json::json;

use crate::LINKSPAN;
use crate::segment::{Segment, WIRE, until};
use crate::server::RELEASE;

/// A server that runs until it is dropped.
pub(crate) struct Foreign {
    child: Child,
    leases: PathBuf,
    log: PathBuf,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Foreign {
    pub(crate) fn start(lab: &Lab, exe: &Path, args: &[&str], ready: &str) -> Self {
        let log = lab.dir().join("server.log");
        let file = File::create(&log).unwrap();
        let mut command = Command::new(exe);
        command.args(args).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = forks::start(&mut command).unwrap();
        let server = Self {
            child,
            leases: lab.dir().join("server.leases"),
            log,
        };
        until(
            &format!("{ready:?} in the log of {}", exe.display()),
            || server.log().contains(ready),
        );
        server
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn leases(&self) -> String {
        fs::read_to_string(&self.leases).unwrap_or_default()
    }
}

/// Attaches and detaches ten containers, one after the other, where the server has one address.
fn ten_turns(segment: &Segment<'_>) {
    for turn in 0..10 {
        let pod = segment.container(&format!("c{turn}"));
        let call = segment.call(&pod, &json!({}));
        let result = call.add();
        assert_eq!(result["ips"][0]["address"], "10.77.0.10/24", "turn {turn}");
        pod.configure(&result);
        call.check(&result);
        call.del();
        pod.leave();
    }
}

pub(crate) fn file(lab: &Lab, name: &str, text: &str) -> String {
    let path = lab.dir().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

pub(crate) fn dnsmasq(lab: &Lab, range: &str, more: &[&str]) -> Option<Foreign> {
    let exe = skip::without("dnsmasq")?;
    let leases = format!(
        "--dhcp-leasefile={}",
        lab.dir().join("server.leases").display()
    );
    let (wire, range) = (
        format!("--interface={WIRE}"),
        format!("--dhcp-range={range}"),
    );
    let mut args = vec![
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--port=0",
        "--bind-interfaces",
        "--conf-file=/dev/null",
        "--no-ping",
        "--user=",
        "--group=",
        "--pid-file=",
        "--except-interface=lo",
        "--leasefile-ro=0",
        "--dhcp-authoritative",
        &leases,
        &wire,
        &range,
    ];
    args.retain(|arg| *arg != "--leasefile-ro=0");
    args.extend(more);
    Some(Foreign::start(lab, &exe, &args, "DHCP, "))
}

#[test]
fn dnsmasq_has_its_only_address_back_each_time() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let Some(server) = dnsmasq(lab, "10.77.0.10,10.77.0.10,2m", &[]) else {
            return;
        };
        let _daemon = segment.daemon();
        ten_turns(&segment);
        until("the last release is in the log", || {
            server.log().matches("DHCPRELEASE").count() == 10
        });
        until("no lease is left", || server.leases().is_empty());
    });
}

#[test]
fn udhcpd_has_its_only_address_back_each_time() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let Some(exe) = skip::without("udhcpd") else {
            return;
        };
        let leases = file(lab, "server.leases", "");
        let pid = lab.dir().join("pid");
        let text = format!(
            "start 10.77.0.10\nend 10.77.0.10\ninterface {WIRE}\nmax_leases 1\nlease_file {leases}\n\
             pidfile {}\noption subnet 255.255.255.0\noption router 10.77.0.1\noption lease 600\n",
            pid.display()
        );
        let conf = file(lab, "udhcpd.conf", &text);
        // Before each offer, the server looks for users of the address by ARP: for 50 ms, instead of its default of
        // two seconds.
        let _server = Foreign::start(lab, &exe, &["-f", "-a", "50", &conf], "started");
        // It gives an address again only in the next second, so ours asks more than once.
        let _daemon =
            segment.daemon_of(&lab.bin(), &["-timeout", "300ms", "-resendtimeout", "50s"]);
        ten_turns(&segment);
    });
}

#[test]
fn isc_dhcpd_has_its_only_address_back_each_time() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let Some(exe) = skip::without("dhcpd") else {
            return;
        };
        let leases = file(lab, "server.leases", "");
        let pid = lab.dir().join("pid").display().to_string();
        let text = "default-lease-time 600;\nping-check false;\nauthoritative;\n\
            subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.10 10.77.0.10; option routers 10.77.0.1; }\n";
        let conf = file(lab, "dhcpd.conf", text);
        let args = [
            "-4", "-f", "-d", "--no-pid", "-cf", &conf, "-lf", &leases, "-pf", &pid, WIRE,
        ];
        let server = Foreign::start(lab, &exe, &args, "Server starting service");
        let _daemon = segment.daemon();
        ten_turns(&segment);
        until("the last lease is free", || {
            let leases = server.leases();
            let last = |state: &str| leases.rfind(&format!("\n  binding state {state};"));
            leases.matches("\n  binding state free;").count() == 10 && last("free") > last("active")
        });
    });
}

#[test]
fn either_suites_plugin_talks_to_either_suites_daemon() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("dhcp") else {
            return;
        };
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        server.now(|manners| {
            manners.options = vec![
                (3, vec![10, 77, 0, 1]),
                (33, vec![192, 168, 7, 0, 10, 77, 0, 2]),
            ];
        });
        let bin = lab.bin();
        let mut results = Vec::new();
        let pod = segment.container("c1");
        for (daemon, plugins) in [
            (bin.as_path(), go),
            (go, bin.as_path()),
            (bin.as_path(), bin.as_path()),
            (go, go),
        ] {
            let mut running = segment.daemon_of(daemon, &[]);
            let call = segment.call_in(plugins, &pod, &json!({}));
            let mut conf = segment.conf(&json!({}));
            conf["cniVersion"] = json!("1.0.0");
            let call = call.conf(&conf);
            let result = call.add();
            call.after(&result).verb("CHECK").run().succeeded();
            results.push(result);
            call.del();
            // A server's kernel drops the other daemon's release, which has no source address.
            if daemon == bin {
                server.next(RELEASE);
            }
            let told = call.env("CNI_IFNAME", "nope").verb("ADD").run().failed(999);
            let error = "error calling DHCP.Allocate: error looking up \"nope\": Link not found";
            assert!(told.starts_with(error), "{told}");
            running.kill();
            drop(fs::remove_file(&running.socket));
            // The next address: the server ignored the other daemon's release.
            server.now(|manners| manners.pool = 9);
        }
        for result in &results {
            assert_eq!(result["routes"], results[0]["routes"]);
            assert_eq!(result["ips"][0]["gateway"], "10.77.0.1");
        }
    });
}

#[test]
fn a_container_under_the_other_suites_daemon_keeps_its_address_when_ours_follows() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("dhcp") else {
            return;
        };
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 9);
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let mut theirs = segment.daemon_of(go, &[]);
        let result = call.add();
        theirs.kill();
        // It left its socket behind.
        assert!(theirs.socket.exists());
        let _ours = segment.daemon();
        pod.configure(&result);
        assert_eq!(call.add(), result);
        call.del();
        server.next(RELEASE);
        assert_eq!(server.given(), 0);
    });
}
