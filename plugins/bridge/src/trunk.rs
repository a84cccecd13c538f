//! The VLANs of a trunk as the configuration has them. Pure; each refusal has the reference's words and is code 7.

use std::collections::BTreeSet;

use linkspan_netlink::link::VLAN_IDS;
use linkspan_plugin::Result;
use linkspan_protocol::error::Failure;
use serde::Deserialize;

/// VLANs of a trunk: one, or all from `minID` to `maxID`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Trunk {
    /// One VLAN, from 1 to 4094.
    id: Option<i64>,
    /// The first one of several, beside `maxID`.
    #[serde(rename = "minID")]
    min: Option<i64>,
    /// The last one of several.
    #[serde(rename = "maxID")]
    max: Option<i64>,
}

impl Trunk {
    /// The numbers of all these VLANs.
    pub(crate) fn numbers(&self) -> Result<BTreeSet<u16>> {
        let refused = |what: &str| {
            Failure::config(what.to_owned()).hint(
                "each item of \"vlanTrunk\" has \"id\", or \"minID\" and \"maxID\", from 1 to 4094",
            )
        };
        let known = |key: Option<i64>, name: &str| {
            let outside = |key| refused(&format!("incorrect trunk {name} parameter: {key}"));
            key.map(|key| number(key).ok_or_else(|| outside(key)))
                .transpose()
        };
        let one_missing = |name: &str| {
            refused(&format!(
                "minID and maxID should be configured simultaneously, {name} is missing"
            ))
        };
        let mut numbers: BTreeSet<u16> = match (self.min, self.max) {
            (None, None) => BTreeSet::new(),
            (None, Some(_)) => return Err(one_missing("minID")),
            (Some(_), None) => return Err(one_missing("maxID")),
            both => {
                let min = known(both.0, "minID")?.unwrap_or_default();
                let max = known(both.1, "maxID")?.unwrap_or_default();
                if min > max {
                    let what =
                        format!("minID is greater than maxID in trunk parameter: {min}, {max}");
                    return Err(refused(&what));
                }
                (min..=max).collect()
            }
        };
        numbers.extend(known(self.id, "id")?);
        Ok(numbers)
    }
}

/// The key as a VLAN number; `None` if out of range.
pub(crate) fn number(key: i64) -> Option<u16> {
    u16::try_from(key).ok().filter(|id| VLAN_IDS.contains(id))
}

#[cfg(test)]
mod tests {
    use crate::conf::tests::plan;

    #[test]
    fn numbers_outside_of_the_range_are_told_as_such() {
        for (keys, expected) in [
            (
                r#","vlan":4095"#,
                "invalid VLAN ID 4095 (must be between 0 and 4094)",
            ),
            (r#","vlan":-1"#, "invalid VLAN ID -1"),
            (r#","vlan":70000"#, "invalid VLAN ID 70000"),
            (
                r#","vlanTrunk":[{"id":0}]"#,
                "incorrect trunk id parameter: 0",
            ),
            (
                r#","vlanTrunk":[{"id":-1}]"#,
                "incorrect trunk id parameter: -1",
            ),
            (
                r#","vlanTrunk":[{"minID":0,"maxID":5}]"#,
                "incorrect trunk minID parameter: 0",
            ),
            (
                r#","vlanTrunk":[{"minID":1,"maxID":4095}]"#,
                "incorrect trunk maxID parameter: 4095",
            ),
            (
                r#","vlanTrunk":[{"minID":9,"maxID":5}]"#,
                "minID is greater than maxID in trunk parameter",
            ),
            (r#","vlanTrunk":[{"minID":9}]"#, "maxID is missing"),
            (r#","vlanTrunk":[{"id":3,"maxID":9}]"#, "minID is missing"),
        ] {
            let failure = plan(keys, "").unwrap_err();
            assert!(failure.message().contains(expected), "{failure}");
        }
    }
}
