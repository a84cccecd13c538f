//! The rows below each thing of a picture. Every drawing has the same ones.

use super::model::{HostLink, Interface, Published, Route};

/// A word, and the text behind it. A row without a word belongs to the one above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) word: &'static str,
    pub(super) text: String,
}

impl Row {
    /// The columns before the text. Routes of a table are below its rules.
    pub(super) fn indent(&self) -> usize {
        if self.word.is_empty() { 2 } else { 0 }
    }

    /// The row as a line of text.
    pub(super) fn line(&self) -> String {
        let Self { word, text } = self;
        format!("{word:8} {:indent$}{text}", "", indent = self.indent())
    }

    fn new(word: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { word, text }
    }
}

fn addresses(of: &[String]) -> impl Iterator<Item = Row> {
    of.iter().map(|ip| Row::new("address", ip))
}

fn words(route: &Route) -> String {
    match &route.via {
        Some(via) => format!("{} via {via}", route.dst),
        None => format!("{} on the link", route.dst),
    }
}

/// The rows of a link of the host.
pub(super) fn of_link(link: &HostLink) -> Vec<Row> {
    let routes = link.routes.iter();
    let routes = routes.map(|route| Row::new("route", words(route)));
    addresses(&link.addresses).chain(routes).collect()
}

/// The rows of an interface.
pub(super) fn of_interface(interface: &Interface) -> Vec<Row> {
    let mut rows: Vec<Row> = addresses(&interface.addresses).collect();
    for table in &interface.tables {
        let is_main = table.rules.is_empty();
        let rules = table.rules.iter();
        rows.extend(rules.map(|rule| Row::new("rule", format!("{rule}: table {}", table.number))));
        let word = if is_main { "route" } else { "" };
        let routes = table.routes.iter();
        rows.extend(routes.map(|route| Row::new(word, words(route))));
    }
    rows.extend(of_ports(&interface.ports));
    rows
}

/// A row for each published port.
pub(super) fn of_ports(ports: &[Published]) -> Vec<Row> {
    let row = |port: &Published| {
        let text = format!("{} to port {}", port.on_host(), port.container_port);
        Row::new("port", text)
    };
    ports.iter().map(row).collect()
}
