//! No secret of the input is printed (CVE-2026-41184). Secrets may be in `CNI_ARGS`, in `args`, in unknown keys, and
//! in values of a wrong type. A wrong value of a networking key may be quoted.

use std::fs;

use linkspan_harness::call::Output;
use linkspan_harness::conf::{good, host_local, with};
use linkspan_harness::lab::in_lab;
use linkspan_harness::thorough::sample;
use linkspan_harness::trial::Trial;
use serde_json::{Value, json};

use crate::LINKSPAN;

const SECRET: &str = "canary-5e1f";
/// `veth` is `ptp`.
const PLUGINS: &[&str] = &[
    "bandwidth",
    "bridge",
    "dummy",
    "host-device",
    "host-local",
    "host-reach",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "route-override",
    "sbr",
    "static",
    "tap",
    "tuning",
    "vlan",
    "vrf",
];
const VERBS: [&str; 6] = ["ADD", "CHECK", "DEL", "STATUS", "GC", "FLY"];
/// An address outside of the range, so that an error names it.
const ADDRESS: &str = "203.0.113.77";

fn keeps_secrets(run: &Output, what: &str) {
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(!told.contains(SECRET), "{what}: {told}");
}

#[test]
fn no_secret_of_the_input_is_told() {
    let token = json!({ "token": SECRET, "more": [{ "token": SECRET }] });
    let of_strangers = json!({
        "token": SECRET,
        "kubernetes": token,
        "args": { "token": SECRET, "cni": { "labels": [{ "key": SECRET }], "more": token } },
        "runtimeConfig": { "token": SECRET, "more": token },
        "prevResult": { "cniVersion": "1.1.0", "token": SECRET, "ips": [], "more": token },
    });
    let mut wrong: Vec<Value> = [
        json!({ "args": SECRET }),
        json!({ "args": { "cni": SECRET } }),
        json!({ "args": { "cni": { "mac": SECRET } } }),
        json!({ "args": { "cni": { "mac": [SECRET] } } }),
        json!({ "args": { "cni": { "ips": SECRET } } }),
        json!({ "args": { "cni": { "ips": [SECRET] } } }),
        json!({ "runtimeConfig": SECRET }),
        json!({ "runtimeConfig": [SECRET] }),
        json!({ "runtimeConfig": { "mac": SECRET } }),
        json!({ "runtimeConfig": { "portMappings": SECRET } }),
        json!({ "runtimeConfig": { "portMappings": [SECRET] } }),
        json!({ "runtimeConfig": { "portMappings": [{ "hostPort": SECRET }] } }),
        json!({ "prevResult": SECRET }),
        json!({ "prevResult": { "ips": SECRET } }),
        json!({ "prevResult": { "ips": [SECRET], "interfaces": SECRET } }),
        json!({ "mtu": SECRET, "ipMasq": SECRET }),
        json!({ "mac": SECRET, "ingressRate": SECRET, "shapedSubnets": [SECRET] }),
        json!({ "runtimeConfig": { "bandwidth": SECRET } }),
        json!({ "sysctl": SECRET }),
        json!({ "sysctl": [SECRET], "txQLen": SECRET }),
        json!({ "capabilities": SECRET }),
        json!({ "dns": SECRET }),
        json!({ "dns": { "nameservers": SECRET } }),
        json!({ "ipam": SECRET }),
        json!({ "ipam": { "type": "host-local", "ranges": SECRET } }),
        json!({ "ipam": { "type": "host-local", "ranges": [[SECRET]] } }),
        json!({ "ipam": { "type": "host-local", "routes": SECRET, "subnet": "10.1.0.0/16" } }),
        json!({ "ipam": { "type": "missing", "token": SECRET } }),
        json!({ "cni.dev/valid-attachments": SECRET }),
    ]
    .into();
    // With valid values of every known key, too.
    wrong.push(json!({}));
    in_lab(LINKSPAN, |lab| {
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            for over in sample(wrong.iter(), nth, 10) {
                let trial = Trial::new(lab);
                for verb in VERBS {
                    let over = with(of_strangers.clone(), over);
                    let call = trial.call(plugin, verb, &over);
                    let run = call.run();
                    keeps_secrets(&run, &format!("{plugin} {verb} {over}"));
                    if run.status == 0 {
                        let astray = call.netns("/proc/self/status").run();
                        keeps_secrets(&astray, &format!("{plugin} {verb} {over}"));
                    }
                }
                let delete = trial.call(plugin, "DEL", &json!({}));
                delete.run().succeeded();
            }
            // Cut off, so that it is not JSON.
            let trial = Trial::new(lab);
            let text = with(good(lab, plugin), &of_strangers).to_string();
            for cut in (text.find(SECRET).unwrap()..text.len()).step_by(41) {
                let call = trial.call(plugin, "ADD", &json!({}));
                let run = call.stdin(&text.as_bytes()[..cut]).run();
                keeps_secrets(&run, &text[..cut]);
            }
            let whole = json!(SECRET).to_string();
            let call = trial.call(plugin, "ADD", &json!({}));
            keeps_secrets(&call.stdin(whole.as_bytes()).run(), plugin);
        }
    });
}

#[test]
fn no_value_of_cni_args_is_told() {
    let args = [
        format!("TOKEN={SECRET}"),
        format!("TOKEN=x={SECRET}"),
        format!("TOKEN=x;{SECRET}"),
        format!("IgnoreUnknown={SECRET}"),
        format!("IgnoreUnknown=1;TOKEN={SECRET};MAC={SECRET}"),
        format!("IgnoreUnknown=1;TOKEN={SECRET};IP={SECRET}"),
        format!("IgnoreUnknown=1;TOKEN={SECRET};IP={SECRET}/{SECRET}"),
        format!("IgnoreUnknown=1;TOKEN={SECRET}"),
    ];
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            for verb in VERBS {
                for args in sample(args.iter(), nth, 3) {
                    let call = trial.call(plugin, verb, &json!({}));
                    // An invalid namespace makes the plugins fail that do not read CNI_ARGS.
                    let run = call.env("CNI_ARGS", args).netns("/proc/self/status").run();
                    keeps_secrets(&run, &format!("{plugin} {verb} {args}"));
                }
            }
        }
        // An address outside of the range is named, as in the reference: it must be another's lease.
        let call = trial.call("host-local", "ADD", &json!({}));
        let told = call
            .env("CNI_ARGS", &format!("IP={ADDRESS}"))
            .run()
            .failed(999);
        assert!(told.contains(ADDRESS), "{told}");
    });
}

#[test]
fn what_a_foreign_plugin_prints_of_its_input_is_not_told() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "token": SECRET, "ipam": { "type": "echo", "token": SECRET } });
        for line in ["cat; exit 1", "cat", "cat; echo x; exit 3"] {
            lab.script("echo", line);
            for plugin in ["bridge", "ptp"] {
                let trial = Trial::new(lab);
                for verb in ["ADD", "DEL", "CHECK", "STATUS"] {
                    let call = trial.call(plugin, verb, &over).env("CNI_ARGS", "");
                    keeps_secrets(&call.run(), &format!("{line}: {plugin} {verb}"));
                }
            }
        }
    });
}

#[test]
fn the_runtime_tells_no_secret_either() {
    in_lab(LINKSPAN, |lab| {
        lab.script("echo", "cat; exit 1");
        let sandbox = lab.sandbox();
        let good = json!({ "type": "host-local", "ipam": host_local(lab, &["10.1.0.0/16"]), "token": SECRET });
        let net_dir = lab.dir().join("net.d");
        fs::create_dir(&net_dir).unwrap();
        let list = |plugins: Value| json!({ "cniVersion": "1.1.0", "name": "net", "token": SECRET, "plugins": plugins });
        let texts = [
            list(json!([good])).to_string(),
            list(json!([good, { "type": "echo", "token": SECRET }])).to_string(),
            list(json!([good, { "type": "missing", "token": SECRET }])).to_string(),
            list(json!([good, { "token": SECRET }])).to_string(),
            list(json!([SECRET])).to_string(),
            list(json!(SECRET)).to_string(),
            json!(SECRET).to_string(),
        ];
        let path = sandbox.path();
        let at = |dir: &str| lab.dir().join(dir).to_str().unwrap().to_owned();
        let places = ["--cache-dir", &at("cache"), "--net-dir", &at("net.d")];
        let call = lab.linkspan(&places).env("CNI_PATH", &at("bin"));
        let capabilities = json!(SECRET).to_string();
        for text in texts {
            let file = net_dir.join("10-net.conflist");
            fs::write(&file, &text).unwrap();
            for command in ["add", "check", "del"] {
                for (variable, value) in [
                    ("CNI_ARGS", format!("IgnoreUnknown=1;TOKEN={SECRET}")),
                    ("CNI_ARGS", format!("TOKEN=a={SECRET}")),
                    ("CNI_ARGS", SECRET.to_owned()),
                    ("CAP_ARGS", capabilities.clone()),
                    ("CAP_ARGS", format!("{{\"{SECRET}")),
                ] {
                    let call = call.clone().args(&[command, "net", &path]);
                    let run = call.env(variable, &value).run();
                    keeps_secrets(&run, &format!("{command} {variable}={value} {text}"));
                }
            }
            for args in [
                &["status", "net"][..],
                &["gc", "net"],
                &["list"],
                &["validate", file.to_str().unwrap()],
            ] {
                let run = call.clone().args(args).run();
                keeps_secrets(&run, &format!("{args:?} {text}"));
            }
        }
    });
}
