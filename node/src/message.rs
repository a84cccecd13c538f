//! Protocol buffer messages, with the field types that one call needs.

/// The wire types.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message: its fields of texts and messages, in their order.
#[derive(Debug, Default)]
pub struct Message<'a>(Vec<(u64, &'a [u8])>);

impl<'a> Message<'a> {
    /// Reads a whole message; `None` if the bytes are malformed. Skips numbers.
    pub fn parse(mut rest: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let length = match key & 7 {
                VARINT => {
                    varint(&mut rest)?;
                    continue;
                }
                EIGHT_BYTES => 8,
                BYTES => usize::try_from(varint(&mut rest)?).ok()?,
                FOUR_BYTES => 4,
                _ => return None,
            };
            let (value, after) = rest.split_at_checked(length)?;
            rest = after;
            if key & 7 == BYTES {
                fields.push((key >> 3, value));
            }
        }
        Some(Self(fields))
    }

    /// The values of a field that may be repeated.
    pub fn all(&self, field: u64) -> impl Iterator<Item = &'a [u8]> {
        let of_field = move |(key, value): &(u64, &'a [u8])| (*key == field).then_some(*value);
        self.0.iter().filter_map(of_field)
    }

    /// The text of a field; the last one counts.
    pub fn text(&self, field: u64) -> Option<&'a str> {
        self.all(field)
            .last()
            .and_then(|value| str::from_utf8(value).ok())
    }
}

/// Seven bits in each byte, the low ones first; the last byte lacks the eighth bit.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_messages_are_found_among_numbers_and_unknown_fields() {
        // 1: "a", 3: 300, 4: 64 bits, 5: 32 bits, 1: "b", 16: "c"
        let bytes = [
            &[0x0a, 1, b'a', 0x18, 0xac, 2, 0x21, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[0x2d, 0, 0, 0, 0, 0x0a, 1, b'b', 0x82, 1, 1, b'c'],
        ]
        .concat();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.all(1).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!((message.text(1), message.text(16)), (Some("b"), Some("c")));
        assert_eq!(message.text(3), None);
    }

    #[test]
    fn bytes_that_are_not_a_whole_message_are_none() {
        for broken in [
            &[0x0a][..],
            &[0x0a, 2, b'a'],
            &[0x80],
            &[0x0b],
            &[0xff; 11],
            &[0x21, 0],
        ] {
            assert!(Message::parse(broken).is_none(), "{broken:?}");
        }
        assert!(Message::parse(&[]).is_some());
    }
}
