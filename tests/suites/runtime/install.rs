//! `linkspan install`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::{addresses, bridge};
use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, PLUGINS, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::thorough::times;
use linkspan_protocol::family::Family;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{LINKSPAN, files, linkspan, text};

#[test]
fn install_makes_one_copy_with_a_link_for_each_plugin() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt/cni/bin");
        let install = || {
            linkspan(lab, &["install", "-p", &text(&dir)])
                .run()
                .succeeded()
                .to_owned()
        };
        assert_eq!(install().lines().count(), PLUGINS.len() + 1);
        let inode = |name: &str| fs::symlink_metadata(dir.join(name)).unwrap().ino();
        let first = inode("linkspan");
        assert!(PLUGINS.iter().all(|name| inode(name) == first));
        assert!(install().contains("is up to date"));
        assert_eq!(inode("linkspan"), first);
        // Another suite's file is replaced; foreign files stay.
        fs::remove_file(dir.join("bridge")).unwrap();
        fs::write(dir.join("bridge"), "another").unwrap();
        fs::write(dir.join("calico"), "kept").unwrap();
        assert_eq!(
            install(),
            format!("installed {}\n", text(&dir.join("bridge")))
        );
        assert_eq!(inode("bridge"), first);
        assert_eq!(fs::read(dir.join("calico")).unwrap(), b"kept");
        assert_eq!(files(&dir).len(), PLUGINS.len() + 2);
    });
}

#[test]
fn install_is_safe_while_a_plugin_runs() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        fs::create_dir(&dir).unwrap();
        let older = dir.join("linkspan");
        // Another process writes it: a child that another test is starting may have our descriptors.
        let copy = r#"cp "$0" "$1" && printf x >>"$1""#;
        let copied = Call::new("/bin/sh".as_ref()).args(&["-c", copy, LINKSPAN, &text(&older)]);
        copied.run().succeeded();
        fs::hard_link(&older, dir.join("host-local")).unwrap();
        let conf = bridge(lab, &json!({ "type": "host-local" }));
        let mut command = Command::new(dir.join("host-local"));
        command
            .envs([
                ("CNI_COMMAND", "ADD"),
                ("CNI_CONTAINERID", "c"),
                ("CNI_IFNAME", "eth0"),
            ])
            .envs([("CNI_NETNS", "/none"), ("CNI_PATH", "/none")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = forks::start(&mut command).unwrap();
        // Now it needs its configuration, from a file that is being replaced.
        let told = linkspan(lab, &["install", "-p", &text(&dir)]).run();
        assert_eq!(told.succeeded().lines().count(), PLUGINS.len() + 1);
        let mut stdin = running.stdin.take().unwrap();
        stdin.write_all(conf.to_string().as_bytes()).unwrap();
        drop(stdin);
        assert!(running.wait_with_output().unwrap().status.success());
        assert_eq!(lab.leased("net").len(), 2);
    });
}

#[test]
fn installs_at_once_all_succeed_and_agree() {
    in_lab(LINKSPAN, |lab| {
        let list = text(&mounted(lab, &json!([bridge(lab, &json!({}))])));
        for round in 0..times(12, 3) {
            let node = lab.dir().join("node");
            let running: Vec<Running> = (0..3).map(|_| with_conflist(lab, &list).spawn()).collect();
            for run in running {
                run.wait().succeeded();
            }
            let (bin, net_d) = (node.join("opt/cni/bin"), node.join("etc/cni/net.d"));
            let inode = |name: &str| fs::symlink_metadata(bin.join(name)).unwrap().ino();
            let first = inode("linkspan");
            assert!(PLUGINS.iter().all(|name| inode(name) == first), "{round}");
            // The directory has only the installed files.
            assert_eq!(files(&bin).len(), PLUGINS.len() + 1, "{:?}", files(&bin));
            assert_eq!(files(&net_d), ["10-net.conflist"]);
            let size = |path: &Path| fs::metadata(path).unwrap().len();
            assert_eq!(size(&bin.join("bridge")), size(LINKSPAN.as_ref()));
            fs::remove_dir_all(node).unwrap();
        }
    });
}

#[test]
fn what_a_killed_install_left_is_swept_and_what_another_one_writes_is_not() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        fs::create_dir(&dir).unwrap();
        let written = File::create(dir.join(".linkspan-draft-written")).unwrap();
        written.lock().unwrap();
        // Also where everything is up to date.
        for _ in 0..2 {
            for left in [".linkspan-draft-left", ".linkspan-link-left"] {
                fs::write(dir.join(left), "half of it").unwrap();
            }
            linkspan(lab, &["install", "-p", &text(&dir)])
                .run()
                .succeeded();
            let hidden = files(&dir);
            let hidden: Vec<_> = hidden.iter().filter(|name| name.starts_with('.')).collect();
            assert_eq!(hidden, [".linkspan-draft-written"]);
        }
    });
}

#[test]
fn a_check_names_what_is_missing_or_differs_and_changes_nothing() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        let list = mounted(lab, &json!([{ "type": "loopback" }]));
        let net_d = text(&lab.dir().join("net.d"));
        let args = |more: &'static str| {
            let dir = text(&dir);
            let args = [
                "install",
                "-p",
                &dir,
                "--conflist",
                &text(&list),
                "--net-dir",
                &net_d,
            ];
            let args = args.map(str::to_owned);
            let mut call = lab.linkspan(&[]);
            for arg in args
                .iter()
                .map(String::as_str)
                .chain([more])
                .filter(|arg| !arg.is_empty())
            {
                call = call.args(&[arg]);
            }
            call.run()
        };
        let told = args("--check");
        assert_eq!(told.status, 1);
        assert_eq!(
            told.stdout.lines().count(),
            PLUGINS.len() + 2,
            "{}",
            told.stdout
        );
        assert!(!dir.exists());
        args("").succeeded();
        assert_eq!(args("--check").succeeded(), "");
        fs::remove_file(dir.join("bridge")).unwrap();
        fs::write(lab.dir().join("net.d/10-net.conflist"), "{}").unwrap();
        let told = args("--check");
        let expected = [dir.join("bridge"), lab.dir().join("net.d/10-net.conflist")];
        let expected = expected.map(|path| format!("{} is missing or differs\n", path.display()));
        assert_eq!((told.status, told.stdout), (1, expected.concat()));
    });
}

/// Waits until the process says that it has installed that file.
fn until_installed(pause: &mut Running, path: &Path) {
    let line = format!("installed {}", path.display());
    loop {
        let told = pause.line();
        assert!(!told.is_empty(), "it has ended before {line}");
        if told == line {
            break;
        }
    }
    assert!(path.exists());
}

#[test]
fn what_somebody_removes_comes_back_while_a_pause_watches() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        fs::create_dir(&dir).unwrap();
        fs::create_dir(lab.dir().join("net.d")).unwrap();
        let list = mounted(lab, &json!([{ "type": "loopback" }]));
        let (bin, net_d) = (text(&dir), text(&lab.dir().join("net.d")));
        let args = [
            "pause",
            "--watch",
            &bin,
            "--conflist",
            &text(&list),
            "--net-dir",
            &net_d,
        ];
        let mut pause = lab.linkspan(&args).spawn();
        let mut until = |path: &Path| until_installed(&mut pause, path);
        let network = lab.dir().join("net.d/10-net.conflist");
        until(&network);
        fs::remove_file(dir.join("bridge")).unwrap();
        until(&dir.join("bridge"));
        fs::write(dir.join("ptp"), "another suite's").unwrap();
        until(&dir.join("linkspan"));
        fs::remove_file(&network).unwrap();
        until(&network);
        let pid = i32::try_from(pause.pid()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        pause.wait().succeeded();
    });
}

#[test]
fn a_pause_ends_with_the_directory_that_it_watches() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        fs::create_dir(&dir).unwrap();
        let mut pause = lab.linkspan(&["pause", "--watch", &text(&dir)]).spawn();
        until_installed(&mut pause, &dir.join("vrf"));
        fs::remove_dir_all(&dir).unwrap();
        let told = pause.wait();
        assert_eq!(told.status, 1);
        assert!(told.stderr.contains("has been removed"), "{}", told.stderr);
    });
}

/// A list as a cluster mounts it: behind a symlink, whose name it must keep.
fn mounted(lab: &Lab, plugins: &Value) -> PathBuf {
    let dir = lab.dir().join("mounted");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(dir.join("..data")).unwrap();
    let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
    fs::write(dir.join("..data/10-net.conflist"), list.to_string()).unwrap();
    let path = dir.join("10-net.conflist");
    symlink("..data/10-net.conflist", &path).unwrap();
    path
}

/// An install on an empty node.
fn with_conflist(lab: &Lab, conflist: &str) -> Call {
    let bin = text(&lab.dir().join("node/opt/cni/bin"));
    let net_d = text(&lab.dir().join("node/etc/cni/net.d"));
    let args = [
        "install",
        "-p",
        &bin,
        "--conflist",
        conflist,
        "--net-dir",
        &net_d,
    ];
    let call = lab
        .linkspan(&args)
        .env("TMPDIR", &text(&lab.dir().join("tmp")));
    fs::create_dir_all(lab.dir().join("tmp")).unwrap();
    call.under(&["sh", "-c", r#"umask 0; exec "$0" "$@""#])
}

#[test]
fn a_network_is_installed_for_its_owner_alone() {
    in_lab(LINKSPAN, |lab| {
        let list = mounted(lab, &json!([bridge(lab, &json!({}))]));
        let there = lab.dir().join("node/etc/cni/net.d/10-net.conflist");
        let install = || {
            let told = with_conflist(lab, &text(&list)).run();
            told.succeeded().lines().map(str::to_owned).collect()
        };
        let told: Vec<String> = install();
        assert_eq!(told.len(), PLUGINS.len() + 2);
        assert_eq!(
            told.last(),
            Some(&format!("installed {}", text(&there))),
            "last, so that whoever sees it finds the plugins"
        );
        assert_eq!(fs::read(&there).unwrap(), fs::read(&list).unwrap());
        let meta = || fs::symlink_metadata(&there).unwrap();
        assert_eq!(meta().mode() & 0o7777, 0o600);
        assert_eq!(files(there.parent().unwrap()), ["10-net.conflist"]);
        assert!(files(&lab.dir().join("tmp")).is_empty());
        // Nothing to change means no write.
        let before = (meta().ino(), meta().mtime_nsec());
        let told: Vec<String> = install();
        assert!(told.len() == 2 && told.iter().all(|line| line.ends_with(" is up to date")));
        assert_eq!((meta().ino(), meta().mtime_nsec()), before);
        // A changed file is corrected, and a symlink's target stays.
        fs::set_permissions(&there, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(install().len(), 2);
        assert_eq!(meta().mode() & 0o7777, 0o600);
        let precious = lab.dir().join("precious");
        fs::rename(&there, &precious).unwrap();
        fs::write(&precious, "kept").unwrap();
        symlink(&precious, &there).unwrap();
        let _: Vec<String> = install();
        assert!(meta().is_file() && fs::read(&precious).unwrap() == b"kept");
        // The installed plugins attach.
        let sandbox = lab.sandbox();
        let node = lab.dir().join("node");
        let call = |verb| {
            linkspan(lab, &[verb, "net", &sandbox.path()])
                .args(&["--net-dir", &text(there.parent().unwrap())])
                .args(&["--plugin-dirs", &text(&node.join("opt/cni/bin"))])
                .run()
        };
        let result = call("add").json();
        let ip = addresses(&result)[0];
        Server::of(&sandbox.netns, 80, Family::V4).answers(lab.host(), (ip, 80).into());
        call("del").succeeded();
    });
}

#[test]
fn a_network_that_is_not_good_leaves_the_node_as_it_is() {
    in_lab(LINKSPAN, |lab| {
        let refused = |list: &str, told: &str| {
            let run = with_conflist(lab, list).run();
            assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{list}");
            assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
            assert!(!lab.dir().join("node").exists(), "{told}");
        };
        for (plugins, told) in [
            (
                json!([bridge(lab, &json!({ "isGatway": true, "mtu": "x" }))]),
                "10-net.conflist: plugins[0] bridge: isGatway: did you mean isGateway?\n  \
                 plugins[0] bridge: mtu: \"x\" is not a whole number",
            ),
            (
                json!([bridge(lab, &json!({ "mtu": 4_294_967_296_u64 }))]),
                "plugins[0] bridge: mtu 4294967296 ",
            ),
            // Missing both on the node and among the plugins to install.
            (
                json!([bridge(lab, &json!({})), { "type": "sample" }]),
                "failed to find plugin \"sample\"",
            ),
            (json!([]), "no plugins in list"),
        ] {
            refused(&text(&mounted(lab, &plugins)), told);
        }
        refused(&text(&lab.dir().join("none.conflist")), "No such file");
        let wrong = lab.dir().join("net.conf");
        fs::copy(mounted(lab, &json!([bridge(lab, &json!({}))])), &wrong).unwrap();
        refused(&text(&wrong), "its name does not end with .conflist");
        // A network needs plugins that can be installed.
        fs::create_dir(lab.dir().join("node")).unwrap();
        fs::write(lab.dir().join("node/opt"), "").unwrap();
        let list = mounted(lab, &json!([bridge(lab, &json!({}))]));
        let run = with_conflist(lab, &text(&list)).run();
        assert!(run.status == 1 && run.stderr.contains("create "));
        assert_eq!(files(&lab.dir().join("node")), ["opt"]);
    });
}
