//! host-local: one more attachment in pools that are empty, full, and in between.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use linkspan_harness::call::Call;
use nix::sys::resource::UsageWho;
use serde_json::{Value, json};

use crate::process::{Cost, Mode, timed};
use crate::scenario::{Scenario, Who};

/// ADD and DEL in a pool with this many other leases.
#[derive(Debug)]
struct Churn {
    who: Who,
    exe: PathBuf,
    dir: PathBuf,
    subnet: &'static str,
    size: u32,
    filled: &'static str,
    leases: u32,
    rounds: usize,
}

/// A pool: its subnet, its size, and the number of other leases, in words and as a number.
pub(crate) type Pool = (&'static str, u32, &'static str, u32);

/// The number of usable addresses of a /20 and of a /16.
const TWENTY: u32 = 4093;
const SIXTEEN: u32 = 65_533;

/// Usual pools of a node.
pub(crate) const NODE: [Pool; 3] = [
    ("10.1.0.0/20", TWENTY, "0 %", 0),
    ("10.1.0.0/20", TWENTY, "50 %", TWENTY / 2),
    ("10.1.0.0/20", TWENTY, "99 %", TWENTY / 100 * 99),
];

/// Rather large pools for a node.
pub(crate) const LARGE: [Pool; 6] = [
    ("10.1.0.0/16", SIXTEEN, "0 %", 0),
    ("10.1.0.0/16", SIXTEEN, "50 %", SIXTEEN / 2),
    ("10.1.0.0/16", SIXTEEN, "90 %", SIXTEEN / 10 * 9),
    ("10.1.0.0/16", SIXTEEN, "99 %", SIXTEEN / 100 * 99),
    ("fd00:1::/64", u32::MAX, "0 %", 0),
    ("fd00:1::/64", u32::MAX, "60,000", 60_000),
];

/// The measurements of the host-local in `plugins`.
pub(crate) fn scenarios(
    who: Who,
    plugins: &Path,
    scratch: &Path,
    pools: &[Pool],
) -> Vec<Box<dyn Scenario>> {
    let churn = |(subnet, size, filled, leases): &Pool| -> Box<dyn Scenario> {
        let dir = format!("{who}-{}-{leases}", subnet.replace(['/', ':'], "-"));
        Box::new(Churn {
            who,
            exe: plugins.join("host-local"),
            dir: scratch.join(dir),
            subnet,
            size: *size,
            filled,
            leases: *leases,
            rounds: 0,
        })
    };
    pools.iter().map(churn).collect()
}

impl Churn {
    fn titled(&self, filled: &str) -> String {
        let prefix = self.subnet.split_once('/').map_or("", |(_, prefix)| prefix);
        format!("host-local, /{prefix} {filled}")
    }

    fn conf(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "net",
            "ipam": { "type": "host-local", "dataDir": self.dir, "ranges": [[{ "subnet": self.subnet }]] },
        })
    }

    fn call(&self, verb: &str, mode: &Mode) -> Cost {
        let call = Call::new(&self.exe)
            .verb(verb)
            .env("CNI_CONTAINERID", &format!("{:064x}", self.rounds))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/nowhere")
            .netns("/nowhere/netns")
            .conf(&self.conf());
        mode.run(&call).1
    }

    /// The address of the `n`th other lease, in order.
    fn address(&self, n: u32) -> String {
        if self.subnet.contains(':') {
            let low = u128::from(n) + 2;
            return Ipv6Addr::from(0xfd00_0001_u128 << 96 | low).to_string();
        }
        Ipv4Addr::from(0x0a01_0002 + n).to_string()
    }
}

impl Scenario for Churn {
    fn case(&self) -> String {
        self.titled(self.filled)
    }

    fn who(&self) -> Who {
        self.who
    }

    fn base(&self) -> Option<String> {
        (self.leases > 0).then(|| self.titled("0 %"))
    }

    fn prepare(&mut self) {
        let dir = self.dir.join("net");
        fs::create_dir_all(&dir).unwrap();
        // The free addresses of a pool that has been in use for long are scattered.
        let (size, leases) = (u64::from(self.size), u64::from(self.leases));
        let scattered = |n: u64| n * leases / size != (n + 1) * leases / size;
        let six = self.subnet.contains(':');
        let numbers = 0..if six { self.leases } else { self.size };
        for n in numbers.filter(|n| six || scattered((*n).into())) {
            let lease = dir.join(self.address(n));
            fs::write(lease, format!("{n:064x}x\r\neth0")).unwrap();
        }
        // The first call builds the index.
        self.call("ADD", &Mode::Timed);
        self.call("DEL", &Mode::Timed);
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        self.rounds += 1;
        vec![
            ("ADD", self.call("ADD", mode)),
            ("DEL", self.call("DEL", mode)),
        ]
    }
}

/// The cost that ADD would have for a lease on disk: fsync(2) of a file and of its directory.
#[derive(Debug)]
pub(crate) struct Sync {
    dir: PathBuf,
    rounds: usize,
}

impl Sync {
    pub(crate) fn new(scratch: &Path) -> Self {
        let dir = scratch.join("sync");
        Self { dir, rounds: 0 }
    }
}

impl Scenario for Sync {
    fn case(&self) -> String {
        "fsync of a lease and its directory".to_owned()
    }

    fn who(&self) -> Who {
        Who::Ours
    }

    fn prepare(&mut self) {
        fs::create_dir(&self.dir).unwrap();
    }

    fn round(&mut self, _mode: &Mode) -> Vec<(&'static str, Cost)> {
        self.rounds += 1;
        let mut file = File::create(self.dir.join(self.rounds.to_string())).unwrap();
        file.write_all(&[b'x'; 70]).unwrap();
        let dir = File::open(&self.dir).unwrap();
        let ((), synced) = timed(UsageWho::RUSAGE_THREAD, || {
            file.sync_all().unwrap();
            dir.sync_all().unwrap();
        });
        vec![("sync", synced)]
    }
}
