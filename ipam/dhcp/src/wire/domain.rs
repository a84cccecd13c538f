//! Option 119: search domains, compressed as in DNS (RFC 3397).

/// A resolver's limits for the number of domains and for their length (resolv.conf(5)).
const DOMAINS: usize = 32;
const NAME: usize = 253;
const LABEL: usize = 63;

/// Decodes the domains; `None` if one is invalid: a part of the list would search elsewhere than intended.
pub(crate) fn search(option: &[u8]) -> Option<Vec<String>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < option.len() {
        let (name, next) = name(option, at)?;
        if !name.is_empty() {
            found.push(name);
        }
        if found.len() > DOMAINS {
            return None;
        }
        at = next;
    }
    Some(found)
}

/// The name at `start`, and the start of the next one. Pointers only lead backwards, so there are no loops.
fn name(option: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut next, mut limit) = (String::new(), start, None, start);
    loop {
        let length = *option.get(at)?;
        at += 1;
        match length {
            0 => return Some((name, next.unwrap_or(at))),
            0xc0.. => {
                let low = *option.get(at)?;
                next = next.or(Some(at + 1));
                at = usize::from(length & 0x3f) << 8 | usize::from(low);
                if at >= limit {
                    return None;
                }
                limit = at;
            }
            length if usize::from(length) <= LABEL => {
                let end = at + usize::from(length);
                let label = option.get(at..end)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(host(label)?);
                if name.len() > NAME {
                    return None;
                }
                at = end;
            }
            _ => return None,
        }
    }
}

/// A label that is valid in resolv.conf.
fn host(label: &[u8]) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    label.iter().all(fits).then(|| str::from_utf8(label).ok())?
}

/// A domain that is valid in resolv.conf, from an option's text.
pub(crate) fn plain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    let fits = |label: &str| (1..=LABEL).contains(&label.len()) && host(label.as_bytes()).is_some();
    (text.len() <= NAME && text.split('.').all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_their_pointers() {
        let option = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        let found = search(option).unwrap();
        assert_eq!(found, ["eng.apple.com", "marketing.apple.com"]);
        assert_eq!(search(b""), Some(Vec::new()));
    }

    #[test]
    fn loops_long_labels_and_cut_names_are_nothing() {
        let long = [vec![63; 1], vec![b'a'; 63]].concat().repeat(5);
        let forward = b"\xc0\x02\x01a\x00";
        let around = b"\x01a\xc0\x00\x01b\xc0\x04";
        for option in [
            &b"\xc0\x00"[..],
            b"\x01a\xc0\x00",
            b"\x01a",
            b"\x05ab",
            b"\x40a",
            b"\xc0",
            b"\x02a\n\x00",
            &long,
            forward,
            around,
        ] {
            assert_eq!(search(option), None, "{option:?}");
        }
        assert_eq!(search(&b"\x01a\x00".repeat(33)), None);
    }

    #[test]
    fn a_domain_as_text() {
        assert_eq!(plain("a.example.").as_deref(), Some("a.example"));
        for text in ["", "a..b", "a b", "a\nb", &"x".repeat(64)] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
