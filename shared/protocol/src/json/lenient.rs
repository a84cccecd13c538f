//! Decoding that leaves out values of the wrong type: DEL and GC must work under a configuration that was edited.
//!
//! The deserializer's error has the place. The value there becomes `null`, which means absent, and everything is
//! decoded again. Where it is `null` already, the object around it requires it, so that object is left out next.

use serde::de::DeserializeOwned;

use super::{Error, Json, Step, folds_to};

/// Decodes `json` without the values that do not fit, except needed ones.
pub(super) fn decode<T: DeserializeOwned>(json: &Json, needed: &[&str]) -> Result<T, Error> {
    let mut failed = match json.decode() {
        Err(failed) => failed,
        decoded => return decoded,
    };
    let mut rest = json.clone();
    loop {
        let mut trail: Vec<Step> = failed.trail.iter().rev().cloned().collect();
        while !leave_out(&mut rest, &trail) {
            if trail.pop().is_none() {
                return Err(failed);
            }
        }
        if is_needed(&trail, needed) {
            return Err(failed);
        }
        // Each turn leaves out one value at least, so this ends.
        failed = match rest.decode() {
            Err(failed) => failed,
            decoded => return decoded,
        };
    }
}

/// Sets every value at the end of the trail to `null`, or removes it from its list. Returns whether there was one.
fn leave_out(json: &mut Json, trail: &[Step]) -> bool {
    let Some((step, rest)) = trail.split_first() else {
        return std::mem::replace(json, Json::Null) != Json::Null;
    };
    match (step, json) {
        (Step::Key(key), Json::Object(members)) => {
            let mut found = false;
            for (name, value) in members {
                found |= folds_to(name, key) && leave_out(value, rest);
            }
            found
        }
        (Step::Item(at), Json::Array(items)) if rest.is_empty() => {
            let found = *at < items.len();
            if found {
                items.remove(*at);
            }
            found
        }
        (Step::Item(at), Json::Array(items)) => {
            items.get_mut(*at).is_some_and(|item| leave_out(item, rest))
        }
        _ => false,
    }
}

/// Whether the trail leads to a needed value, to a part of one, or to an object around one.
fn is_needed(trail: &[Step], needed: &[&str]) -> bool {
    let keys: Vec<_> = trail
        .iter()
        .map_while(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        })
        .collect();
    needed.iter().any(|needed| {
        // Keys of the spec itself have dots.
        let parts: Vec<_> = match needed.split_once('/') {
            Some(_) => vec![*needed],
            None => needed.split('.').collect(),
        };
        parts.iter().zip(&keys).all(|(part, key)| part == key)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Conf {
        mtu: i64,
        ipam: Ipam,
        #[serde(rename = "a.b/c")]
        dotted: Option<Vec<i64>>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Ipam {
        dir: String,
        routes: Vec<Route>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Route {
        dst: String,
    }

    fn decode(text: &str, needed: &[&str]) -> Result<Conf, Error> {
        let json = Json::parse(text.as_bytes()).unwrap();
        json.decode_leniently(needed)
    }

    #[test]
    fn a_value_that_does_not_fit_is_absent_and_the_others_stay() {
        let conf = decode(
            r#"{"mtu":"x","MTU":{},"ipam":{"dir":"d","routes":[{"dst":"a"},{"dst":7},{}]}}"#,
            &["ipam.dir"],
        );
        let conf = conf.unwrap();
        assert_eq!((conf.mtu, conf.ipam.dir.as_str()), (0, "d"));
        let dst: Vec<_> = conf.ipam.routes.iter().map(|route| &*route.dst).collect();
        assert_eq!(dst, ["a"]);
        let nothing = decode(r#"{"ipam":[1],"mtu":2}"#, &[]).unwrap();
        assert_eq!((nothing.mtu, nothing.ipam), (2, Ipam::default()));
        assert_eq!(decode("[]", &[]).unwrap(), Conf::default());
    }

    #[test]
    fn what_is_needed_is_an_error_and_so_is_what_holds_it_or_is_a_part_of_it() {
        for (text, needed) in [
            (r#"{"ipam":{"dir":7}}"#, "ipam.dir"),
            (r#"{"ipam":"x"}"#, "ipam.dir"),
            (r#"{"ipam":{"routes":[{"dst":7}]}}"#, "ipam.routes"),
            (r#"{"a.b/c":["x"]}"#, "a.b/c"),
            ("[]", "ipam.dir"),
        ] {
            decode(text, &[needed]).unwrap_err();
            if text != "[]" {
                let without = decode(text, &["other"]).unwrap();
                assert_eq!(without.ipam.dir, "");
                assert!(without.dotted.is_none_or(|items| items.is_empty()));
            }
        }
    }
}
