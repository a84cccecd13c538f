//! The elements of the image. Texts are escaped here, and nowhere else.

use crate::output::plain;

const STYLE: &str = include_str!("style.css");
/// The columns of a text at most.
const MOST: usize = 64;

/// A rectangle.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The width of that many columns of text.
pub(super) fn width(columns: usize) -> usize {
    columns * 29 / 4
}

/// The columns of a text as it is drawn.
pub(super) fn chars(text: &str) -> usize {
    plain(text).chars().count().min(MOST)
}

/// The text, or its beginning where it is too long.
pub(super) fn clipped(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= MOST {
        return text;
    }
    let begin: String = text.chars().take(MOST - 1).collect();
    format!("{begin}…")
}

/// The text as XML, without characters that a document may not have.
fn escaped(text: &str) -> String {
    let text = plain(text).replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// The elements, in the order in which they are drawn.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    elements: Vec<String>,
}

impl Canvas {
    pub(super) fn rect(&mut self, rect: Rect, class: &str) {
        let Rect {
            x,
            y,
            width,
            height,
        } = rect;
        self.elements.push(format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn text(&mut self, (x, y): (usize, usize), class: &str, text: &str) {
        let text = escaped(text);
        self.elements.push(format!(
            "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A title, and what it is. A title that is too long is there as a whole, too.
    pub(super) fn heading(&mut self, (x, y): (usize, usize), title: &str, about: &str) {
        let shown = clipped(title);
        let columns = chars(title) + 2;
        if shown == plain(title) {
            self.text((x, y), "title", title);
        } else {
            let (shown, whole) = (escaped(&shown), escaped(title));
            self.elements.push(format!(
                "<text x=\"{x}\" y=\"{y}\" class=\"title\">{shown}<title>{whole}</title></text>"
            ));
        }
        if !about.is_empty() {
            self.text((x + width(columns), y), "about", &clipped(about));
        }
    }

    /// A curve from the right side of something to the left side of something else.
    pub(super) fn curve(&mut self, from: (usize, usize), to: (usize, usize), class: &str) {
        let ((x, y), (end, target)) = (from, to);
        let middle = usize::midpoint(x, end);
        self.elements.push(format!(
            "<path d=\"M{x} {y}C{middle} {y} {middle} {target} {end} {target}\" class=\"line {class}\"/>"
        ));
    }

    /// A corner down to the left side of something.
    pub(super) fn corner(&mut self, (x, y): (usize, usize), (end, target): (usize, usize)) {
        self.elements.push(format!(
            "<path d=\"M{x} {y}V{target}H{end}\" class=\"line below\"/>"
        ));
    }

    /// A vertical line in the colour of a network.
    pub(super) fn stripe(&mut self, (x, y): (usize, usize), height: usize, class: &str) {
        self.elements.push(format!(
            "<path d=\"M{x} {y}v{height}\" class=\"line {class}\" stroke-linecap=\"round\"/>"
        ));
    }

    /// The whole image.
    pub(super) fn finish(self, width: usize, height: usize) -> String {
        let elements = self.elements.join("\n");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>Hosts, links, pods, addresses, routes and published ports</title>\n\
             <style>\n{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{elements}\n</svg>\n"
        )
    }
}
