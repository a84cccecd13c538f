//! The decoder: tolerated input, refused input, and the output form.

use super::*;
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Conf {
    is_gateway: bool,
    mtu: i64,
    bridge: String,
    names: Vec<String>,
    inner: Inner,
    maybe: Option<u32>,
    by_name: BTreeMap<String, Inner>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Inner {
    list: Vec<Vec<u8>>,
    most: u8,
}

fn decode(text: &str) -> Result<Conf, Error> {
    Json::parse(text.as_bytes())?.decode()
}

#[test]
fn keys_fold_null_is_absent_unknown_is_ignored() {
    let conf = decode(
        r#"{"ISGATEWAY":true,"Mtu":1400,"bridge":null,"names":null,"x":[1],"inner":null,"maybe":null}"#,
    );
    let want = Conf {
        is_gateway: true,
        mtu: 1400,
        ..Conf::default()
    };
    assert_eq!(conf, Ok(want));
}

#[test]
fn the_last_duplicate_wins_in_any_case_and_null_does_not_count() {
    assert_eq!(decode(r#"{"mtu":1,"MTU":2,"mtu":3}"#).unwrap().mtu, 3);
    assert_eq!(decode(r#"{"mtu":1,"MTU":2}"#).unwrap().mtu, 2);
    assert_eq!(decode(r#"{"MTU":2,"mtu":null}"#).unwrap().mtu, 2);
    let twice = decode(r#"{"names":["a","b"],"names":["c"]}"#).unwrap();
    assert_eq!(twice.names, ["c"]);
}

#[test]
fn two_objects_under_one_key_are_merged() {
    let text =
        r#"{"inner":{"list":[[1]],"most":1},"x":1,"INNER":{"Most":2},"inner":null,"inner":{}}"#;
    let inner = decode(text).unwrap().inner;
    assert_eq!((inner.list, inner.most), (vec![vec![1]], 2));
    let by_name = &decode(r#"{"byName":{"a":{"most":1},"b":{}},"byName":{"a":{"list":[]}}}"#);
    let by_name = &by_name.as_ref().unwrap().by_name;
    // Go creates each member of a map again.
    assert_eq!((by_name.len(), by_name["a"].most), (2, 0));
}

#[test]
fn a_value_that_a_later_one_replaces_must_have_the_same_type() {
    for (text, says) in [
        (
            r#"{"mtu":"x","mtu":1}"#,
            "mtu: invalid type: string, expected number",
        ),
        (
            r#"{"inner":{},"inner":7}"#,
            "inner: invalid type: object, expected number",
        ),
    ] {
        assert_eq!(decode(text).unwrap_err().to_string(), says);
    }
}

#[test]
fn a_number_that_is_too_large_fails_only_who_reads_it() {
    assert_eq!(decode(r#"{"x":1e999,"mtu":7}"#).unwrap().mtu, 7);
    let told = decode(r#"{"mtu":1e999}"#).unwrap_err().to_string();
    assert_eq!(told, "mtu: invalid type: number, expected i64");
    let json = Json::parse(br"[-1e999,1e4000]").unwrap();
    let again: Json = json.decode().unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), "[-1e999,1e999]");
}

#[test]
fn null_elements_are_zero_values() {
    let conf = decode(r#"{"names":[null,"a"],"inner":{"list":[null,[1]]}}"#).unwrap();
    assert_eq!(conf.names, ["", "a"]);
    assert_eq!(conf.inner.list, [vec![], vec![1]]);
}

#[test]
fn wrong_types_name_the_path() {
    for (text, path) in [
        (r#"{"mtu":"1500"}"#, "mtu"),
        (r#"{"mtu":1500.0}"#, "mtu"),
        (r#"{"mtu":1e3}"#, "mtu"),
        (r#"{"isGateway":"true"}"#, "isGateway"),
        (r#"{"inner":{"list":[[1],[2,"x"]]}}"#, "inner.list[1][1]"),
        (r#"{"inner":[]}"#, "inner"),
        (r#"{"maybe":-1}"#, "maybe"),
        ("[]", ""),
    ] {
        assert_eq!(decode(text).unwrap_err().path, path, "{text}");
    }
}

#[test]
fn a_value_in_a_wrong_place_is_told_by_its_kind() {
    for (text, says) in [
        (
            r#"{"mtu":"canary"}"#,
            "mtu: invalid type: string, expected i64",
        ),
        (
            r#"{"bridge":7}"#,
            "bridge: invalid type: integer, expected a string",
        ),
        (
            r#"{"bridge":{"a":"canary"}}"#,
            "bridge: invalid type: object, expected a string",
        ),
        (r#""canary""#, "invalid type: string, expected struct Conf"),
    ] {
        assert_eq!(decode(text).unwrap_err().to_string(), says);
    }
}

#[test]
fn what_is_wrong_below_args_is_named_and_not_quoted() {
    #[derive(Debug, Deserialize)]
    struct Conf {
        #[serde(rename = "args")]
        _args: Args,
    }
    #[derive(Debug, Deserialize)]
    struct Args {
        #[serde(rename = "ip", deserialize_with = "crate::addr::optional_ip")]
        _ip: Option<std::net::IpAddr>,
    }
    let json = Json::parse(br#"{"args":{"ip":"canary"}}"#).unwrap();
    let told = json.decode::<Conf>().unwrap_err().to_string();
    assert_eq!(told, "args.ip: the value does not fit");
}

#[test]
fn only_one_whole_value_is_accepted() {
    for text in ["", " ", "{", "{} x", "{}{}", "nul", "\u{0}"] {
        assert!(decode(text).is_err(), "{text}");
    }
    assert!(decode("{} \n\t").is_ok());
    assert!(decode(&"[".repeat(100_000)).is_err());
}

#[test]
fn output_is_indented_and_escaped_as_go_does() {
    assert_eq!(
        pretty(&serde_json::json!({"b": "<&>\u{2028}", "a": []})),
        "{\n    \"a\": [],\n    \"b\": \"\\u003c\\u0026\\u003e\\u2028\"\n}"
    );
}
