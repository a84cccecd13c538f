//! The figures as a picture: a bar for each median, on a logarithmic scale.

use std::fmt::Write;

use crate::measure::{Figure, LIVED};
use crate::report::{by, in_order, millis};
use crate::scenario::Who;

const LEFT: f64 = 290.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 11.0;
/// Milliseconds at both ends of the scale.
const SCALE: (f64, f64) = (0.1, 10_000.0);

/// The bars of a case, from above.
const BARS: [(Who, &str); 5] = [
    (Who::Theirs, "#9aa5b1"),
    (Who::Nftables, "#c9a227"),
    (Who::Netavark, "#8250df"),
    (Who::Ours, "#1f6feb"),
    (Who::Floor, "#2da44e"),
];

fn x(ms: f64) -> f64 {
    let (least, most) = SCALE;
    let part = (ms.clamp(least, most) / least).ln() / (most / least).ln();
    LEFT + WIDTH * part
}

/// Whether the chart shows the figure: our ADD and DEL, or DEL of pods that have lived, wherever there is a comparison
/// or a floor.
fn is_shown(figure: &Figure, all: &[Figure]) -> bool {
    let is_compared = [Who::Theirs, Who::Floor]
        .into_iter()
        .any(|who| by(all, figure, who).is_some());
    let has_lived = || {
        let mut lived = all.iter().filter(|other| other.operation == LIVED);
        lived.any(|other| (&other.case, other.who) == (&figure.case, figure.who))
    };
    let is_told = match figure.operation {
        "ADD" | LIVED => true,
        operation => operation == "DEL" && !has_lived(),
    };
    figure.who == Who::Ours && is_compared && is_told
}

/// An SVG of the cases with a comparison or a floor.
pub(crate) fn svg(figures: &[Figure]) -> String {
    let shown = |figure: &&Figure| is_shown(figure, figures);
    let ours: Vec<&Figure> = in_order(figures).into_iter().filter(shown).collect();
    let (mut body, mut y) = (String::new(), 40.0);
    for figure in ours {
        let middle = y + BAR * 2.0;
        writeln!(
            body,
            "<text x='{}' y='{middle}' text-anchor='end'>{} {}</text>",
            LEFT - 8.0,
            figure.case,
            figure.operation
        )
        .unwrap();
        for (who, colour) in BARS {
            if let Some(figure) = by(figures, figure, who) {
                bar(&mut body, y, colour, millis(figure.percentile(50)));
                y += BAR;
            }
        }
        y = y.max(middle + BAR / 2.0);
        y += 8.0;
    }
    let mut lines = String::new();
    for ms in [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0] {
        let x = x(ms);
        writeln!(
            lines,
            "<path d='M{x:.1} 30V{y:.1}' stroke='#d0d7de'/><text x='{x:.1}' y='24' text-anchor='middle'>{ms} ms</text>"
        )
        .unwrap();
    }
    let (width, height) = (LEFT + WIDTH + 60.0, y + 24.0);
    let legend = y + 14.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' \
         font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n{lines}{body}\
         <text x='8' y='{legend}'>Medians. <tspan fill='#6e7781'>grey: the Go suite</tspan>, \
         <tspan fill='#c9a227'>yellow: with nf_tables</tspan>, <tspan fill='#8250df'>violet: netavark</tspan>, \
         <tspan fill='#1f6feb'>blue: Linkspan</tspan>, <tspan fill='#2da44e'>green: the kernel's own part</tspan></text>\n</svg>\n"
    )
}

fn bar(body: &mut String, y: f64, colour: &str, ms: f64) {
    let (end, height) = (x(ms), BAR - 1.0);
    writeln!(
        body,
        "<rect x='{LEFT}' y='{y:.1}' width='{:.1}' height='{height}' fill='{colour}'/>\
         <text x='{:.1}' y='{:.1}' font-size='9'>{ms:.2}</text>",
        end - LEFT,
        end + 4.0,
        y + height - 1.0
    )
    .unwrap();
}
