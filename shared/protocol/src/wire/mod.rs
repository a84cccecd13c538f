//! The result on the wire, in every version of the spec. Versions exist nowhere else in the house.

mod parts;
mod v0_2;
mod v0_4;
mod v1;

use crate::error::{ErrorCode, Failure};
use crate::json::{Error, Json};
use crate::result::AddResult;
use crate::version::SpecVersion;

/// The versions that share a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    V0_2,
    V0_4,
    V1,
}

impl Shape {
    fn of(version: SpecVersion) -> Self {
        match version {
            SpecVersion::V0_1_0 | SpecVersion::V0_2_0 => Self::V0_2,
            SpecVersion::V0_3_0 | SpecVersion::V0_3_1 | SpecVersion::V0_4_0 => Self::V0_4,
            SpecVersion::V1_0_0 | SpecVersion::V1_1_0 => Self::V1,
        }
    }

    /// The versions as libcni lists them in its error.
    fn list(self) -> &'static str {
        match self {
            Self::V0_2 => "[ 0.1.0 0.2.0]",
            Self::V0_4 => "[0.3.0 0.3.1 0.4.0]",
            Self::V1 => "[1.0.0 1.1.0]",
        }
    }
}

/// The text that `version` prints: four spaces of indentation, no final newline.
///
/// Versions 0.1.0 and 0.2.0 know one address per family and no interfaces; without any address they cannot express
/// the result, which is an error.
pub fn encode(result: &AddResult, version: SpecVersion) -> Result<String, Failure> {
    match Shape::of(version) {
        Shape::V0_2 => v0_2::encode(result, version),
        Shape::V0_4 => Ok(v0_4::encode(result, version)),
        Shape::V1 => Ok(v1::encode(result, version)),
    }
}

/// The part of a result that `version` can express; its text loses the rest.
pub fn expressible(result: AddResult, version: SpecVersion) -> AddResult {
    match Shape::of(version) {
        Shape::V0_2 => v0_2::express(&result),
        Shape::V0_4 => v0_4::express(result),
        Shape::V1 => result,
    }
}

/// Prints a result of any version as `to`, or as its own; `fallback` is the version of a result without one. Like
/// libcni's types this drops keys that no version knows, and writes the others in one way.
pub fn convert(
    json: &Json,
    fallback: &str,
    to: Option<SpecVersion>,
) -> Result<(String, SpecVersion), Failure> {
    let (result, own) = decode(json, fallback)?;
    let to = to.unwrap_or(own);
    let text = match (Shape::of(own), Shape::of(to)) {
        (Shape::V0_2, Shape::V0_2) => v0_2::reprint(&result, to),
        _ => encode(&result, to)?,
    };
    Ok((text, to))
}

/// Decodes a result of any version; `fallback` is the version of a result without one.
pub fn decode(json: &Json, fallback: &str) -> Result<(AddResult, SpecVersion), Failure> {
    let text = match json.get("cniVersion").and_then(Json::as_str) {
        Some(own) if !own.is_empty() => own,
        _ => fallback,
    };
    let version = SpecVersion::parse(text).ok_or_else(|| unsupported(text))?;
    Ok((decode_as(json, version)?, version))
}

/// Decodes a result that must have the shape of the configuration's version, as `prevResult` must.
pub fn decode_family(json: &Json, configured: &str) -> Result<AddResult, Failure> {
    let expected = SpecVersion::parse(configured).ok_or_else(|| unsupported(configured))?;
    let own = json.get("cniVersion").and_then(Json::as_str);
    let own = own.unwrap_or(expected.as_str());
    let family = Shape::of(expected);
    let belongs = |version: &SpecVersion| {
        Shape::of(*version) == family && (!own.is_empty() || family == Shape::V0_2)
    };
    let version = SpecVersion::parse(own).filter(belongs).ok_or_else(|| {
        let list = family.list();
        undecodable(format!(
            "result type supports {list} but unmarshalled CNIVersion is {own:?}"
        ))
    })?;
    Ok(decode_as(json, version)?)
}

fn decode_as(json: &Json, version: SpecVersion) -> Result<AddResult, Error> {
    match Shape::of(version) {
        Shape::V0_2 => v0_2::decode(json),
        Shape::V0_4 => v0_4::decode(json),
        Shape::V1 => v1::decode(json),
    }
}

fn unsupported(version: &str) -> Failure {
    undecodable(format!("unsupported CNI result version {version:?}"))
}

fn undecodable(message: String) -> Failure {
    Failure::new(ErrorCode::DECODING, message)
}

#[cfg(test)]
mod tests;
