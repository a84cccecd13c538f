//! The grammar of `CNI_ARGS`: `K=V;K=V`, keys case-sensitive.

use crate::error::{ErrorCode, Failure};

/// Parses `text` for a plugin that knows the keys in `known`, and returns the pairs of those keys in order.
///
/// Every plugin also knows `IgnoreUnknown`, at any position. Errors are code 4 and name the key or the place of the
/// offending pair, never its value, which may be a secret of the pod (CVE-2026-41184).
pub fn parse(text: &str, known: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let refuse = |msg: String| Failure::new(ErrorCode::INVALID_ENVIRONMENT, msg);
    let mut pairs = Vec::new();
    let mut unknown = Vec::new();
    let mut ignore_unknown = false;
    if text.is_empty() {
        return Ok(pairs);
    }
    for (place, piece) in (1..).zip(text.split(';')) {
        let (key, value) = match piece.split_once('=') {
            Some((key, value)) if !value.contains('=') => (key, value),
            Some((key, _)) => {
                return Err(refuse(format!("ARGS: invalid pair {key:?}"))
                    .hint("write CNI_ARGS as K=V;K=V, with one `=` in each pair"));
            }
            // A pair without a key may be the rest of a secret value, so only its place is named.
            None => {
                return Err(refuse(format!("ARGS: invalid pair number {place}"))
                    .hint("write CNI_ARGS as K=V;K=V"));
            }
        };
        if key == "IgnoreUnknown" {
            ignore_unknown = match value.to_ascii_lowercase().as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => {
                    return Err(refuse(format!("ARGS: error parsing value of pair {key:?}"))
                        .hint("IgnoreUnknown is 1, true, 0 or false"));
                }
            };
        } else if known.contains(&key) {
            pairs.push((key.to_owned(), value.to_owned()));
        } else {
            unknown.push(format!("{key:?}"));
        }
    }
    if !unknown.is_empty() && !ignore_unknown {
        return Err(
            refuse(format!("ARGS: unknown args [{}]", unknown.join(" ")))
                .hint("add IgnoreUnknown=1 to CNI_ARGS where another plugin reads these"),
        );
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_need_ignore_unknown_anywhere() {
        assert!(parse("IP=10.0.0.2;K8S_POD_NAME=x", &["IP"]).is_err());
        for text in [
            "IgnoreUnknown=1;IP=10.0.0.2;K=x",
            "IP=10.0.0.2;K=x;IgnoreUnknown=TRUE",
        ] {
            let pairs = parse(text, &["IP"]).unwrap();
            assert_eq!(pairs, [("IP".to_owned(), "10.0.0.2".to_owned())]);
        }
    }

    #[test]
    fn malformed_pairs() {
        for (text, msg) in [
            ("A", "ARGS: invalid pair number 1"),
            ("A=1;", "ARGS: invalid pair number 2"),
            ("A=1=2", "ARGS: invalid pair \"A\""),
            ("B=1;C=2", "ARGS: unknown args [\"B\" \"C\"]"),
        ] {
            let failure = parse(text, &["A"]).unwrap_err();
            assert_eq!(failure.message(), msg);
            assert_eq!(failure.code(), ErrorCode::INVALID_ENVIRONMENT);
        }
        assert!(parse("IgnoreUnknown=maybe", &[]).is_err());
    }
}
