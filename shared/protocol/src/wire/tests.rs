//! Golden texts of each family, and what survives a conversion.

use super::*;
use crate::result::{Interface, IpConfig, Route};

fn sample() -> AddResult {
    let interface = |name: &str, mac: &str, sandbox: &str| Interface {
        name: name.into(),
        mac: mac.into(),
        sandbox: sandbox.into(),
        ..Interface::default()
    };
    AddResult {
        interfaces: vec![
            interface("cni0", "3a:00:00:00:00:01", ""),
            interface("eth0", "", "/n"),
        ],
        ips: vec![IpConfig {
            interface: Some(1),
            address: crate::addr::Cidr::parse("10.1.2.2/24").unwrap(),
            gateway: Some([10, 1, 2, 1].into()),
        }],
        routes: vec![Route::via(
            crate::addr::Cidr::parse("0.0.0.0/0").unwrap(),
            Some([10, 1, 2, 1].into()),
        )],
        dns: crate::result::Dns::default(),
    }
}

/// The text without its layout, which `json::pretty` tests.
fn compact(result: &AddResult, version: SpecVersion) -> String {
    encode(result, version).unwrap().replace(['\n', ' '], "")
}

#[test]
fn the_newest_family_sorts_keys_and_omits_empty_dns() {
    for version in [SpecVersion::V1_0_0, SpecVersion::V1_1_0] {
        let want = format!(
            r#"{{"cniVersion":"{version}","interfaces":[{{"mac":"3a:00:00:00:00:01","name":"cni0"}},{{"name":"eth0","sandbox":"/n"}}],"ips":[{{"address":"10.1.2.2/24","gateway":"10.1.2.1","interface":1}}],"routes":[{{"dst":"0.0.0.0/0","gw":"10.1.2.1"}}]}}"#
        );
        assert_eq!(compact(&sample(), version), want);
    }
}

#[test]
fn the_middle_family_names_the_address_version_and_always_has_dns() {
    for version in [
        SpecVersion::V0_3_0,
        SpecVersion::V0_3_1,
        SpecVersion::V0_4_0,
    ] {
        let want = format!(
            r#"{{"cniVersion":"{version}","interfaces":[{{"name":"cni0","mac":"3a:00:00:00:00:01"}},{{"name":"eth0","sandbox":"/n"}}],"ips":[{{"version":"4","interface":1,"address":"10.1.2.2/24","gateway":"10.1.2.1"}}],"routes":[{{"dst":"0.0.0.0/0","gw":"10.1.2.1"}}],"dns":{{}}}}"#
        );
        assert_eq!(compact(&sample(), version), want);
    }
}

#[test]
fn the_oldest_family_has_one_address_per_family() {
    for version in [SpecVersion::V0_1_0, SpecVersion::V0_2_0] {
        let want = format!(
            r#"{{"cniVersion":"{version}","ip4":{{"ip":"10.1.2.2/24","gateway":"10.1.2.1","routes":[{{"dst":"0.0.0.0/0","gw":"10.1.2.1"}}]}},"dns":{{}}}}"#
        );
        assert_eq!(compact(&sample(), version), want);
        let failure = encode(&AddResult::default(), version).unwrap_err();
        assert_eq!(failure.message(), "cannot convert: no valid IP addresses");
    }
}

#[test]
fn newer_families_round_trip_and_the_oldest_keeps_addresses_and_routes() {
    for version in SpecVersion::ALL {
        let json = Json::parse(encode(&sample(), version).unwrap().as_bytes()).unwrap();
        let (decoded, told) = decode(&json, "").unwrap();
        assert_eq!(told, version);
        assert_eq!(decoded.routes, sample().routes);
        if version >= SpecVersion::V0_3_0 {
            assert_eq!(decoded, sample());
        } else {
            assert_eq!(
                decoded.ips.first().unwrap().address,
                sample().ips.first().unwrap().address
            );
            assert!(decoded.interfaces.is_empty());
        }
    }
}

#[test]
fn an_explicit_zero_scope_is_kept() {
    let text = br#"{"routes":[{"dst":"10.0.0.5/8","scope":0,"table":0,"mtu":1400}]}"#;
    let (result, _) = decode(&Json::parse(text).unwrap(), "1.0.0").unwrap();
    assert!(compact(&result, SpecVersion::V0_4_0).contains(r#""mtu":1400,"table":0,"scope":0"#));
    assert!(compact(&result, SpecVersion::V1_0_0).contains(r#""mtu":1400,"scope":0,"table":0"#));
}

#[test]
fn a_previous_result_must_be_of_the_configured_family() {
    let json = |text: &str| Json::parse(text.as_bytes()).unwrap();
    assert!(decode_family(&json(r#"{"cniVersion":"0.3.1"}"#), "0.4.0").is_ok());
    assert!(decode_family(&json("{}"), "1.0.0").is_ok());
    for (text, configured) in [
        (r#"{"cniVersion":"0.3.1"}"#, "1.0.0"),
        (r#"{"cniVersion":""}"#, "1.1.0"),
    ] {
        let message = decode_family(&json(text), configured)
            .unwrap_err()
            .message();
        assert!(
            message.starts_with("result type supports [1.0.0 1.1.0] but"),
            "{message}"
        );
    }
    let unknown = decode(&json(r#"{"cniVersion":"9.9.9"}"#), "").unwrap_err();
    assert_eq!(
        unknown.message(),
        "unsupported CNI result version \"9.9.9\""
    );
}
