//! Userdata in `nft`'s form: a list of type (one byte), length (one byte) and value (libnftnl's udata.h). The kernel
//! stores it without reading it.

/// The longest comment that `nft` accepts, in bytes; `nft` could not reload a longer one.
pub const COMMENT_MAX: usize = 128;

/// The kernel's limit for the userdata of an element (`NFT_USERDATA_MAXLEN`).
const MAX: usize = 256;

/// A list of typed values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserData(Vec<u8>);

impl UserData {
    /// Appends `value`. Returns false if it does not fit.
    pub(crate) fn push(&mut self, kind: u8, value: &[u8]) -> bool {
        let Ok(len) = u8::try_from(value.len()) else {
            return false;
        };
        if self.0.len() + 2 + value.len() > MAX {
            return false;
        }
        self.0.extend([kind, len]);
        self.0.extend(value);
        true
    }

    /// Appends a text with a final NUL, truncated to `nft`'s limit.
    pub(crate) fn push_text(&mut self, kind: u8, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.truncate(COMMENT_MAX);
        bytes.push(0);
        // A comment takes at most half of the space, and is always the first value.
        self.push(kind, &bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The first value of type `kind`.
pub(crate) fn find(mut bytes: &[u8], kind: u8) -> Option<&[u8]> {
    while let Some(([found, len], rest)) = bytes.split_first_chunk::<2>() {
        let value = rest.get(..usize::from(*len))?;
        if *found == kind {
            return Some(value);
        }
        bytes = rest.get(usize::from(*len)..)?;
    }
    None
}

/// The first text of type `kind`.
pub(crate) fn find_text(bytes: &[u8], kind: u8) -> Option<String> {
    let value = find(bytes, kind)?;
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_type_and_what_does_not_fit_is_left_out() {
        let mut data = UserData::default();
        data.push_text(0, "net/id/eth0");
        assert!(data.push(200, b"record"));
        assert!(!data.push(201, &[0; 250]));
        let bytes = data.into_bytes();
        assert_eq!(find_text(&bytes, 0).as_deref(), Some("net/id/eth0"));
        assert_eq!(find(&bytes, 200), Some(&b"record"[..]));
        assert_eq!(find(&bytes, 201), None);
        assert_eq!(find(&[0, 9, 1], 0), None);
    }
}
