//! The files that the bundled runtime executes: regular files in the directories of `CNI_PATH`, under their own names
//! (CVE-2021-20206). The suite of refusals tests the same for delegation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::trial::Trial;
use serde_json::json;

use crate::LINKSPAN;

/// An executable beside `CNI_PATH` that leaves a trace.
fn evil(lab: &Lab, trace: &Path) -> String {
    let script = format!("echo > {}", trace.display());
    let beside = lab.script_at(lab.dir().join("evil"), &script);
    beside.to_str().unwrap().to_owned()
}

#[test]
fn the_runtime_executes_nothing_that_is_no_plugins_name() {
    in_lab(LINKSPAN, |lab| {
        let trace = lab.dir().join("executed");
        let absolute = evil(lab, &trace);
        fs::create_dir(lab.bin().join("directory")).unwrap();
        let trial = Trial::new(lab);
        let sandbox = lab.sandbox();
        let netns = sandbox.path();
        let conf = lab.dir().join("net.conflist");
        let at = |dir: &str| lab.dir().join(dir).to_str().unwrap().to_owned();
        for (kind, says) in [
            (&*absolute, "invalid plugin name"),
            ("../evil", "invalid plugin name"),
            ("..", "invalid plugin name"),
            (".", "invalid plugin name"),
            ("./evil", "invalid plugin name"),
            ("a/b", "invalid plugin name"),
            ("loopback\0", "invalid plugin name"),
            ("", "missing 'type'"),
            ("directory", "failed to find plugin"),
        ] {
            for command in ["add", "check", "del", "status", "gc"] {
                let before: &[_] = match command {
                    // Earlier plugins must not run either.
                    "add" => &[json!({ "type": "loopback" })],
                    _ => &[],
                };
                let plugins = [before, &[json!({ "type": kind })]].concat();
                let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
                fs::write(&conf, list.to_string()).unwrap();
                let mut args = vec![command, conf.to_str().unwrap()];
                if ["add", "check", "del"].contains(&command) {
                    args.push(&netns);
                }
                let call = lab.linkspan(&["--cache-dir", &at("cache")]).args(&args);
                let run = call.env("CNI_PATH", &at("bin")).run();
                assert_ne!(run.status, 0, "{command} {kind:?}");
                assert!(
                    run.stderr.contains(says),
                    "{command} {kind:?}: {}",
                    run.stderr
                );
                assert!(!sandbox.rtnl().link_by_name("lo").unwrap().unwrap().up);
            }
        }
        trial.unchanged("every command");
        assert!(!trace.exists());
        assert!(!lab.dir().join("cache").exists());
    });
}

#[test]
fn a_file_that_is_not_executable_is_not_executed() {
    in_lab(LINKSPAN, |lab| {
        let script = lab.script("evil", "exit 0");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
        let trial = Trial::new(lab);
        for plugin in ["bridge", "ptp"] {
            let over = json!({ "ipam": { "type": "evil" } });
            for verb in ["DEL", "STATUS"] {
                trial.refused(&trial.call(plugin, verb, &over), 999, "execute ");
            }
        }
    });
}
