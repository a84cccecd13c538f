//! Addresses that are given, refused and given back, served inside the test's process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use linkspan_host_local::ENTRY;
use linkspan_protocol::env::Env;
use linkspan_protocol::json::Json;

/// A store of one test, removed with it.
struct Host(PathBuf);

impl Host {
    fn new(test: &str) -> Self {
        let name = format!("linkspan-policy-{}-{test}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// `members` are more members of the configuration, each with a leading comma.
    fn call(&self, verb: &str, id: &str, (ipam, members, args): Asked<'_>) -> Answer {
        let conf = format!(
            r#"{{"cniVersion":"1.1.0","name":"mynet","ipam":{{"dataDir":"{}",{ipam}}}{members}}}"#,
            self.0.display()
        );
        let env = Env {
            command: verb.to_owned(),
            container_id: id.to_owned(),
            netns: "/run/netns/none".to_owned(),
            ifname: "eth0".to_owned(),
            args: args.to_owned(),
            path: "/nowhere".to_owned(),
            ..Env::default()
        };
        let reply = ENTRY.serve(&env, &mut || Ok(conf.clone().into_bytes()));
        if reply.stdout.is_empty() {
            return Ok(Vec::new());
        }
        let json = Json::parse(&reply.stdout).unwrap();
        if !reply.ok {
            return Err(json.get("msg").unwrap().as_str().unwrap().to_owned());
        }
        let Some(Json::Array(ips)) = json.get("ips") else {
            panic!("no addresses: {json:?}");
        };
        let address = |ip: &Json| ip.get("address").unwrap().as_str().unwrap().to_owned();
        Ok(ips.iter().map(address).collect())
    }

    fn add(&self, id: &str, ipam: &str) -> Answer {
        self.call("ADD", id, (ipam, "", ""))
    }

    fn store(&self) -> PathBuf {
        self.0.join("mynet")
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.store()).unwrap();
        fs::write(self.store().join(name), content).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store()).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Members of `ipam`, other members, `CNI_ARGS`.
type Asked<'a> = (&'a str, &'a str, &'a str);
/// Addresses, or the message.
type Answer = Result<Vec<String>, String>;

#[expect(clippy::unnecessary_wraps, reason = "it is compared with answers")]
fn given(addresses: &[&str]) -> Answer {
    Ok(addresses.iter().map(|&text| text.to_owned()).collect())
}

fn refused(message: &str) -> Answer {
    Err(message.to_owned())
}

const NET: &str = r#""subnet":"10.1.2.0/24""#;
const SMALL: &str = r#""subnet":"10.0.0.0/29""#;

#[test]
fn a_range_is_given_in_order_until_nothing_is_left() {
    let host = Host::new("order");
    for n in 2..=6 {
        let address = format!("10.0.0.{n}/29");
        assert_eq!(host.add(&format!("c{n}"), SMALL), given(&[&address]));
    }
    let none =
        "failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.6";
    assert_eq!(host.add("late", SMALL), refused(none));
}

#[test]
fn the_next_address_follows_the_last_one() {
    for (test, last, taken, next) in [
        ("after", "10.0.0.5", &[][..], "10.0.0.6/29"),
        ("skip", "10.0.0.3", &["10.0.0.4", "10.0.0.5"], "10.0.0.6/29"),
        ("wrap", "10.0.0.5", &["10.0.0.6"], "10.0.0.2/29"),
        ("outside", "192.168.0.1", &[], "10.0.0.2/29"),
        (
            "full-wrap",
            "10.0.0.5",
            &["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6"],
            "10.0.0.5/29",
        ),
    ] {
        let host = Host::new(test);
        host.write("last_reserved_ip.0", last);
        for ip in taken {
            host.write(ip, "other\r\neth0");
        }
        assert_eq!(host.add("dummy", SMALL), given(&[next]), "{test}");
    }
}

#[test]
fn a_released_address_is_not_the_next_one() {
    let host = Host::new("round-robin");
    assert_eq!(host.add("dummy", NET), given(&["10.1.2.2/24"]));
    assert_eq!(host.call("DEL", "dummy", (NET, "", "")), given(&[]));
    assert_eq!(host.add("dummy", NET), given(&["10.1.2.3/24"]));
}

#[test]
fn requests_are_honoured_wherever_they_come_from() {
    let two = r#""ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"10.1.4.0/24"}],[{"subnet":"fd00::/64"}]]"#;
    let host = Host::new("requests");
    let runtime = r#","runtimeConfig":{"ips":["fd00::77/64","10.1.4.9"]}"#;
    let config = r#","args":{"cni":{"ips":["10.1.4.8"]}}"#;
    for (id, ipam, members, args, want) in [
        ("a", two, runtime, "", &["10.1.4.9/24", "fd00::77/64"][..]),
        ("b", two, config, "", &["10.1.4.8/24", "fd00::78/64"]),
        ("c", NET, "", "IP=10.1.2.7/24", &["10.1.2.7/24"]),
        ("d", NET, "", "IP=10.1.2.8;IP=10.1.2.9", &["10.1.2.9/24"]),
        ("e", NET, "", "IP=", &["10.1.2.10/24"]),
        (
            "f",
            NET,
            r#","args":{"cni":{"ips":["10.1.2.50","10.1.2.50/24"]}}"#,
            "IP=10.1.2.50",
            &["10.1.2.50/24"],
        ),
    ] {
        assert_eq!(host.call("ADD", id, (ipam, members, args)), given(want));
    }
}

#[test]
fn requests_that_cannot_be_met_are_refused_and_leave_no_lease() {
    let host = Host::new("refused");
    let start = "failed to load netconf: runtimeConfig.ips[0]: ";
    for (ips, args, message) in [
        (
            r#""10.1.2.50","10.1.2.51""#,
            "",
            "failed to allocate all requested IPs: 10.1.2.51".to_owned(),
        ),
        (
            r#""10.9.9.9""#,
            "",
            "failed to allocate all requested IPs: 10.9.9.9".to_owned(),
        ),
        (
            r#""10.1.2.1""#,
            "",
            "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway".to_owned(),
        ),
        (
            r#""""#,
            "",
            "cannot understand ip: IP <nil> not v4 nor v6".to_owned(),
        ),
        (
            r#""192.168.0.1000""#,
            "",
            format!("{start}invalid IP address 192.168.0.1000"),
        ),
        (
            r#""2001:db8::1/256""#,
            "",
            format!("{start}invalid IP address 2001:db8::1/256"),
        ),
        (
            "",
            "IP=test",
            "ARGS: error parsing value of pair \"IP\": invalid IP address".to_owned(),
        ),
    ] {
        let members = format!(r#","runtimeConfig":{{"ips":[{ips}]}}"#);
        let answer = host.call("ADD", "dummy", (NET, &members, args));
        assert_eq!(answer, Err(message));
        assert!(!host.files().iter().any(|name| name.starts_with("10.")));
    }
}

#[test]
fn range_sets_of_the_runtime_come_first_and_the_single_range_next() {
    let host = Host::new("sets");
    let ipam = r#""subnet":"10.1.2.0/24","ranges":[[{"subnet":"10.5.0.0/24"}]]"#;
    let runtime = r#","runtimeConfig":{"ipRanges":[[{"subnet":"10.7.0.0/24"}]]}"#;
    assert_eq!(
        host.call("ADD", "dummy", (ipam, runtime, "")),
        given(&["10.7.0.2/24", "10.1.2.2/24", "10.5.0.2/24"])
    );
}

#[test]
fn a_lease_in_the_older_form_is_a_duplicate_in_every_range_set() {
    let host = Host::new("legacy");
    host.write("10.5.0.9", "dummy");
    let ipam = r#""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.5.0.0/24"}]]"#;
    assert_eq!(
        host.add("dummy", ipam),
        refused(
            "failed to allocate for range 1: 10.5.0.9 has been allocated to dummy, duplicate allocation is not allowed"
        )
    );
    assert!(!host.files().contains(&"10.1.2.2".to_owned()));
}

#[test]
fn resolv_conf_is_read_before_the_store_is_touched() {
    let host = Host::new("resolv");
    let ipam = format!(r#"{NET},"resolvConf":"/nonexistent/resolv.conf""#);
    let message = host.add("dummy", &ipam).unwrap_err();
    assert!(
        message.starts_with("open /nonexistent/resolv.conf: "),
        "{message}"
    );
    assert!(!host.0.exists());
}

#[test]
fn a_strict_status_tells_an_exhausted_range_and_writes_nothing() {
    let host = Host::new("status");
    let ipam = r#""subnet":"10.0.0.0/30""#;
    assert_eq!(host.call("STATUS", "", (ipam, "", "")), given(&[]));
    assert!(!host.0.exists());
    host.write("10.0.0.2", "a\r\neth0");
    assert_eq!(host.call("STATUS", "", (ipam, "", "")), given(&[]));
    assert_eq!(
        host.call("STATUS", "", (ipam, r#","strictStatus":true"#, "")),
        refused("no IP addresses available in range set: 10.0.0.1-10.0.0.2")
    );
    assert_eq!(host.files(), ["10.0.0.2"]);
}
