//! Beside other writers of nf_tables or holders of locks, and with ports that change hands at full speed.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use linkspan_harness::figure;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::table::{elements, netfilter};
use linkspan_harness::thorough::times;
use linkspan_harness::wait;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set, Table, TableFamily};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, at, both, claims, count, mapping, traced};

/// A foreign table.
const FOREIGN: Table = Table {
    family: TableFamily::Inet,
    name: "foreign",
};

/// Ends the writer, even if the test panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `body` beside a writer that commits to a foreign table at full speed. Returns the number of its commits.
fn beside_a_writer(lab: &Lab, body: impl FnOnce()) -> usize {
    let (over, commits) = (AtomicBool::new(false), AtomicUsize::new(0));
    let write = || {
        let netfilter = netfilter(lab);
        let set = Set::of("ports", &[Datum::Port]);
        let one = [Element::of(Fields::default().port(1))];
        let mut batch = Batch::default();
        batch.ensure_table(FOREIGN, "");
        batch.ensure(FOREIGN, &[&set], &[]);
        netfilter.commit(batch).unwrap();
        while !over.load(Ordering::Relaxed) {
            let mut batch = Batch::default();
            batch.add(FOREIGN, &set, &one, true);
            batch.delete(FOREIGN, &set, &one);
            netfilter.commit(batch).unwrap();
            commits.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(write);
        let _ends = Ends(&over);
        assert!(wait::so(|| commits.load(Ordering::Relaxed) > 0));
        body();
    });
    commits.into_inner()
}

#[test]
fn a_writer_that_never_rests_hinders_nobody() {
    in_lab(LINKSPAN, |lab| {
        let pods: Vec<Pod> = (0..20)
            .map(|n| {
                let port = mapping("tcp", 8000 + n);
                let mappings: Value = match n % 2 {
                    0 => json!([port]),
                    _ => json!([at("10.1.0.1", port.clone()), at("127.0.0.1", port)]),
                };
                Pod::attach(lab, &format!("p{n}"), &mappings)
            })
            .collect();
        let before = elements(lab);
        let commits = beside_a_writer(lab, || {
            for pod in &pods {
                pod.portmap(lab).add();
            }
            for pod in &pods {
                // Again: present elements are the pod's own.
                pod.portmap(lab).add();
                pod.portmap(lab).check(&pod.result);
            }
            for pod in &pods {
                pod.portmap(lab).del();
            }
        });
        figure::tell(&format!(
            "{commits} transactions of somebody else beside 80 calls of portmap"
        ));
        assert_eq!(elements(lab), before);
        // A claim that had to stay does not conflict.
        for (n, pod) in pods.iter().enumerate() {
            let port = mapping("tcp", 8000 + u16::try_from(n).unwrap());
            let over = json!({ "runtimeConfig": { "portMappings": [port] } });
            pod.portmap_with(lab, &over).add();
            pod.portmap_with(lab, &over).check(&pod.result);
            pod.portmap_with(lab, &over).del();
        }
        assert_eq!(elements(lab), before);
        assert_eq!(claims::shared(lab), [""; 0]);
    });
}

#[test]
fn a_lock_on_the_namespace_is_nobodys_business() {
    in_lab(LINKSPAN, |lab| {
        let pods = ["old", "new"].map(|id| Pod::attach(lab, id, &both(8080)));
        // Any process that can read the file may hold it.
        let namespace = File::open("/proc/thread-self/ns/net").unwrap();
        namespace.lock().unwrap();
        for pod in &pods {
            for verb in ["ADD", "ADD", "DEL"] {
                pod.portmap(lab).verb(verb).run().succeeded();
            }
            for verb in ["ADD", "CHECK", "DEL"] {
                let Some(told) = traced(lab, pod.portmap(lab).verb(verb)) else {
                    return;
                };
                assert!(count(&told, "NFNL_") > 0, "{told:#?}");
                assert_eq!(count(&told, "flock("), 0, "{told:#?}");
            }
        }
    });
}

#[test]
fn a_port_can_be_given_anew_as_soon_as_del_returns() {
    in_lab(LINKSPAN, |lab| {
        let several = json!([
            mapping("tcp", 8080),
            at("10.1.0.1", mapping("tcp", 8081)),
            at("127.0.0.1", mapping("tcp", 8081)),
        ]);
        let pods = ["one", "two"].map(|id| Pod::attach(lab, id, &several));
        let before = elements(lab);
        for turn in 0..times(100, 20) {
            let pod = &pods[turn % 2];
            pod.portmap(lab).add();
            pod.portmap(lab).del();
            assert_eq!(elements(lab), before);
            assert_eq!(claims::shared(lab), [""; 0]);
        }
        // Beside the others, too: a claim that one of two releases stays for the other.
        let own = |ip: &str| {
            let mappings = json!([at(ip, mapping("tcp", 8081))]);
            json!({ "runtimeConfig": { "portMappings": mappings } })
        };
        let [one, two] = &pods;
        let (first, second) = (own("10.1.0.1"), own("127.0.0.1"));
        one.portmap_with(lab, &first).add();
        for _ in 0..times(50, 10) {
            two.portmap_with(lab, &second).add();
            one.portmap_with(lab, &first).del();
            assert_eq!(claims::shared(lab).len(), 1);
            one.portmap_with(lab, &first).add();
            two.portmap_with(lab, &second).del();
            assert_eq!(claims::shared(lab).len(), 1);
        }
    });
}

/// The last holder of a shared claim releases it while the next one takes a share.
#[test]
fn a_shared_claim_outlives_each_of_its_owners() {
    in_lab(LINKSPAN, |lab| {
        let pods = ["10.1.0.1", "127.0.0.1", "192.0.2.1"].map(|ip| {
            let id = ip.replace('.', "-");
            Pod::attach(lab, &id, &json!([at(ip, mapping("tcp", 8080))]))
        });
        let before = elements(lab);
        let come_and_go = |pod: &Pod| {
            for _ in 0..times(40, 15) {
                pod.portmap(lab).add();
                pod.portmap(lab).check(&pod.result);
                pod.portmap(lab).del();
            }
        };
        thread::scope(|scope| {
            for pod in &pods {
                scope.spawn(move || come_and_go(pod));
            }
        });
        assert_eq!(elements(lab), before);
        assert_eq!(claims::shared(lab), [""; 0]);
    });
}

#[test]
fn a_port_is_closed_when_del_returns_and_its_elements_expire_where_they_can() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        server.answers(lab.host(), "127.0.0.1:8080".parse().unwrap());
        let del = pod.portmap(lab).verb("DEL");
        let told = traced(lab, del.clone());
        if told.is_none() {
            del.run().succeeded();
        }
        for address in ["127.0.0.1:8080", "10.1.0.1:8080"] {
            server.is_spared(lab.host(), address.parse().unwrap());
        }
        let told = told.unwrap_or_default();
        let deletions = count(&told, "NFT_MSG_DELSETELEM");
        if told.is_empty() || can_expire() {
            assert_eq!(deletions, 0, "{told:#?}");
        } else {
            assert!(deletions > 0, "{told:#?}");
        }
    });
}

/// Returns whether the kernel changes the remaining time of an element (Linux 6.12).
fn can_expire() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(6_u32), Some(12_u32))
}
