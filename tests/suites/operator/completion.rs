//! `linkspan completion`: the scripts, and the names that they offer.

use linkspan_harness::call::Call;
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;

use crate::{LINKSPAN, Node};

#[test]
fn names_of_networks_containers_and_pods_are_offered() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let words = node.call(&["completion", "words"]).run();
        let words: Vec<&str> = words.succeeded().lines().collect();
        for name in ["c1", "net", "prod/web-0"] {
            assert!(words.contains(&name), "{words:?}");
        }
        for shell in ["bash", "fish", "zsh"] {
            let script = node.call(&["completion", shell]).run();
            assert!(
                script.succeeded().contains("linkspan completion words"),
                "{shell}"
            );
        }
        assert_eq!(node.call(&["completion", "tcsh"]).run().status, 2);

        let Some(bash) = skip::without("bash") else {
            return;
        };
        let ask = r#"
            linkspan() { "$LINKSPAN" --net-dir "$NET" --cache-dir "$CACHE" "$@"; }
            source <(linkspan completion bash)
            COMP_WORDS=(linkspan "$@")
            COMP_CWORD=$#
            _linkspan_and_names linkspan "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let offered = |args: &[&str]| {
            let call = Call::new(&bash).args(&["-c", ask, "bash"]).args(args);
            let call = call
                .env("LINKSPAN", LINKSPAN)
                .env("NET", &node.path("net.d"));
            let told = call.env("CACHE", &node.path("cache")).run();
            let lines: Vec<String> = told.succeeded().lines().map(str::to_owned).collect();
            lines
        };
        assert!(offered(&["check", "n"]).contains(&"net".to_owned()));
        assert!(offered(&["inspect", "prod"]).contains(&"prod/web-0".to_owned()));
        assert!(offered(&["del", "c"]).contains(&"c1".to_owned()));
        assert!(offered(&["insp"]).contains(&"inspect".to_owned()));
        assert!(!offered(&["version", "n"]).contains(&"net".to_owned()));
    });
}
