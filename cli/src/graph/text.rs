//! The picture as a tree of text: the host's links, and on each the interfaces of pods.

use super::model::{HostLink, Interface, Node, Pod, Published};
use super::rows::{self, Row};
use crate::output::plain;

/// A node of the tree: a title, rows, and nodes below it.
#[derive(Debug, Default)]
struct Branch {
    title: String,
    rows: Vec<Row>,
    below: Vec<Self>,
}

/// The tree.
pub(super) fn draw(node: &Node) -> String {
    let is_drawn = |on: &Option<String>| node.place(on.as_ref()).is_some();
    let roots = node.links.iter().filter(|link| !is_drawn(&link.on));
    let mut host = Branch {
        title: "host".to_owned(),
        below: roots.map(|link| branch(node, link)).collect(),
        ..Branch::default()
    };
    host.below.extend(node.ports.iter().map(stray));
    let mut lines = vec![host.title.clone()];
    host.draw_below("", &mut lines);
    let alone = |on: &Option<String>| !is_drawn(on);
    let alone = interfaces(node, &alone);
    if !alone.is_empty() {
        lines.push("on no link of the host".to_owned());
        let branch = Branch {
            below: alone,
            ..Branch::default()
        };
        branch.draw_below("", &mut lines);
    }
    lines.iter().map(|line| plain(line) + "\n").collect()
}

fn branch(node: &Node, link: &HostLink) -> Branch {
    let is_it = |on: &Option<String>| on.as_deref() == Some(&*link.name);
    let links = node.links.iter().filter(|other| is_it(&other.on));
    let mut below: Vec<Branch> = links.map(|other| branch(node, other)).collect();
    below.extend(interfaces(node, &is_it));
    Branch {
        title: format!("{}  {}", link.name, link.about()),
        rows: rows::of_link(link),
        below,
    }
}

fn interfaces(node: &Node, takes: &dyn Fn(&Option<String>) -> bool) -> Vec<Branch> {
    let all = node.pods.iter();
    let all = all.flat_map(|pod| pod.interfaces.iter().map(move |one| (pod, one)));
    let on_it = all.filter(|(_, one)| takes(&one.on));
    on_it.map(|(pod, one)| leaf(pod, one)).collect()
}

fn leaf(pod: &Pod, interface: &Interface) -> Branch {
    let state = match pod.state.as_str() {
        "alive" => String::new(),
        other => format!(", {other}"),
    };
    Branch {
        title: format!(
            "{}  {}  {}{state}",
            pod.name,
            interface.name,
            interface.about()
        ),
        rows: rows::of_interface(interface),
        below: Vec::new(),
    }
}

/// A port whose owner is not drawn.
fn stray(port: &Published) -> Branch {
    Branch {
        title: format!(
            "port {} to port {} of another container",
            port.on_host(),
            port.container_port
        ),
        ..Branch::default()
    }
}

impl Branch {
    fn draw_below(&self, before: &str, lines: &mut Vec<String>) {
        for (at, branch) in self.below.iter().enumerate() {
            let is_last = at + 1 == self.below.len();
            let (corner, beside) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            lines.push(format!("{before}{corner}{}", branch.title));
            let inner = format!("{before}{beside}");
            let rail = if branch.below.is_empty() {
                "  "
            } else {
                "│ "
            };
            for row in &branch.rows {
                lines.push(format!("{inner}{rail}{}", row.line()));
            }
            branch.draw_below(&inner, lines);
        }
    }
}
