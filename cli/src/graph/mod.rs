//! Pictures of a node's networks: [`model`] has what is drawn, [`read`] makes it of the kernel's answers and of what is
//! remembered, and `text`, `svg` and `dot` draw it.

mod dot;
mod host;
mod inside;
mod model;
mod read;
mod rows;
mod svg;
mod text;
mod told;

use std::io::Write;

use clap::ValueEnum;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use serde_json::json;

use crate::output;

pub(crate) use read::{Subject, read};

/// The form of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A tree, for a terminal
    Text,
    /// An image of its own, without fonts or files beside it
    Svg,
    /// A graph for Graphviz
    Dot,
}

/// Prints the picture, or what it would be drawn of as JSON.
pub(crate) fn run(
    out: &mut dyn Write,
    subject: Subject<'_>,
    form: Form,
    as_json: bool,
) -> Result<()> {
    let node = read(subject)?;
    if as_json {
        let unprintable = |err: serde_json::Error| Failure::new(ErrorCode::IO, err.to_string());
        let node = serde_json::to_value(&node).map_err(unprintable)?;
        return output::rows(out, &[json!(node)]);
    }
    let text = match form {
        Form::Text => text::draw(&node),
        Form::Svg => svg::draw(&node),
        Form::Dot => dot::draw(&node),
    };
    output::text(out, &text)
}
