//! Beside `iptables-legacy`: the cost of a look at it, and that an ordinary user can look.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::machine::by_ordinary_user;
use linkspan_harness::skip;
use linkspan_harness::tool::{older_iptables, tool};
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, both};

/// How often DEL requests the number of legacy entries, and the entries themselves.
fn asked_by_del(lab: &Lab, call: &Call) -> (usize, usize) {
    let trace = lab.dir().join("asked");
    let file = trace.to_str().unwrap();
    let strace = ["strace", "-f", "-qq", "-e", "trace=getsockopt", "-o", file];
    call.clone().under(&strace).verb("DEL").run().succeeded();
    let told = fs::read_to_string(&trace).unwrap();
    let count = |option: &str| {
        let of_tables =
            ["SOL_IP, IPT_", "SOL_IPV6, IP6T_"].map(|level| format!("{level}{option},"));
        let asked = |line: &&str| of_tables.iter().any(|words| line.contains(words));
        told.lines().filter(asked).count()
    };
    (count("SO_GET_INFO"), count("SO_GET_ENTRIES"))
}

#[test]
fn del_reads_the_older_table_once_for_each_family_and_an_empty_one_not_at_all() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("what DEL reads") {
            return;
        }
        let pod = Pod::published(lab, "pod", &both(8080));
        let asked = || [pod.portmap(lab), pod.bridge(lab)].map(|call| asked_by_del(lab, &call));
        assert_eq!(asked(), [(0, 0); 2], "nobody has used the table");
        let both_families = |args: &[&str]| {
            let programs = ["iptables-legacy", "ip6tables-legacy"];
            let args = [&["-w", "-t", "nat"], args].concat();
            programs
                .map(|program| tool(program, &args))
                .iter()
                .all(Option::is_some)
        };
        if !both_families(&["-S"]) {
            return;
        }
        assert_eq!(asked(), [(2, 0); 2], "the table has nothing but policies");
        both_families(&["-A", "OUTPUT", "-p", "tcp", "-j", "RETURN"]);
        both_families(&["-N", "CNI-OF-OTHERS"]);
        assert_eq!(asked(), [(2, 2); 2], "the table has rules of others");
        both_families(&["-F"]);
        both_families(&["-X"]);
        assert_eq!(asked(), [(2, 0); 2], "the table is empty again");
    });
}

/// The commands of an ordinary user as root of namespaces that were created together, so that the names of the tables
/// cannot be read. The chains of iptables-legacy count.
const SCRIPT: &str = r#"
    set -e
    if cat /proc/self/net/ip_tables_names 2>/dev/null; then echo "the names can be read"; exit 9; fi
    chains() { iptables-legacy-save -t nat | grep -c "$1" || true; }
    mount -t tmpfs none /run
    linkspan="$BIN/linkspan --cache-dir $OWN/cache --net-dir $OWN/net.d"
    $linkspan netns add pod >/dev/null
    for net in native chains; do
        $linkspan add $net pod >/dev/null
        $linkspan check $net pod
        echo "$net: $(chains ^:CNI-DN-)"
        $linkspan del $net pod
        $linkspan add refused pod >/dev/null 2>$OWN/told && exit 8
        grep -q 'Invalid host port number: 0' $OWN/told
        echo "$net afterwards: $(chains ^:CNI-DN-), $(find $OWN/leases $OWN/cache/results -type f -name '*10.*' | wc -l)"
    done
"#;

#[test]
fn an_ordinary_user_attaches_and_detaches_where_the_older_packet_filter_was_used() {
    in_lab(LINKSPAN, |lab| {
        // From here on the machine has it, if it can, and so does every new namespace.
        let Some(older) = older_iptables(lab) else {
            return;
        };
        tool("iptables-legacy", &["-w", "-t", "nat", "-S"]).unwrap();
        let bin = lab.dir().join("installed");
        let bin = bin.to_str().unwrap();
        lab.linkspan(&["install", "-p", bin]).run().succeeded();
        let own = lab.dir().join("own");
        networks(&own);
        let shell = ["sh", "-c", SCRIPT];
        let call = Call::new(Path::new("unshare")).args(&["-rnm"]).args(&shell);
        let call = call
            .env("PATH", &format!("{older}:/usr/sbin:/usr/bin:/sbin:/bin"))
            .env("BIN", bin)
            .env("OWN", own.to_str().unwrap())
            .env("CNI_PATH", bin)
            .env(
                "CAP_ARGS",
                &json!({ "portMappings": both(8080) }).to_string(),
            );
        if let Some(call) = by_ordinary_user(call) {
            let told = call.run();
            let expected =
                "native: 0\nnative afterwards: 0, 0\nchains: 1\nchains afterwards: 0, 0\n";
            assert_eq!(told.succeeded(), expected, "{}", told.stderr);
        }
    });
}

/// The networks of an ordinary user in a directory of his own: two valid ones, and one that portmap refuses after
/// bridge.
fn networks(own: &Path) {
    fs::create_dir(own).unwrap();
    fs::set_permissions(own, fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(own.join("net.d")).unwrap();
    let ipam =
        json!({ "type": "host-local", "dataDir": own.join("leases"), "subnet": "10.1.0.0/16" });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let by_iptables = [
        json!({ "ipMasqBackend": "iptables" }),
        json!({ "backend": "iptables" }),
    ];
    let none = [json!({}), json!({})];
    let unpublishable = json!({
        "capabilities": null,
        "runtimeConfig": { "portMappings": [{ "hostPort": 0, "containerPort": 1, "protocol": "tcp" }] },
    });
    for (name, [of_bridge, of_portmap]) in [
        ("native", none),
        ("chains", by_iptables),
        (
            "refused",
            [json!({ "ipMasqBackend": "iptables" }), unpublishable],
        ),
    ] {
        let base = json!({ "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true, "ipam": ipam });
        let plugins: [Value; 2] = [with(base, &of_bridge), with(portmap.clone(), &of_portmap)];
        let list = json!({ "cniVersion": "1.1.0", "name": name, "plugins": plugins });
        fs::write(own.join(format!("net.d/{name}.conflist")), list.to_string()).unwrap();
    }
}
