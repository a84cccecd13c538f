//! The engine's sandboxes: attachments without one are detached, and the state of living ones is restored.

use std::fs;
use std::path::PathBuf;

use linkspan_filter::table::TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_nftables::{Batch, Netfilter};
use serde_json::{Value, json};

use crate::cri::{Answer, Engine};
use crate::{Agent, Node, in_cluster, suite, until_told};

/// The UID of the agent's own pod.
const OWN: &str = "7c1f5a0e-own";

/// A node whose list keeps everything in the test's own directories, with its engine.
struct Host<'a> {
    lab: &'a Lab,
    node: &'a Node,
    engine: Engine,
    cache: PathBuf,
}

impl<'a> Host<'a> {
    /// The host with the list in place and with the agent's own pod.
    fn new(lab: &'a Lab, node: &'a Node) -> Self {
        let ipam = json!({ "type": "host-local", "dataDir": node.leases() });
        let template = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [
            { "type": "ptp", "ipam": ipam },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ] });
        fs::write(node.list.with_extension("template"), template.to_string()).unwrap();
        let engine = Engine::new(&node.list.with_extension("sock"));
        engine.runs(&id('0'), OWN);
        let host = Self {
            lab,
            node,
            engine,
            cache: node.list.with_extension("cache"),
        };
        let mut agent = host.agent_with(&[]);
        until_told(&mut agent, "set NetworkUnavailable");
        agent.kill();
        host
    }

    fn agent_with(&self, further: &[&str]) -> Agent {
        let template = self.node.list.with_extension("template");
        let cache = format!("--cache-dir={}", self.cache.display());
        let args = ["--template", &template.to_string_lossy(), &cache];
        self.node.agent_with(&[&args[..], further].concat())
    }

    /// An agent that looks at the sandboxes every second.
    fn agent(&self, sockets: &[&str]) -> Agent {
        let mut args = vec!["--pod-uid", OWN, "--cri-every", "1"];
        for socket in sockets {
            args.extend(["--cri", *socket]);
        }
        self.agent_with(&args)
    }

    fn linkspan(&self, args: &[&str]) -> Call {
        let cache = format!("--cache-dir={}", self.cache.display());
        Call::new(&suite()).args(&[&[&*cache], args].concat())
    }

    /// ADD as an engine with a CRI calls it, with a published port; without a port, as another caller does.
    fn add(&self, id: &str, port: Option<u16>) -> Sandbox {
        let sandbox = self.lab.sandbox();
        let ports = port.map(|port| {
            let mapping = json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp" });
            json!({ "portMappings": [mapping] }).to_string()
        });
        let infra = format!("IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID={id}");
        let (args, ports) = match &ports {
            Some(ports) => (&*infra, &**ports),
            None => ("", ""),
        };
        let list = self.node.list.to_string_lossy();
        let path = sandbox.path();
        let words = ["add", &list, &path, "--container-id", id];
        let call = self.linkspan(&words).env("CNI_ARGS", args);
        let call = call.env("CAP_ARGS", ports);
        self.node
            .sandbox
            .netns
            .scope(|| call.run())
            .unwrap()
            .succeeded();
        sandbox
    }

    fn told(&self, what: &str) -> Vec<String> {
        let call = self.linkspan(&[what, "--json"]);
        let told = self.node.sandbox.netns.scope(|| call.run()).unwrap().json();
        let all = told.as_array().unwrap().iter();
        let container = |entry: &Value| entry["container"].as_str().unwrap().to_owned();
        all.map(container).collect()
    }

    fn holders(&self) -> Vec<String> {
        let mut found: Vec<String> = fs::read_dir(self.node.leases().join("net"))
            .unwrap()
            .filter_map(|file| {
                let text = fs::read_to_string(file.unwrap().path()).ok()?;
                let (id, _) = text.split_once("\r\n")?;
                Some(id.to_owned())
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// A sandbox's id.
fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[test]
fn sandboxes_that_the_engine_does_not_know_twice_are_detached_and_the_others_are_restored() {
    in_cluster(1, 0, |lab, _api, nodes| {
        let host = Host::new(lab, &nodes[0]);
        let [living, lost, late, killed] = ['a', 'b', 'c', 'd'].map(id);
        let _pods = [
            host.add(&living, Some(8001)),
            host.add(&lost, Some(8002)),
            host.add(&late, Some(8003)),
            host.add("by-hand", None),
        ];
        // An ADD that was killed, or is in progress, has no entry yet.
        let _at_work = nodes[0].pod(lab, &killed);
        host.engine.runs(&living, "of-a-pod");
        let netfilter = nodes[0].sandbox.netns.scope(Netfilter::open);
        let mut batch = Batch::default();
        batch.delete_table(TABLE);
        netfilter.unwrap().unwrap().commit(batch).unwrap();
        assert!(host.told("ports").is_empty());

        let elsewhere = Engine::new(&nodes[0].list.with_extension("other"));
        elsewhere.runs(&lost, "of-another-engine");
        let absent = nodes[0].list.with_extension("absent");
        let sockets = [
            &*absent.to_string_lossy(),
            &elsewhere.socket(),
            &host.engine.socket(),
        ];
        let mut agent = host.agent(&sockets);
        host.engine.until_asked(1);
        // The sandbox is known once it is created, which is after ADD.
        host.engine.runs(&late, "of-a-slow-pod");
        for _ in [&lost, &killed] {
            until_told(&mut agent, "eth0: the engine has no such sandbox");
        }
        host.engine.until_asked(2);
        let mut remembered = host.told("list");
        remembered.sort();
        assert_eq!(remembered, [&*living, "by-hand", &late].map(str::to_owned));
        assert_eq!(
            host.holders(),
            [&*living, "by-hand", &late].map(str::to_owned)
        );
        let mut published = host.told("ports");
        published.sort();
        published.dedup();
        assert_eq!(published, [living, late]);
        agent.kill();
    });
}

#[test]
fn nothing_is_detached_where_the_engine_cannot_be_asked() {
    in_cluster(1, 0, |lab, _api, nodes| {
        let host = Host::new(lab, &nodes[0]);
        let lost = id('b');
        let _pod = host.add(&lost, Some(8002));
        let absent = nodes[0].list.with_extension("absent");
        let absent = absent.to_string_lossy();
        let other = Engine::new(&nodes[0].list.with_extension("other"));
        for (sockets, told) in [
            (vec![&*absent], "there is no engine"),
            (vec![&*other.socket()], "it does not run pod 7c1f5a0e-own"),
        ] {
            let mut agent = host.agent(&sockets);
            until_told(&mut agent, told);
            if sockets[0] != absent {
                other.until_asked(3);
            }
            assert_eq!(host.told("list"), [&*lost]);
            agent.kill();
        }
    });
}

#[test]
fn nothing_is_detached_where_the_engine_refuses() {
    nothing_is_detached_after(&[
        (Answer::Refusal, "code 12: unknown service"),
        (Answer::Failure, "code 2"),
        (Answer::Http, "503"),
    ]);
}

#[test]
fn nothing_is_detached_where_the_engines_answer_is_not_whole() {
    nothing_is_detached_after(&[
        (Answer::Half, "the connection broke"),
        (Answer::Unfinished, "has no status"),
        (Answer::Babble, "cannot be read"),
    ]);
}

/// A suspicion is confirmed only by the next good look.
fn nothing_is_detached_after(answers: &[(Answer, &str)]) {
    in_cluster(1, 0, |lab, _api, nodes| {
        let host = Host::new(lab, &nodes[0]);
        let lost = id('b');
        let _pod = host.add(&lost, Some(8002));
        let mut agent = host.agent(&[&host.engine.socket()]);
        for &(answer, told) in answers {
            host.engine.answers(answer);
            until_told(&mut agent, told);
            host.engine.until_asked(2);
            assert_eq!(host.told("list"), [&*lost], "{answer:?}");
            assert_eq!(host.holders(), [&*lost], "{answer:?}");
        }
        host.engine.answers(Answer::Whole);
        until_told(&mut agent, "the engine has no such sandbox");
        host.engine.until_asked(1);
        assert!(host.told("list").is_empty() && host.holders().is_empty());
        agent.kill();
    });
}
