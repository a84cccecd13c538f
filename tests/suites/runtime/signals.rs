//! Signals: the stopped calls, the calls that continue, and that nothing is left.

use std::fs;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use serde_json::{Value, json};

use crate::{LINKSPAN, files, linkspan, net_dir, remembered, text};

/// The status of a call that a signal ended.
const BY_SIGNAL: i32 = -1;

/// A plugin that attaches at once, and runs these shell commands for DEL.
fn double(lab: &Lab, name: &str, add: &str, del: &str) -> Value {
    let answer = r#"echo '{"cniVersion":"1.1.0"}'"#;
    lab.script(
        name,
        &format!("case $CNI_COMMAND in ADD) {add}\n{answer} ;; DEL) {del} ;; esac"),
    );
    json!({ "type": name })
}

/// In a separate session, so that it leads a group as a shell's job does.
fn as_a_job(call: Call) -> Output {
    call.under(&["setsid"]).run()
}

#[test]
fn ctrl_c_as_often_as_one_likes_does_not_stop_the_del_of_run() {
    in_lab(LINKSPAN, |lab| {
        let log = text(&lab.dir().join("log"));
        // The plugin's parent leads the group to which a terminal sends Ctrl-C.
        let ctrl_c = r#"kill -s INT -- "-$PPID""#;
        let del = format!("{ctrl_c} && {ctrl_c} && {ctrl_c} && echo detached >>{log}");
        net_dir(lab, &json!([double(lab, "slow", "", &del)]));
        for command in ["exit 3", "kill -s INT -- \"-$PPID\"; exit 3"] {
            let run = linkspan(lab, &["run", "--net", "net", "--", "sh", "-c", command]);
            let ended = as_a_job(run);
            assert!([3, 128 + 2].contains(&ended.status), "{}", ended.stderr);
            assert_eq!(fs::read_to_string(&log).unwrap(), "detached\n");
            assert_eq!(remembered(lab), [""; 0]);
            fs::remove_file(&log).unwrap();
        }
    });
}

#[test]
fn a_del_that_died_is_run_once_more() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first"]);
        let mark = text(&lab.dir().join("died"));
        let once = format!("[ -e {mark} ] || {{ touch {mark}; kill -KILL $$; }}");
        for (del, ends) in [(once.as_str(), true), ("kill -KILL $$", false)] {
            let mortal = double(lab, "mortal", "", del);
            net_dir(lab, &json!([{ "type": "first" }, mortal]));
            let call = |verb| recorder.watch(linkspan(lab, &[verb, "net", "/gone"]));
            call("add").run().succeeded();
            let del = call("del").run();
            assert_eq!((del.status == 0, remembered(lab).is_empty()), (ends, ends));
            assert_eq!(recorder.verbs().len(), 2, "ADD and DEL of the other plugin");
            assert!(ends || del.stderr.contains("signal: 9"), "{}", del.stderr);
        }
    });
}

#[test]
fn a_signal_stops_an_add_and_what_was_made_is_undone() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first"]);
        for signal in ["INT", "TERM", "HUP", "QUIT"] {
            // It would run for long, in a child that only it knows.
            let hangs = format!("kill -{signal} $PPID; sleep 100000");
            let plugins = json!([{ "type": "first" }, double(lab, "hangs", &hangs, "")]);
            net_dir(lab, &plugins);
            let add = recorder.watch(linkspan(
                lab,
                &["add", "net", "/gone", "--container-id", "c"],
            ));
            let add = add.run();
            assert_eq!((add.status, &*add.stdout), (BY_SIGNAL, ""));
            let told = format!("interrupted by SIG{signal}");
            assert!(add.stderr.contains(&told), "{}", add.stderr);
            assert_eq!(recorder.verbs(), ["ADD first c", "DEL first c"]);
            assert_eq!(remembered(lab), [""; 0]);
        }
    });
}

#[test]
fn a_signal_that_the_caller_has_ignored_stays_ignored() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([double(lab, "asks", "kill -INT $PPID", "")]));
        let ignoring = ["sh", "-c", r#"trap "" INT; exec "$0" "$@""#];
        let add = linkspan(lab, &["add", "net", "/gone"]).under(&ignoring);
        add.run().succeeded();
        // The command of a run inherits it from the caller, too.
        let run = linkspan(lab, &["run", "--net", "net", "--"]);
        let run = run
            .args(&["sh", "-c", "kill -INT $$; exit 3"])
            .under(&ignoring);
        assert_eq!(run.run().status, 3);
    });
}

#[test]
fn scratch_directories_go_when_a_signal_ends_the_process() {
    in_lab(LINKSPAN, |lab| {
        // It sees the directory before its removal, and the death of its parent.
        let log = text(&lab.dir().join("seen"));
        let body = format!("ls $TMPDIR >{log}; kill -TERM $PPID; sleep 100000");
        lab.script("looks", &body);
        let list =
            json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "looks" }] });
        let file = lab.dir().join("net.conflist");
        fs::write(&file, list.to_string()).unwrap();
        let node = text(&lab.dir().join("node"));
        for args in [
            &["validate", &text(&file)][..],
            &["install", "-p", &node, "--conflist", &text(&file)],
        ] {
            let plugins = ["--plugin-dirs", &text(&lab.bin())];
            let run = linkspan(lab, args).args(&plugins).run();
            assert_eq!(run.status, BY_SIGNAL, "{}{}", run.stdout, run.stderr);
            let seen = fs::read_to_string(&log).unwrap();
            assert!(seen.starts_with("linkspan-plugins-"), "{seen}");
            assert_eq!(files(&lab.dir().join("tmp")), [""; 0]);
            fs::remove_file(&log).unwrap();
        }
        assert!(!lab.dir().join("node").exists());
    });
}
