//! `linkspan ports` with processes of the host that listen on published ports.

use std::net::{TcpListener, UdpSocket};
use std::process::id;

use linkspan_cli::traffic::at;
use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::server::once_free;
use linkspan_harness::skip;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, linkspan, net_dir};

/// The listeners of each published port.
fn listeners(lab: &Lab) -> Vec<(String, Value)> {
    let told = linkspan(lab, &["ports", "--json"]).run().json();
    let ports = told.as_array().unwrap().iter();
    let of = |port: &Value| {
        let six = port["containerIP"].as_str().unwrap().contains(':');
        let family = if six { "ipv6" } else { "ipv4" };
        let name = format!("{} {}", port["protocol"].as_str().unwrap(), family);
        (name, port["listeners"].clone())
    };
    ports.map(of).collect()
}

#[test]
fn processes_that_listen_on_a_published_port_are_named() {
    in_lab(LINKSPAN, |lab| {
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        net_dir(lab, &json!([bridge(lab, &json!({})), portmap]));
        let sandbox = lab.sandbox();
        let mapping =
            |protocol: &str| json!({ "hostPort": 8080, "containerPort": 80, "protocol": protocol });
        let ports = json!({ "portMappings": [mapping("tcp"), mapping("udp")] });
        let call = attached(lab, "add", &sandbox).env("CAP_ARGS", &ports.to_string());
        call.run().succeeded();

        let names = ["tcp ipv4", "tcp ipv6", "udp ipv4", "udp ipv6"].map(str::to_owned);
        let none = names.clone().map(|name| (name, json!([])));
        // A socket of the container, one of another port, and a connected one: none of them counts.
        let inside = at(&sandbox.netns, || TcpListener::bind("0.0.0.0:8080")).unwrap();
        let other = once_free(|| TcpListener::bind("0.0.0.0:8081")).unwrap();
        let client = once_free(|| UdpSocket::bind("127.0.0.1:8080")).unwrap();
        client.connect("127.0.0.1:8081").unwrap();
        assert_eq!(listeners(lab), none);
        drop((inside, other, client));

        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        let here =
            |ip: &str| json!([{ "ip": ip, "port": 8080, "pid": id(), "command": comm.trim_end() }]);
        let expected = |told: [Value; 4]| -> Vec<(String, Value)> {
            names.clone().into_iter().zip(told).collect()
        };
        let tcp = once_free(|| TcpListener::bind("0.0.0.0:8080")).unwrap();
        let udp = once_free(|| UdpSocket::bind("[::1]:8080")).unwrap();
        let told = [here("0.0.0.0"), json!([]), json!([]), here("::1")];
        assert_eq!(listeners(lab), expected(told));
        let table = linkspan(lab, &["ports"]).run();
        let note = format!("\n0.0.0.0 8080/tcp: {} (pid {})", comm.trim_end(), id());
        assert!(table.succeeded().contains(&note), "{}", table.stdout);
        // The socket is visible from another PID namespace, but its process is not.
        let apart = ["unshare", "-pf", "--mount-proc"];
        let can = skip::without("true").map(|exe| Call::new(&exe).under(&apart).run().status);
        if can == Some(0) {
            let list = linkspan(lab, &["ports", "--json"]).under(&apart);
            let told = list.run().json()[0]["listeners"].clone();
            let unseen = json!([{ "ip": "0.0.0.0", "port": 8080, "pid": null, "command": null }]);
            assert_eq!(told, unseen);
        } else {
            skip::tell("a listener in another PID namespace: procfs may not be mounted here");
        }
        drop((tcp, udp));

        // A socket on all IPv6 addresses has those of IPv4, too.
        let both = once_free(|| TcpListener::bind("[::]:8080")).unwrap();
        let told = [here("::"), here("::"), json!([]), json!([])];
        assert_eq!(listeners(lab), expected(told));
        let table = linkspan(lab, &["ports"]).run();
        assert_eq!(
            table.succeeded().matches("(pid ").count(),
            1,
            "{}",
            table.stdout
        );
        drop(both);
        assert_eq!(listeners(lab), none);
        attached(lab, "del", &sandbox).run().succeeded();
    });
}
