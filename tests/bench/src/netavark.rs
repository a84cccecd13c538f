//! Podman's netavark, which makes a bridge with addresses, masquerade and published ports in one process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linkspan_harness::call::Call;
use linkspan_harness::lab::Sandbox;
use linkspan_harness::skip;
use linkspan_netlink::netns::Netns;
use serde_json::json;

use crate::cases;
use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// The pod chain, as podman would ask netavark for it.
#[derive(Debug)]
pub(crate) struct Netavark {
    exe: PathBuf,
    scratch: PathBuf,
    pods: BTreeMap<u16, Sandbox>,
}

/// The pod that stays: with the last one the bridge would go, too.
const STAYING: u16 = 100;

/// The pod that is attached and detached in turns. The first ones are those of pods that live.
const ROUNDS: u16 = 101;

impl Netavark {
    /// The program at this path; `None`, with a line, if it is not there.
    pub(crate) fn new(exe: &Path, scratch: &Path) -> Option<Self> {
        if !exe.is_file() {
            skip::tell(&format!("there is no {}", exe.display()));
            return None;
        }
        Some(Self {
            exe: exe.to_owned(),
            scratch: scratch.join("netavark"),
            pods: BTreeMap::new(),
        })
    }

    /// The version of the program at this path, if it is there.
    pub(crate) fn version(exe: &Path) -> Option<String> {
        let told = || Call::new(exe).args(&["--version"]).run();
        exe.is_file().then(|| told().succeeded().trim().to_owned())
    }

    fn run(&mut self, verb: &str, number: u16, mode: &Mode) -> Cost {
        let new = || Sandbox::new(Netns::create().unwrap());
        let sandbox = self.pods.entry(number).or_insert_with(new).path();
        let address = format!("10.254.0.{}", number + 2);
        let asked = json!({
            "container_id": format!("{number:064x}"),
            "container_name": format!("bench{number}"),
            "port_mappings": [{
                "host_ip": "",
                "host_port": 20_000 + number,
                "container_port": 1000,
                "protocol": "tcp",
                "range": 1,
            }],
            "networks": { "bench": { "interface_name": "eth0", "static_ips": [address] } },
            "network_info": { "bench": {
                "name": "bench",
                "id": format!("{:064x}", 0),
                "driver": "bridge",
                "network_interface": "benchnetavark",
                "subnets": [{ "subnet": "10.254.0.0/16", "gateway": "10.254.0.1" }],
                "ipv6_enabled": false,
                "internal": false,
                "dns_enabled": false,
                "ipam_options": { "driver": "host-local" },
            } },
        });
        let config = self.scratch.display().to_string();
        let call = Call::new(&self.exe).args(&["--config", &config, verb, &sandbox]);
        mode.run(&call.conf(&asked)).1
    }
}

impl Scenario for Netavark {
    fn case(&self) -> String {
        cases::POD.to_owned()
    }

    fn who(&self) -> Who {
        Who::Netavark
    }

    fn prepare(&mut self) {
        std::fs::create_dir(&self.scratch).unwrap();
        self.run("setup", STAYING, &Mode::Timed);
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        vec![
            ("ADD", self.run("setup", ROUNDS, mode)),
            ("DEL", self.run("teardown", ROUNDS, mode)),
        ]
    }

    fn lives(&self) -> bool {
        true
    }

    fn attach(&mut self, number: u16) {
        self.run("setup", number, &Mode::Timed);
    }

    fn detach(&mut self, number: u16) -> Cost {
        self.run("teardown", number, &Mode::Timed)
    }
}
