//! The command line of `cnitool`. Its cache has a fixed path, so each test here runs in a separate mount namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use serde_json::{Value, json};

use crate::gc::list;
use crate::{LINKSPAN, text};

const ID: &str = "cnitool-20c433bb2b1d6ede56d6";

/// A shell script that has `cnitool` in its `PATH`, and an empty `/var/lib`.
fn script(lab: &Lab, recorder: &Recorder, script: &str) -> Output {
    let tools = lab.dir().join("tools");
    fs::create_dir_all(&tools).unwrap();
    drop(symlink(LINKSPAN, tools.join("cnitool")));
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!("mount -t tmpfs none /var/lib && cd / && {script}");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &script])
        .env("PATH", format!("{}:{path}", text(&tools)))
        .env("NETCONFPATH", lab.dir().join("net.d"))
        .env("CNI_PATH", lab.bin())
        .env("RECORDER_LOG", recorder.log());
    for name in ["CNI_ARGS", "CAP_ARGS", "CNI_IFNAME"] {
        command.env_remove(name);
    }
    forks::output(&mut command).unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn its_commands_do_what_those_of_the_go_tool_do() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let done = script(
            lab,
            &recorder,
            r#"CNI_ARGS='A=1;B=2' CAP_ARGS='{"mac":1}' cnitool add net var/run/netns/x/../cnitest
               echo "|$?"; cnitool check net /var/run/netns/cnitest; echo $?
               cat /var/lib/cni/results/net-*-eth0; echo
               CNI_IFNAME=eth1 cnitool add net /var/run/netns/cnitest -i eth2 >/dev/null
               CNI_IFNAME=eth1 cnitool add net /var/run/netns/cnitest >/dev/null
               cnitool status net /none; echo $?; ls /var/lib/cni/results
               cnitool del net /var/run/netns/cnitest; echo $?; ls /var/lib/cni/results
               cnitool gc net /none; echo $?; ls /var/lib/cni/results"#,
        );
        assert_eq!(stderr(&done), "");
        let told = stdout(&done);
        let (result, rest) = told.split_once('|').unwrap();
        let expected = "{\n    \"cniVersion\": \"1.1.0\",\n    \"dns\": {\n        \"domain\": \"second\"\n    }\n}";
        assert_eq!(result, expected);
        let lines: Vec<&str> = rest.lines().collect();
        let entry: Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(entry["containerId"], ID);
        assert_eq!(entry["netns"], "/var/run/netns/cnitest");
        assert_eq!(entry["cniArgs"], json!([["A", "1"], ["B", "2"]]));
        assert_eq!(entry["capabilityArgs"], json!({ "mac": 1 }));
        let file = |ifname| format!("net-{ID}-{ifname}");
        let (eth0, eth1, eth2) = (file("eth0"), file("eth1"), file("eth2"));
        assert_eq!((lines[0], lines[1]), ("0", "0"));
        assert_eq!(
            lines[3..],
            ["0", &*eth0, &*eth1, &*eth2, "0", &*eth1, &*eth2, "0"]
        );
        let calls = recorder.calls();
        let gcs: Vec<&Value> = calls.iter().filter(|call| call["verb"] == "GC").collect();
        assert_eq!(gcs.len(), 2);
        for gc in gcs {
            // It knows no valid attachments, so it sends no list of them.
            assert_eq!(gc["conf"].as_object().unwrap().len(), 3, "{gc}");
        }
        // Each command used the arguments of its own call instead of the remembered ones.
        let deleted: Vec<&Value> = calls.iter().filter(|call| call["verb"] == "DEL").collect();
        assert_eq!((&deleted[0]["args"], deleted.len()), (&json!(""), 6));
    });
}

#[test]
fn its_failures_read_as_those_of_the_go_tool() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        for (command, message) in [
            (
                "RECORDER_FAILS=ADD:first:11 cnitool add net /ns",
                "plugin type=\"first\" failed (add): told to fail; by the test",
            ),
            (
                "RECORDER_FAILS='GC:first:7 GC:second:7' cnitool gc net /ns",
                "failed to GC plugin first: told to fail; by the test\n\
                 failed to GC plugin second: told to fail; by the test",
            ),
            (
                "RECORDER_FAILS=STATUS:first:50 cnitool status net /ns",
                "told to fail; by the test",
            ),
            (
                "CNI_ARGS=A cnitool add net /ns",
                "invalid CNI_ARGS pair; hint: write KEY=VALUE;KEY=VALUE",
            ),
            (
                "CNI_PATH= cnitool status net /ns",
                "no paths provided; hint: set CNI_PATH to the directories that hold the plugins",
            ),
            (
                "cnitool del net",
                "requires at least 2 arg(s), only received 1",
            ),
        ] {
            let done = script(lab, &recorder, command);
            assert_eq!(done.status.code(), Some(1), "{command}");
            assert_eq!(stdout(&done), "", "{command}");
            let told = stderr(&done);
            assert!(
                told.starts_with(&format!("Error: {message}\nUsage:\n  cnitool ")),
                "{told}"
            );
            assert!(told.ends_with(&format!("\n{message}\n")), "{told}");
        }
        let unknown = script(lab, &recorder, "cnitool fly net /ns");
        let message = "unknown command \"fly\" for \"cnitool\"";
        let told = format!("Error: {message}\nRun 'cnitool --help' for usage.\n{message}\n");
        assert_eq!(stderr(&unknown), told);
        let help = script(lab, &recorder, "cnitool");
        assert!(help.status.success() && stdout(&help).starts_with("Usage:\n"));
    });
}
