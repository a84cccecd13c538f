//! Hundreds of attachments at once, beside somebody who changes links and somebody who writes to nf_tables all the time:
//! every operation succeeds, and nothing is left.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::thorough::times;
use linkspan_harness::{figure, forks, skip, tool};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
/// So many at once; fewer in an everyday run.
const PODS: (usize, usize) = (500, 60);
/// One of so many operations is accompanied by GC of every plugin and by STATUS.
const SELDOM: usize = 50;

/// Pods that come and go by the bundled runtime: a bridge of both families with masquerade, a port, a
/// policy, and a sysctl: the chain that engines write.
struct Crowd<'a> {
    lab: &'a Lab,
    list: PathBuf,
    plugins: [Value; 4],
    sandboxes: Vec<Sandbox>,
}

impl<'a> Crowd<'a> {
    fn new(lab: &'a Lab) -> Self {
        let on_bridge = bridge(lab, &json!({ "ipMasq": true }));
        let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let guarded = json!({ "type": "firewall", "ingressPolicy": "isolated" });
        let tuned = json!({
            "type": "tuning",
            "dataDir": lab.dir().join("tuning"),
            "sysctl": { "net.ipv4.conf.eth0.arp_filter": "1" },
        });
        let plugins = [on_bridge, ports, guarded, tuned];
        let list = lab.dir().join("net.conflist");
        let text = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
        fs::write(&list, text.to_string()).unwrap();
        let pods = times(PODS.0, PODS.1);
        let sandboxes = (0..pods).map(|_| lab.sandbox()).collect();
        Self {
            lab,
            list,
            plugins,
            sandboxes,
        }
    }

    fn pods(&self) -> usize {
        self.sandboxes.len()
    }

    fn linkspan(&self, args: &[&str]) -> Call {
        let cache = self.lab.dir().join("cache");
        let places = ["--cache-dir", cache.to_str().unwrap()];
        let bin = self.lab.bin();
        let call = self.lab.linkspan(&places).args(args);
        call.env("CNI_PATH", bin.to_str().unwrap())
    }

    fn pod(&self, at: usize, verb: &str) -> Call {
        let port = json!({ "hostPort": 10_000 + at, "containerPort": 80, "protocol": "tcp" });
        let call = self.linkspan(&[verb, self.list.to_str().unwrap()]);
        call.args(&[
            &self.sandboxes[at].path(),
            "--container-id",
            &id(at),
            "--capability-args",
            &json!({ "portMappings": [port] }).to_string(),
        ])
    }

    fn status(&self) -> Call {
        self.linkspan(&["status", self.list.to_str().unwrap()])
    }

    /// GC of each plugin, where these are valid. The spec has runtimes wait for ADD and DEL before that; this one does not.
    fn gc(&self, valid: impl Iterator<Item = usize>) -> impl Iterator<Item = Call> {
        let valid: Vec<Value> = valid
            .map(|at| json!({ "containerID": id(at), "ifname": "eth0" }))
            .collect();
        let list =
            json!({ "cniVersion": "1.1.0", "name": "net", "cni.dev/valid-attachments": valid });
        self.plugins.iter().map(move |plugin| {
            let conf = with(plugin.clone(), &list);
            let plugin = self.lab.plugin(conf["type"].as_str().unwrap());
            plugin.conf(&conf).verb("GC")
        })
    }

    /// Starts `verb` for so many pods at once, with GC and STATUS between them, and waits for all to succeed; how many.
    fn at_once(&self, pods: usize, verb: impl Fn(usize) -> &'static str) -> usize {
        let mut running: Vec<Running> = Vec::new();
        for at in 0..pods {
            running.push(self.pod(at, verb(at)).spawn());
            if at % SELDOM == 0 {
                running.extend(self.gc(0..self.pods()).map(|gc| gc.spawn()));
                running.push(self.status().spawn());
            }
        }
        let count = running.len();
        for run in running {
            run.wait().succeeded();
        }
        count
    }
}

fn id(at: usize) -> String {
    format!("pod{at}")
}

/// Links of somebody else that come, change and go until `enough`; how many changes that were.
#[expect(
    clippy::disallowed_methods,
    reason = "it is fed as it runs, and is no plugin"
)]
fn storm_of_links(ip: &Path, enough: &AtomicBool) -> usize {
    let mut command = Command::new(ip);
    command.args(["-batch", "-"]).stdin(Stdio::piped());
    let mut child = forks::start(&mut command).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut count = 0;
    while !enough.load(Ordering::Relaxed) {
        for line in [
            "link add storm0 type veth peer name storm1",
            "link set storm0 up",
            "link set storm1 up mtu 1400",
            "address add 192.0.2.1/24 dev storm0",
            "link del storm0",
        ] {
            writeln!(stdin, "{line}").unwrap();
            count += 1;
        }
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    count
}

/// Transactions of somebody else in a table of his own until `enough`; how many.
fn transactions(nft: &Path, enough: &AtomicBool) -> usize {
    let text = "table inet other {}
delete table inet other
table inet other {
    map m { type inet_service : verdict; elements = { 1 : accept, 2 : drop }; }
    chain c { type filter hook input priority 10; tcp dport vmap @m; }
}
";
    let call = Call::new(nft).args(&["-f", "-"]).stdin(text.as_bytes());
    let mut count = 0;
    while !enough.load(Ordering::Relaxed) {
        call.run().succeeded();
        count += 1;
    }
    count
}

/// Runs `body` in company; what the company did.
fn in_company(ip: &Path, nft: &Path, body: impl FnOnce()) -> (usize, usize) {
    /// Also where `body` panics.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let changes = scope.spawn(|| storm_of_links(ip, &enough));
        let commits = scope.spawn(|| transactions(nft, &enough));
        let ends = Ends(&enough);
        body();
        drop(ends);
        (changes.join().unwrap(), commits.join().unwrap())
    })
}

#[test]
fn hundreds_of_pods_come_and_go_at_once_and_nothing_is_left() {
    in_lab(LINKSPAN, |lab| {
        let (Some(ip), Some(nft)) = (skip::without("ip"), skip::without("nft")) else {
            return;
        };
        let crowd = Crowd::new(lab);
        let pods = crowd.pods();
        // Those that change sides while the others stay, or are looked at.
        let restless = pods / 3;
        let mut operations = 0;
        let (changes, commits) = in_company(&ip, &nft, || {
            operations += crowd.at_once(pods, |_| "add");
            assert_eq!(lab.leased("net").len(), 2 * pods);
            // Those of even numbers go and come again, while the others have to stay whole.
            for verb in ["del", "add"] {
                operations +=
                    crowd.at_once(restless, |at| if at % 2 == 0 { verb } else { "check" });
            }
            operations += crowd.at_once(pods, |_| "del");
        });
        figure::tell(&format!(
            "concurrency: {operations} operations, up to {pods} at once, 0 failed, beside {changes} changes of links and {commits} transactions of another writer of nf_tables"
        ));
        let links: BTreeSet<String> = lab
            .rtnl()
            .links()
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect();
        assert_eq!(links, ["br0", "lo"].map(str::to_owned).into());
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(
            fs::read_dir(lab.dir().join("cache/results"))
                .unwrap()
                .count(),
            0
        );
        for sandbox in &crowd.sandboxes {
            assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
        }
        let rules = tool::ruleset().unwrap();
        assert!(rules.contains("table inet linkspan"), "{rules}");
        assert!(
            rules.contains("elements = { 1 : accept, 2 : drop }"),
            "{rules}"
        );
        for of_a_pod in [" 10000", "pod"] {
            assert!(!rules.contains(of_a_pod), "{of_a_pod}: {rules}");
        }
        // The network's shared state goes with the last of its attachments.
        for gc in crowd.gc(0..0) {
            gc.run().succeeded();
        }
        let rules = tool::ruleset().unwrap();
        for of_the_network in ["10.1.", "fd00:1:"] {
            assert!(!rules.contains(of_the_network), "{of_the_network}: {rules}");
        }
    });
}
