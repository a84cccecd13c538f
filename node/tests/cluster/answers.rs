//! The API server's answers, good and bad, and the agent's reports.

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use serde_json::{Value, json};

use crate::api::Mood;
use crate::{AGENT, Agent, OF_FIRST, api, in_cluster, parts, tls, until_told};

#[test]
fn bad_answers_leave_everything_as_it_is_until_a_good_one_comes() {
    in_cluster(3, 0, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        until_told(&mut agent, "set NetworkUnavailable");
        for (mood, told) in [
            (Mood::Broken, "InternalError"),
            (Mood::Forbidding, "Forbidden"),
            (Mood::Babbling, "the API server"),
        ] {
            api.set_mood(mood);
            until_told(&mut agent, told);
            assert_eq!(nodes[0].routes(), OF_FIRST);
            api.delete("n3");
            assert_eq!(nodes[0].routes(), OF_FIRST);
            api.set_mood(Mood::Well);
            nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
            nodes[2].register(api, &parts(3));
            nodes[0].until_routes(&mut agent, &OF_FIRST);
        }
        // If the server has forgotten events, the list is read again.
        let lists = api.asked("GET");
        api.forget();
        api.until_asked("GET", lists + 1);
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        // The watch continues from a bookmark, even if the server has forgotten earlier events.
        nodes[2].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        let lists = api.asked("GET");
        let mark = api.bookmark();
        let again = format!("resourceVersion={mark}");
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        api.forget_before(mark);
        nodes[2].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        assert_eq!(api.asked("GET"), lists, "{again}");
        // A slow stream is still one of whole events.
        api.set_mood(Mood::Dripping);
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        // The own node's absence changes nothing.
        api.delete("n1");
        until_told(&mut agent, "has no node n1");
        assert_eq!(nodes[0].routes(), [OF_FIRST[0], OF_FIRST[2]]);
        agent.kill();
    });
}

#[test]
fn the_list_follows_the_nodes_own_part() {
    in_cluster(1, 0, |_lab, api, nodes| {
        use std::os::unix::fs::PermissionsExt;
        let node = &nodes[0];
        node.register(api, &[]);
        let mut agent = node.agent();
        until_told(&mut agent, "has no podCIDRs yet");
        assert!(!node.list.exists());
        for index in [1, 7] {
            node.register(api, &parts(index));
            until_told(&mut agent, "wrote");
            let text = fs::read_to_string(&node.list).unwrap();
            assert!(text.contains(&format!("\"10.244.{index}.0/24\"")), "{text}");
            let mode = fs::metadata(&node.list).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let beside = fs::read_dir(node.list.parent().unwrap()).unwrap();
            assert_eq!(beside.count(), 1);
        }
        // The host's own network is not for pods, and the list stays.
        node.register(api, &["192.0.2.0/25".to_owned()]);
        until_told(&mut agent, "overlaps the host's own 192.0.2.0/24");
        assert!(node.text().contains("\"10.244.7.0/24\""));
        agent.kill();
    });
}

#[test]
fn a_template_is_judged_before_engines_see_it() {
    in_cluster(1, 0, |_lab, _api, nodes| {
        let node = &nodes[0];
        let template = node.list.with_extension("template");
        let ptp = json!({ "type": "ptp", "mtu": 1400, "ipam": { "type": "host-local" } });
        let bad = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [ptp, { "type": "portmap", "snat": "yes" }] });
        fs::write(&template, bad.to_string()).unwrap();
        let mut agent = node.agent_with(&["--template", &template.to_string_lossy()]);
        until_told(&mut agent, "the list is not good, and is not written");
        assert!(!node.list.exists());
        let good = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [ptp] });
        fs::write(&template, good.to_string()).unwrap();
        until_told(&mut agent, "wrote");
        let list: Value = serde_json::from_str(&node.text()).unwrap();
        assert_eq!(list["plugins"][0]["mtu"], 1400);
        assert_eq!(
            list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.244.1.0/24"
        );
        agent.kill();
    });
}

#[test]
fn health_and_figures_are_told_and_what_is_not_well_is_an_event() {
    in_cluster(2, 0, |_lab, api, nodes| {
        let node = &nodes[0];
        node.register(api, &[]);
        fs::create_dir_all(node.leases().join("linkspan")).unwrap();
        fs::write(node.leases().join("linkspan/10.9.9.9"), "").unwrap();
        let mut agent = node.agent_with(&["--health", "127.0.0.1:0", "--log", "json"]);
        let line: Value = serde_json::from_str(&agent.line()).unwrap();
        let message = line["message"].as_str().unwrap();
        let address = message
            .strip_prefix("listening at ")
            .unwrap()
            .parse()
            .unwrap();
        let ask = |path: &str| api::ask(&node.sandbox.netns, address, path);
        until_told(&mut agent, "has no podCIDRs yet");
        api.until_asked("POST /api/v1/namespaces/default/events", 1);
        assert!(ask("/readyz").starts_with("HTTP/1.1 503"));
        assert!(ask("/healthz").starts_with("HTTP/1.1 200"));
        node.register(api, &parts(1));
        until_told(&mut agent, "10.9.9.9; delete those pods");
        api.until_asked("POST /api/v1/namespaces/default/events", 2);
        until_told(&mut agent, "set NetworkUnavailable");
        assert!(ask("/readyz").starts_with("HTTP/1.1 200"));
        let told = ask("/metrics");
        for line in [
            "ready 1",
            "nodes 2",
            "routes 2",
            "refused 1",
            "lists_written_total 1",
        ] {
            assert!(
                told.contains(&format!("\nlinkspan_node_{line}\n")),
                "{line}: {told}"
            );
        }
        assert!(ask("/other").starts_with("HTTP/1.1 404"));
        let event = api.events().pop().unwrap();
        assert_eq!(event["involvedObject"]["name"], "n1");
        assert_eq!(event["involvedObject"]["uid"], "uid-n1");
        assert!(event["message"].as_str().unwrap().contains("10.9.9.9"));
        agent.kill();
    });
}

#[test]
fn the_server_shows_its_certificate_and_the_agent_its_token() {
    in_cluster(3, 0, |lab, api, nodes| {
        let node = &nodes[0];
        api.want("of the account");
        let account = lab.dir().join("account");
        fs::create_dir(&account).unwrap();
        let server = format!("https://{}", api.listen_securely(&node.sandbox.netns));
        let account_dir = account.to_string_lossy();
        let start = |authority: &str, token: &str| {
            fs::write(account.join("ca.crt"), authority).unwrap();
            fs::write(account.join("token"), token).unwrap();
            let call = Call::new(Path::new(AGENT)).args(&[
                "--node",
                "n1",
                "--server",
                &server,
                "--account",
                &account_dir,
                "--list",
                &node.list.to_string_lossy(),
                "--leases",
                &node.leases().to_string_lossy(),
            ]);
            Agent(Some(node.sandbox.netns.scope(|| call.spawn()).unwrap()))
        };
        for (authority, token, told) in [
            (tls::ANOTHER, "of the account", "certificate"),
            (tls::AUTHORITY, "of nobody", "Unauthorized"),
        ] {
            let mut agent = start(authority, token);
            until_told(&mut agent, told);
            agent.kill();
            assert!(node.routes().is_empty() && !node.list.exists());
        }
        let mut agent = start(tls::AUTHORITY, "of the account");
        until_told(&mut agent, "set NetworkUnavailable");
        assert_eq!(node.routes(), OF_FIRST);
        agent.kill();
    });
}
