//! Options: codes, names, and their encoding in a message.

use std::collections::BTreeMap;

/// Option 1: the mask of the subnet.
pub(crate) const MASK: u8 = 1;
/// Option 3: routers.
pub(crate) const ROUTERS: u8 = 3;
/// Option 6: name servers.
pub(crate) const DNS: u8 = 6;
/// Option 12: the client's name.
pub(crate) const HOST_NAME: u8 = 12;
/// Option 15: the local domain.
pub(crate) const DOMAIN: u8 = 15;
/// Option 26: the MTU of the link.
pub(crate) const MTU: u8 = 26;
/// Option 33: routes to classful networks.
pub(crate) const STATIC_ROUTES: u8 = 33;
/// Option 50: the requested address.
pub(crate) const ADDRESS: u8 = 50;
/// Option 51: duration of the lease.
pub(crate) const LEASE: u8 = 51;
/// Option 52: fields of the header that hold options.
pub(crate) const OVERLOAD: u8 = 52;
/// Option 53: the kind of a message.
pub(crate) const KIND: u8 = 53;
/// Option 54: the server's identifier.
pub(crate) const SERVER: u8 = 54;
/// Option 55: the requested options.
pub(crate) const ASKED: u8 = 55;
/// Option 56: the server's message.
pub(crate) const WORDS: u8 = 56;
/// Option 57: the client's maximum message size.
pub(crate) const LONGEST: u8 = 57;
/// Option 58: when to renew.
pub(crate) const T1: u8 = 58;
/// Option 59: when to rebind.
pub(crate) const T2: u8 = 59;
/// Option 61: the client's identifier.
pub(crate) const CLIENT: u8 = 61;
/// Option 119: search domains.
pub(crate) const SEARCH: u8 = 119;
/// Option 121: classless routes.
pub(crate) const ROUTES: u8 = 121;

const PAD: u8 = 0;
const END: u8 = 255;

/// The names that a configuration may use.
const NAMES: [(&str, u8); 13] = [
    ("dhcp-client-identifier", CLIENT),
    ("subnet-mask", MASK),
    ("routers", ROUTERS),
    ("host-name", HOST_NAME),
    ("user-class", 77),
    ("vendor-class-identifier", 60),
    ("domain-name-servers", DNS),
    ("domain-name", DOMAIN),
    ("domain-search", SEARCH),
    ("interface-mtu", MTU),
    ("static-routes", STATIC_ROUTES),
    ("classless-static-routes", ROUTES),
    ("ntp-servers", 42),
];

/// Options by code, each in one piece.
pub(crate) type Options = BTreeMap<u8, Vec<u8>>;

/// The code for an option's name or number.
pub(crate) fn code(text: &str) -> Option<u8> {
    let named = NAMES.iter().find(|(name, _)| *name == text);
    named.map(|(_, code)| *code).or_else(|| text.parse().ok())
}

/// Appends options in ascending order and the end. Splits options of more than 255 bytes (RFC 3396).
pub(crate) fn write(options: &Options, out: &mut Vec<u8>) {
    for (code, value) in options {
        let whole = value.chunks(255);
        let none: &[u8] = &[];
        for piece in whole.chain(value.is_empty().then_some(none)) {
            let length = u8::try_from(piece.len()).unwrap_or(u8::MAX);
            out.extend([*code, length]);
            out.extend(piece);
        }
    }
    out.push(END);
}

/// Adds the options of `field`, joining the pieces of one option (RFC 3396). Returns whether the end option was found.
pub(crate) fn read(field: &[u8], options: &mut Options) -> bool {
    let mut rest = field;
    while let Some((code, after)) = rest.split_first() {
        rest = after;
        match *code {
            PAD => {}
            END => return true,
            code => {
                let Some((length, after)) = rest.split_first() else {
                    return false;
                };
                let Some((value, after)) = after.split_at_checked((*length).into()) else {
                    return false;
                };
                options.entry(code).or_default().extend(value);
                rest = after;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, want) in [
            ("dhcp-client-identifier", Some(61)),
            ("user-class", Some(77)),
            ("0", Some(0)),
            ("255", Some(255)),
            ("256", None),
            ("-1", None),
            ("router", None),
            ("", None),
        ] {
            assert_eq!(code(text), want, "{text}");
        }
    }

    #[test]
    fn long_options_travel_in_pieces() {
        let options = Options::from([(60, vec![7; 600]), (12, Vec::new()), (61, b"x".to_vec())]);
        let mut out = Vec::new();
        write(&options, &mut out);
        assert_eq!(out[..4], [12, 0, 60, 255]);
        let mut found = Options::new();
        assert!(read(&out, &mut found));
        assert_eq!(found, options);
        for cut in 0..out.len() {
            assert!(!read(&out[..cut], &mut Options::new()), "{cut}");
        }
    }
}
