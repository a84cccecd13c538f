//! The picture in the language of Graphviz.

use super::model::{Interface, Node};
use super::rows::{self, Row};
use crate::output::plain;

/// A graph with a cluster for the host and one for each pod.
pub(super) fn draw(node: &Node) -> String {
    let mut lines = vec![
        "digraph linkspan {".to_owned(),
        "  rankdir=LR; fontname=\"monospace\"; compound=true;".to_owned(),
        "  node [shape=box, fontname=\"monospace\", fontsize=10];".to_owned(),
        "  edge [dir=none, fontname=\"monospace\", fontsize=9];".to_owned(),
    ];
    let links = node.links.iter().enumerate().map(|(at, link)| {
        let title = format!("{}  {}", link.name, link.about());
        format!("h{at} {}", label(&title, &rows::of_link(link)))
    });
    let mut host: Vec<String> = links.collect();
    if !node.ports.is_empty() {
        let title = "published for other containers";
        host.push(format!(
            "ports {}",
            label(title, &rows::of_ports(&node.ports))
        ));
    }
    cluster(&mut lines, "host", "host", &host);
    let mut edges = Vec::new();
    for (at, link) in node.links.iter().enumerate() {
        let on = node.place(link.on.as_ref());
        edges.extend(on.map(|on| format!("  h{on} -> h{at};")));
    }
    for (at, pod) in node.pods.iter().enumerate() {
        let inside = pod.interfaces.iter().enumerate();
        let boxes = inside.clone().map(|(nth, one)| {
            let title = format!("{}  {}", one.name, one.about());
            format!("p{at}_{nth} {}", label(&title, &rows::of_interface(one)))
        });
        let boxes: Vec<String> = boxes.collect();
        let name = format!("{} ({})", pod.name, pod.state);
        cluster(&mut lines, &format!("p{at}"), &name, &boxes);
        for (nth, one) in inside {
            edges.extend(edge(
                node.place(one.on.as_ref()),
                &format!("p{at}_{nth}"),
                one,
            ));
        }
    }
    lines.extend(edges);
    lines.push("}\n".to_owned());
    lines.join("\n")
}

fn edge(on: Option<usize>, to: &str, interface: &Interface) -> Option<String> {
    let network = quoted(&interface.network);
    on.map(|on| format!("  h{on} -> {to} [label={network}];"))
}

fn cluster(lines: &mut Vec<String>, id: &str, name: &str, boxes: &[String]) {
    lines.push(format!(
        "  subgraph cluster_{id} {{\n    label={};",
        quoted(name)
    ));
    lines.extend(boxes.iter().map(|one| format!("    {one};")));
    lines.push("  }".to_owned());
}

/// The label of a box; each line ends with the mark for the left margin.
fn label(title: &str, rows: &[Row]) -> String {
    let lines = [title.to_owned()]
        .into_iter()
        .chain(rows.iter().map(Row::line))
        .map(|line| escaped(&line) + "\\l");
    format!("[label=\"{}\"]", lines.collect::<String>())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// The text within quotes. Graphviz reads entities of HTML in every label.
fn escaped(text: &str) -> String {
    let text = plain(text).replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('&', "&amp;")
}
