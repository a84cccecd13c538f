//! STATUS: obstacles to the next ADD, reported without a change.

use std::fmt::Write;
use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use linkspan_harness::table::everything;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

#[test]
fn a_full_bridge_is_told_by_an_add_and_by_a_strict_status() {
    in_lab(LINKSPAN, |lab| {
        let Some(ip) = skip::without("ip") else {
            return;
        };
        // Without IPv6, creating a link takes a tenth of the time.
        for key in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{key}/disable_ipv6"), "1").unwrap();
        }
        let mut batch = "link add br0 type bridge\n".to_owned();
        for n in 0..512 {
            writeln!(batch, "link add a{n} master br0 type veth peer name b{n}").unwrap();
            if n < 511 {
                writeln!(batch, "link set b{n} master br0").unwrap();
            }
        }
        let file = lab.dir().join("batch");
        fs::write(&file, batch).unwrap();
        let args = ["-batch", file.to_str().unwrap()];
        Call::new(&ip).args(&args).run().succeeded();
        let over = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) });
        let conf = bridge(lab, &over);
        let sandbox = lab.sandbox();
        let call = lab.plugin("bridge").of("pod", &sandbox).conf(&conf);
        let full = "bridge br0 has 1023 of 1023 ports";
        let strict = with(conf.clone(), &json!({ "strictStatus": true }));
        let strict = call.clone().verb("STATUS").conf(&strict);
        let status = strict.run().failed(50);
        assert!(status.contains(full), "{status}");
        // If STATUS failed, an engine would evict all 1023 pods.
        call.clone().verb("STATUS").run().succeeded();
        let add = call.clone().verb("ADD").run().failed(999);
        assert!(add.contains(full), "{add}");
        lab.rtnl()
            .link_by_name("a0")
            .unwrap()
            .unwrap()
            .delete()
            .unwrap();
        strict.run().succeeded();
        call.add();
    });
}

#[test]
fn status_of_the_chain_writes_nothing() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("STATUS of the chain") {
            return;
        }
        let conf = bridge(lab, &json!({ "ipMasq": true }));
        let sandbox = lab.sandbox();
        lab.plugin("bridge").of("pod", &sandbox).conf(&conf).add();
        let portmap = json!({ "cniVersion": "1.1.0", "name": "net", "type": "portmap" });
        let log = lab.dir().join("strace");
        let calls = "trace=openat,openat2,mkdir,mkdirat,unlink,unlinkat,rename,renameat2,link,linkat,sendto,sendmsg";
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            calls,
            "-o",
            log.to_str().unwrap(),
        ];
        let before = everything(lab);
        for conf in [&conf, &with(portmap, &json!({}))] {
            let plugin = conf["type"].as_str().unwrap();
            let call = lab.plugin(plugin).conf(conf).verb("STATUS");
            call.under(&strace).run().succeeded();
            let told = fs::read_to_string(&log).unwrap();
            for write in [
                "O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "unlink", "rename", "link(", "linkat(",
                "RTM_NEW", "RTM_SET", "RTM_DEL",
            ] {
                let found = told.lines().find(|line| line.contains(write));
                assert_eq!(found, None, "{plugin}: {write}");
            }
            // The trial of the packet filter's features leaves nothing.
            assert_eq!(everything(lab), before, "{plugin}");
        }
    });
}
