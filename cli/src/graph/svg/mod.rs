//! The picture as an image: the host on the left, pods on the right, and a line for each interface. Colours tell networks
//! apart, and fit light and dark pages. It is the same for the same node.

mod canvas;
mod card;

use std::collections::BTreeSet;

use canvas::{Canvas, Rect, chars};
use card::{Card, HEAD, LINE, PAD};

use super::model::{Node, Published};
use super::rows::{self, Row};

/// The space around the picture, and the space between two things in a column.
const MARGIN: usize = 24;
const SPACE: usize = 12;
/// The space between the columns, in which lines are.
const GAP: usize = 140;
/// How far a link of the host is right of the one that it is on.
const STEP: usize = 22;
/// The number of colours in the style.
const HUES: usize = 6;

/// A box with cards in it.
#[derive(Debug)]
struct Group {
    title: String,
    about: String,
    is_gone: bool,
    rect: Rect,
    cards: Vec<Card>,
}

impl Group {
    fn new(title: &str, about: &str, cards: Vec<Card>) -> Self {
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            is_gone: false,
            rect: Rect::default(),
            cards,
        }
    }

    /// The width that title and cards need.
    fn width(&self) -> usize {
        let cards = self.cards.iter().map(|card| card.indent + card.width());
        let title = chars(&self.title) + chars(&self.about) + 2;
        cards.chain([canvas::width(title)]).max().unwrap_or(0) + 2 * PAD
    }

    fn height(&self) -> usize {
        let cards = self.cards.iter().map(|card| card.height() + SPACE);
        HEAD + cards.sum::<usize>()
    }

    /// Gives the box and each card in it their places.
    fn place(&mut self, x: usize, y: usize, width: usize) {
        let height = self.height();
        self.rect = Rect {
            x,
            y,
            width,
            height,
        };
        let mut below = y + HEAD;
        for card in &mut self.cards {
            card.rect = Rect {
                x: x + PAD + card.indent,
                y: below,
                width: width - 2 * PAD - card.indent,
                height: card.height(),
            };
            below += card.height() + SPACE;
        }
    }

    fn draw(&self, canvas: &mut Canvas) {
        let class = if self.is_gone { "box gone" } else { "box" };
        canvas.rect(self.rect, class);
        let Rect { x, y, .. } = self.rect;
        canvas.heading((x + PAD, y + LINE + 2), &self.title, &self.about);
        for card in &self.cards {
            card.draw(canvas);
        }
    }
}

/// The image.
pub(super) fn draw(node: &Node) -> String {
    let mut host = Group::new("host", "", host_cards(node));
    let mut pods = pod_groups(node);
    let wide = pods.iter().map(Group::width).max().unwrap_or(0);
    let tall: usize = pods.iter().map(|pod| pod.height() + SPACE).sum();
    let tall = tall.saturating_sub(SPACE);
    let (left, width) = (MARGIN, host.width());
    let height = host.height().max(tall);
    host.place(left, MARGIN + (height - host.height()) / 2, width);
    let right = left + width + GAP;
    let mut y = MARGIN + (height - tall) / 2;
    for pod in &mut pods {
        pod.place(right, y, wide);
        y += pod.height() + SPACE;
    }
    let end = if pods.is_empty() {
        left + width
    } else {
        right + wide
    };
    let mut canvas = Canvas::default();
    host.draw(&mut canvas);
    for pod in &pods {
        pod.draw(&mut canvas);
    }
    join_links(node, &host, &mut canvas);
    join_pods(node, &host, &pods, &mut canvas);
    canvas.finish(end + MARGIN, height + 2 * MARGIN)
}

/// A card for each link of the host, and one for published ports.
fn host_cards(node: &Node) -> Vec<Card> {
    let link = |link: &super::model::HostLink| Card {
        indent: link.depth * STEP,
        ..Card::new(&link.name, &link.about(), rows::of_link(link))
    };
    let mut cards: Vec<Card> = node.links.iter().map(link).collect();
    let rows: Vec<Row> = ports(node).into_iter().map(|(row, _)| row).collect();
    if !rows.is_empty() {
        cards.push(Card::new("published ports", "", rows));
    }
    cards
}

/// The published ports, each with the pod and the interface that it leads to.
fn ports(node: &Node) -> Vec<(Row, Option<(usize, usize)>)> {
    let row = |port: &Published, to: &str| Row {
        word: "port",
        text: format!("{} to {to}", port.on_host()),
    };
    let mut ports = Vec::new();
    for (at, pod) in node.pods.iter().enumerate() {
        for (nth, interface) in pod.interfaces.iter().enumerate() {
            let own = interface.ports.iter();
            ports.extend(own.map(|port| (row(port, &pod.name), Some((at, nth)))));
        }
    }
    let strays = node.ports.iter();
    ports.extend(strays.map(|port| (row(port, "another container"), None)));
    ports
}

fn pod_groups(node: &Node) -> Vec<Group> {
    let networks = networks(node);
    let hue = |network: &str| networks.iter().position(|name| *name == network);
    let group = |pod: &super::model::Pod| {
        let cards = pod.interfaces.iter().map(|one| Card {
            hue: Some(hue(&one.network).unwrap_or(0) % HUES),
            ..Card::new(&one.name, &one.about(), rows::of_interface(one))
        });
        let is_alive = pod.state == "alive";
        Group {
            is_gone: !is_alive,
            ..Group::new(
                &pod.name,
                if is_alive { "" } else { &pod.state },
                cards.collect(),
            )
        }
    };
    node.pods.iter().map(group).collect()
}

/// The names of the networks, in order.
fn networks(node: &Node) -> BTreeSet<&str> {
    let interfaces = node.pods.iter().flat_map(|pod| &pod.interfaces);
    interfaces.map(|one| one.network.as_str()).collect()
}

/// The card of a link of the host.
fn card_of<'a>(node: &Node, host: &'a Group, name: Option<&String>) -> Option<&'a Card> {
    host.cards.get(node.place(name)?)
}

/// A corner from each link of the host to the one that it is on.
fn join_links(node: &Node, host: &Group, canvas: &mut Canvas) {
    for (link, card) in node.links.iter().zip(&host.cards) {
        if let Some(below) = card_of(node, host, link.on.as_ref()) {
            let (from, to) = (below.rect, card.rect);
            canvas.corner(
                (from.x + STEP / 2, from.y + from.height),
                (to.x, card.middle()),
            );
        }
    }
}

/// A line from the host to each interface, and a dashed one for each published port.
fn join_pods(node: &Node, host: &Group, pods: &[Group], canvas: &mut Canvas) {
    let card_at = |at: usize, nth: usize| pods.get(at)?.cards.get(nth);
    for (at, pod) in node.pods.iter().enumerate() {
        for (nth, interface) in pod.interfaces.iter().enumerate() {
            let below = card_of(node, host, interface.on.as_ref());
            if let (Some(below), Some(card)) = (below, card_at(at, nth)) {
                let hue = format!("n{}", card.hue.unwrap_or(0));
                canvas.curve(below.right(0), card.left(0), &hue);
            }
        }
    }
    let Some(published) = host.cards.get(node.links.len()) else {
        return;
    };
    let mut seen = std::collections::BTreeMap::new();
    for (row, (_, to)) in ports(node).into_iter().enumerate() {
        let Some((at, nth)) = to else {
            continue;
        };
        if let Some(card) = card_at(at, nth) {
            let own: &mut usize = seen.entry((at, nth)).or_default();
            let first = card.rows.iter().position(|row| row.word == "port");
            let last = first.unwrap_or(0) + *own + 1;
            *own += 1;
            canvas.curve(published.right(row + 1), card.left(last), "port");
        }
    }
}
