//! Encoding and decoding of frames, BOOTP messages and options. All of it is safe code over slices, without side
//! effects.

pub(crate) mod domain;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod option;
pub(crate) mod routes;

/// The big-endian number at `at`.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let both = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*both))
}
