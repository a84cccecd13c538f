//! A card of the image: a title, and rows of a word and a text.

use super::canvas::{Canvas, Rect, chars, clipped, width};
use crate::graph::rows::Row;

/// The height of a row, of the head of a box, and the space between text and border.
pub(super) const LINE: usize = 18;
pub(super) const HEAD: usize = 30;
pub(super) const PAD: usize = 12;
/// The columns of a row's word, with the space behind it.
const WORD: usize = 9;
/// The width of the stripe in the colour of a network.
const STRIPE: usize = 4;

/// A card.
#[derive(Debug, Default)]
pub(super) struct Card {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) rows: Vec<Row>,
    /// How far right it is of the others in its box.
    pub(super) indent: usize,
    /// The colour of its network.
    pub(super) hue: Option<usize>,
    pub(super) rect: Rect,
}

impl Card {
    pub(super) fn new(title: &str, about: &str, rows: Vec<Row>) -> Self {
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            rows,
            ..Self::default()
        }
    }

    pub(super) fn width(&self) -> usize {
        let rows = self
            .rows
            .iter()
            .map(|row| WORD + row.indent() + chars(&row.text));
        let title = chars(&self.title) + chars(&self.about) + 2;
        width(rows.chain([title]).max().unwrap_or(0)) + 2 * PAD
    }

    pub(super) fn height(&self) -> usize {
        (self.rows.len() + 1) * LINE + PAD
    }

    /// The middle of the title in height.
    pub(super) fn middle(&self) -> usize {
        self.middle_of(0)
    }

    fn middle_of(&self, row: usize) -> usize {
        self.rect.y + PAD / 2 + row * LINE + LINE / 2
    }

    /// The right end of a row; the title is row 0.
    pub(super) fn right(&self, row: usize) -> (usize, usize) {
        (self.rect.x + self.rect.width, self.middle_of(row))
    }

    /// The left end of a row.
    pub(super) fn left(&self, row: usize) -> (usize, usize) {
        (self.rect.x, self.middle_of(row))
    }

    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let Rect { x, y, height, .. } = self.rect;
        canvas.rect(self.rect, "card");
        if let Some(hue) = self.hue {
            let at = (x + STRIPE / 2, y + STRIPE);
            canvas.stripe(at, height - 2 * STRIPE, &format!("n{hue}"));
        }
        let line = |row: usize| y + PAD / 2 + row * LINE + LINE - 5;
        canvas.heading((x + PAD, line(0)), &self.title, &self.about);
        for (at, row) in self.rows.iter().enumerate() {
            let y = line(at + 1);
            if !row.word.is_empty() {
                canvas.text((x + PAD, y), "word", row.word);
            }
            let before = width(WORD + row.indent());
            canvas.text((x + PAD + before, y), "row", &clipped(&row.text));
        }
    }
}
