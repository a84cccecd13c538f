//! A golden file for each version and shape, and the content that survives a conversion.

use super::*;
use crate::addr::Cidr;
use crate::result::{Dns, Interface, IpConfig, Route};

/// The text without its layout, which `json::pretty` tests.
fn compact(result: &AddResult, version: SpecVersion) -> String {
    encode(result, version).unwrap().replace(['\n', ' '], "")
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

/// The shapes of a result: nearly empty, layer 2, one address, and all fields.
fn shapes() -> [(&'static str, AddResult); 4] {
    let interface = |name: &str, sandbox: &str| Interface {
        name: name.into(),
        mac: "3a:00:00:00:00:01".into(),
        sandbox: sandbox.into(),
        ..Interface::default()
    };
    let layer2 = AddResult {
        interfaces: vec![interface("cni0", ""), interface("eth0", "/run/netns/a")],
        ..AddResult::default()
    };
    let cidr = |text| Cidr::parse(text).unwrap();
    let ip = |address, gateway: Option<&str>| IpConfig {
        interface: Some(1),
        address: cidr(address),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    let one = AddResult {
        ips: vec![ip("10.1.2.2/24", None)],
        ..layer2.clone()
    };
    let mut full = AddResult {
        ips: vec![
            ip("10.1.2.2/24", Some("10.1.2.1")),
            ip("fd00::2/64", Some("fd00::1")),
        ],
        routes: vec![
            Route::via(cidr("0.0.0.0/0"), Some([10, 1, 2, 1].into())),
            Route::via(cidr("::/0"), None),
        ],
        dns: Dns {
            nameservers: vec!["10.1.2.1".into(), "fd00::1".into()],
            domain: "example.org".into(),
            search: vec!["a.example.org".into()],
            options: vec!["ndots:2".into()],
        },
        ..layer2.clone()
    };
    full.interfaces[1].mtu = 1400;
    full.interfaces[1].socket_path = "/run/a.sock".into();
    full.interfaces[1].pci_id = "0000:00:1f.6".into();
    full.routes[0].mtu = 1300;
    full.routes[0].advmss = 1260;
    full.routes[0].priority = 7;
    full.routes[0].table = Some(100);
    full.routes[0].scope = Some(0);
    [
        ("empty", AddResult::default()),
        ("layer2", layer2),
        ("one-address", one),
        ("full", full),
    ]
}

/// The golden text of a shape in a version.
fn golden(version: SpecVersion, shape: &str) -> String {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    std::fs::read_to_string(format!("{dir}/{version}/{shape}.json")).unwrap()
}

#[test]
fn every_version_of_every_shape_round_trips() {
    for version in SpecVersion::ALL {
        for (shape, result) in shapes() {
            let text = golden(version, shape);
            let json = Json::parse(text.as_bytes()).unwrap();
            let told = format!("{version}/{shape}");
            assert_eq!(
                decode(&json, "").unwrap(),
                (expressible(result.clone(), version), version),
                "{told}"
            );
            assert_eq!(
                convert(&json, "", None).unwrap(),
                (text.clone(), version),
                "{told}"
            );
            match encode(&result, version) {
                Ok(encoded) => assert_eq!(encoded, text, "{told}"),
                // Only a plugin that printed this version can have made such a result.
                Err(_) => assert!(
                    version < SpecVersion::V0_3_0 && result.ips.is_empty(),
                    "{told}"
                ),
            }
        }
    }
}

#[test]
fn every_version_becomes_every_older_one() {
    for from in SpecVersion::ALL {
        for to in SpecVersion::ALL.into_iter().filter(|to| *to <= from) {
            for (shape, result) in shapes() {
                let json = Json::parse(golden(from, shape).as_bytes()).unwrap();
                let converted = convert(&json, "", Some(to));
                let told = format!("{shape} from {from} to {to}");
                if result.ips.is_empty() && from >= SpecVersion::V0_3_0 && to < SpecVersion::V0_3_0
                {
                    let message = converted.unwrap_err().message();
                    assert_eq!(message, "cannot convert: no valid IP addresses", "{told}");
                } else {
                    assert_eq!(converted.unwrap().0, golden(to, shape), "{told}");
                }
            }
        }
    }
}

#[test]
fn the_oldest_results_become_new_ones_without_interfaces() {
    let json = Json::parse(golden(SpecVersion::V0_1_0, "full").as_bytes()).unwrap();
    let (text, _) = convert(&json, "", Some(SpecVersion::V1_1_0)).unwrap();
    let (result, version) = decode(&Json::parse(text.as_bytes()).unwrap(), "").unwrap();
    assert_eq!(version, SpecVersion::V1_1_0);
    let [.., (_, full)] = shapes();
    assert_eq!(result, expressible(full, SpecVersion::V0_1_0));
}
