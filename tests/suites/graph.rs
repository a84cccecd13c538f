//! Pictures of a node: those of the documents are what the commands draw, and names in them do no harm.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::kept::file_is_kept;
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::several::{CAMPUS, DEFAULT, Several};
use linkspan_harness::skip;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/several-networks.md");

/// The elements of the image.
const ELEMENTS: [&str; 6] = ["svg", "title", "style", "rect", "text", "path"];

/// Asserts that elements are ours, end in the order in which they began, and that nothing else looks like one.
fn is_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>'), "{part}");
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "{entity}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{svg}");
            continue;
        }
        let name = tag.split_whitespace().next().unwrap();
        assert!(ELEMENTS.contains(&name), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(svg.chars().all(|c| c == '\n' || !c.is_control()), "{svg}");
}

#[test]
fn the_picture_of_the_demonstration_is_what_it_draws() {
    let draw = || {
        let told = Call::new(LINKSPAN.as_ref()).args(&["demo", "--graph=svg"]);
        told.run().succeeded().to_owned()
    };
    let svg = draw();
    is_well_formed(&svg);
    assert_eq!(svg, draw());
    file_is_kept("docs/demo.svg", &svg);
}

/// The commands of the document, in order.
fn commands(document: &str) -> Vec<Vec<String>> {
    let lines = document.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("    sudo linkspan "));
    let words = |line: &str| {
        let words = line.split_whitespace();
        let words = words.take_while(|word| !word.starts_with('>'));
        words
            .map(|word| word.trim_matches('\'').to_owned())
            .collect()
    };
    lines.map(words).collect()
}

/// Runs a command of the document, which calls the namespace `web`.
fn run(several: &Several<'_>, sandbox: &Sandbox, words: &[String]) -> Output {
    let path = sandbox.path();
    let named = |word: &String| {
        let word = if word == "web" { &path } else { word };
        word.clone()
    };
    let words: Vec<String> = words.iter().map(named).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let call = several.call(&words);
    call.env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web")
        .run()
}

#[test]
fn the_document_of_several_networks_is_what_its_commands_do() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_attach(&lab.rtnl(), "macvlan") {
            return;
        }
        let document = fs::read_to_string(DOCUMENT).unwrap();
        let (several, sandbox) = (Several::new(lab), lab.sandbox());
        let mut pictures = 0;
        for words in commands(&document) {
            if words[0] == "netns" {
                continue;
            }
            let told = run(&several, &sandbox, &words).succeeded().to_owned();
            match words.last().unwrap().as_str() {
                "--graph=svg" => {
                    is_well_formed(&told);
                    file_is_kept("docs/several-networks.svg", &told);
                }
                "--graph" => {
                    let (before, rest) = document.split_once("```text\n").unwrap();
                    let (_, after) = rest.split_once("```\n").unwrap();
                    let whole = format!("{before}```text\n{told}```\n{after}");
                    file_is_kept("docs/several-networks.md", &whole);
                }
                _ => continue,
            }
            pictures += 1;
        }
        assert_eq!(pictures, 2);
        let links = sandbox.rtnl().links().unwrap();
        assert_eq!(links.len(), 1, "{links:?}");
    });
}

/// A name that would be an element, an entity, the end of a string and colours, if it were believed.
const HOSTILE: &str = "</text><script>&amp;\"\\\\N\u{1b}[31m\u{202e}'--\n│";

#[test]
fn hostile_names_stay_text_in_every_form() {
    in_lab(LINKSPAN, |lab| {
        let (several, sandbox) = (Several::new(lab), lab.sandbox());
        several.add(("web", &sandbox), DEFAULT);
        // A name of the cache, as anybody with another runtime may have written it.
        let entry = fs::read_dir(lab.dir().join("cache/results")).unwrap();
        let entry = entry.map(|file| file.unwrap().path()).next().unwrap();
        let text = fs::read_to_string(&entry).unwrap();
        let name = serde_json::to_string(HOSTILE).unwrap();
        let changed = text.replace("\"web\"]", &format!("{name}]"));
        assert_ne!(changed, text);
        fs::write(&entry, changed).unwrap();
        let draw = |form: &str| {
            let told = several.call(&["list", form]).run();
            told.succeeded().to_owned()
        };
        let is_tame = |text: &str| {
            let is_wild = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(is_wild), "{text:?}");
        };
        for form in ["--no-trunc", "--graph", "--graph=svg", "--graph=dot"] {
            let told = draw(form);
            is_tame(&told);
            assert!(told.contains("script"), "{told}");
        }
        let table = draw("--no-trunc");
        assert_eq!(table.lines().count(), 2, "{table}");
        is_well_formed(&draw("--graph=svg"));
        let dot = draw("--graph=dot");
        assert!(
            dot.contains(r#"&amp;amp;\"\\\\N\\u{1b}[31m\\u{202e}'--\\n"#),
            "{dot}"
        );
        if let Some(tool) = skip::without("dot") {
            let file = lab.dir().join("graph.dot");
            fs::write(&file, dot).unwrap();
            let svg = Call::new(&tool).args(&["-Tsvg", file.to_str().unwrap()]);
            svg.run().succeeded();
        }
    });
}

#[test]
fn what_is_gone_is_drawn_from_what_is_remembered_and_a_part_has_its_own_links_alone() {
    in_lab(LINKSPAN, |lab| {
        let (several, sandbox) = (Several::new(lab), lab.sandbox());
        several.publish(("web", &sandbox), DEFAULT);
        let whole = several.call(&["list", "--graph"]).run();
        let whole = whole.succeeded();
        for part in [
            "└─ eth0  veth\n",
            "address  10.118.0.2/24",
            "route    default via 10.118.0.1",
            "linkspan0  bridge\n",
            "shop/web  eth0  veth, network linkspan\n",
            "port     8080/tcp to port 80",
        ] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        drop(sandbox);
        // The end of the pair goes some time after the namespace; its number may be another one's by then.
        lab.until_pairs(2);
        fs::remove_dir_all(lab.dir().join("cache/linkspan")).unwrap();
        let gone = several.call(&["list", "--graph", "--gone"]).run();
        let gone = gone.succeeded();
        for part in ["network linkspan, gone", "default via 10.230.0.1"] {
            assert!(gone.contains(part), "{part}: {gone}");
        }
        let none = several
            .call(&["list", "--graph", "--network", CAMPUS.name])
            .run();
        let none = none.succeeded();
        assert!(
            none.contains("eth0") && !none.contains("linkspan0"),
            "{none}"
        );
    });
}
