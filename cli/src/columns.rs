//! Rows as a table for people.

use crate::output::{coloured, plain};

/// The rows below their heading, each column as wide as its widest cell.
pub(crate) fn align<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut all = vec![heading.map(str::to_owned)];
    let rows = rows.into_iter();
    let rows = rows.map(|row| row.map(|cell| plain(&cell)));
    all.extend(rows);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| coloured(cell, &format!("{cell:width$}")))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}
