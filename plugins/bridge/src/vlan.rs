//! The VLANs of a port: the keys, and the resulting table. Pure, except for the two requests of [`Vlans::apply`].

use std::collections::{BTreeMap, BTreeSet};

use linkspan_attach::bridge::VlanFiltering;
use linkspan_attach::kernel;
use linkspan_netlink::link::{Link, PortVlan};
use linkspan_plugin::Result;
use linkspan_plugin::check::{mismatch, same};
use linkspan_protocol::error::Failure;

use crate::trunk::{Trunk, number};

/// The VLAN of untagged frames of a port that has a trunk, but no VLAN of its own.
const NATIVE: u16 = 1;

/// The keys about VLANs.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) vlan: i64,
    pub(crate) trunk: Option<Vec<Trunk>>,
    pub(crate) preserve_default: bool,
    pub(crate) strict: bool,
    pub(crate) ensure_filtering: bool,
}

/// The wanted VLANs of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vlans {
    /// The VLAN of its untagged frames.
    pub(crate) access: Option<u16>,
    /// The VLANs of its tagged frames.
    trunk: BTreeSet<u16>,
    keeps_default: bool,
    strict: bool,
    filtering: VlanFiltering,
}

impl Vlans {
    pub(crate) fn parse(keys: &Keys) -> Result<Self> {
        let access = match keys.vlan {
            0 => None,
            vlan => Some(number(vlan).ok_or_else(|| {
                Failure::config(format!(
                    "invalid VLAN ID {vlan} (must be between 0 and 4094)"
                ))
                .hint("set \"vlan\" to a number from 1 to 4094, or to 0 for none")
            })?),
        };
        let mut trunk = BTreeSet::new();
        for item in keys.trunk.iter().flatten() {
            trunk.extend(item.numbers()?);
        }
        let is_asked = access.is_some() || keys.trunk.is_some();
        let filtering = match () {
            () if !is_asked => VlanFiltering::Any,
            () if keys.ensure_filtering => VlanFiltering::Ensured,
            () if keys.strict => VlanFiltering::Needed,
            () => VlanFiltering::Preferred,
        };
        Ok(Self {
            access,
            trunk,
            keeps_default: keys.preserve_default,
            strict: keys.strict,
            filtering,
        })
    }

    /// The filtering that the bridge needs.
    pub(crate) fn filtering(&self) -> VlanFiltering {
        self.filtering
    }

    /// The VLANs of the gateway's port.
    pub(crate) fn of_gateway(&self) -> Self {
        Self {
            trunk: BTreeSet::new(),
            ..self.clone()
        }
    }

    fn are_any(&self) -> bool {
        self.access.is_some() || !self.trunk.is_empty()
    }

    /// Gives the VLANs to a new port, which has the bridge's default VLAN.
    pub(crate) fn apply(&self, port: &Link, bridge: &Link) -> Result<()> {
        if !self.are_any() {
            return Ok(());
        }
        let default = default_of(bridge);
        let table = self.table(default);
        if let Some(left) = default.filter(|id| table.iter().all(|vlan| vlan.id != *id)) {
            port.leave_vlan(left).map_err(kernel)?;
        }
        port.add_vlans(&table).map_err(kernel)
    }

    /// Verifies the port's VLANs, and the bridge's filtering if the configuration asks for it.
    pub(crate) fn verify(&self, port: &Link, bridge: &Link) -> Result<()> {
        if !self.are_any() {
            return Ok(());
        }
        let expected = self.table(default_of(bridge));
        let found = port.vlans().map_err(kernel)?;
        let what = format!("VLANs of port {:?}", port.name);
        same(what, &text(&expected), &text(&found))?;
        let is_on = bridge.filtering.is_some_and(|filtering| filtering.on);
        let is_needed = matches!(
            self.filtering,
            VlanFiltering::Needed | VlanFiltering::Ensured
        );
        if is_needed && !is_on {
            let what = format!("VLAN filtering of {}", bridge.name);
            return Err(mismatch(what, "on", "off"));
        }
        Ok(())
    }

    /// The table that the reference's requests leave on a port whose only VLAN is the `default`. In order: the VLANs
    /// go, the port's own one is added, then those of the trunk.
    fn table(&self, default: Option<u16>) -> Vec<PortVlan> {
        let mut table = Table::default();
        if let Some(id) = default.filter(|_| self.keeps_default || !self.are_any()) {
            table.put_own(id);
        }
        if let Some(id) = self.access {
            table.put_own(id);
        }
        for id in self.trunk.iter().filter(|id| !self.is_kept(**id)) {
            table.put_tagged(*id);
        }
        if self.access.is_none() && !self.trunk.is_empty() {
            table.put_own(NATIVE);
        }
        table.0.into_values().collect()
    }

    /// Returns whether the VLAN stays the port's own although the trunk has it, too.
    fn is_kept(&self, id: u16) -> bool {
        self.strict && self.access == Some(id)
    }

    /// Warnings for the operator, with the commands that remove the causes.
    pub(crate) fn warnings(&self, bridge: Option<&Link>) -> Vec<(String, Vec<String>)> {
        let mut warnings = Vec::new();
        if let Some(bridge) = bridge.filter(|_| self.are_any())
            && bridge.filtering.is_some_and(|filtering| !filtering.on)
            && self.filtering != VlanFiltering::Ensured
        {
            let name = &bridge.name;
            warnings.push((
                format!("bridge {name} does not filter VLANs, so they keep nothing apart (\"ensureVlanFiltering\" switches it on, \"strictVlan\" refuses such a bridge)"),
                vec![format!("ip link set {name} type bridge vlan_filtering 1")],
            ));
        }
        let lost = self.access.filter(|id| self.trunk.contains(id));
        if let Some(id) = lost.filter(|_| !self.strict) {
            warnings.push((
                format!("VLAN {id} is in \"vlanTrunk\", too, so frames without a tag are dropped (\"strictVlan\" keeps them)"),
                Vec::new(),
            ));
        }
        warnings
    }
}

/// VLANs by their numbers.
#[derive(Debug, Default)]
struct Table(BTreeMap<u16, PortVlan>);

impl Table {
    /// Sets the VLAN of untagged frames. A port has one for incoming ones.
    fn put_own(&mut self, id: u16) {
        for vlan in self.0.values_mut() {
            vlan.pvid = false;
        }
        self.put(id, true);
    }

    fn put_tagged(&mut self, id: u16) {
        self.put(id, false);
    }

    fn put(&mut self, id: u16, is_own: bool) {
        let vlan = PortVlan {
            id,
            pvid: is_own,
            untagged: is_own,
        };
        self.0.insert(id, vlan);
    }
}

fn default_of(bridge: &Link) -> Option<u16> {
    bridge.filtering.and_then(|filtering| filtering.default)
}

/// The VLANs as `bridge vlan` prints them.
fn text(vlans: &[PortVlan]) -> String {
    if vlans.is_empty() {
        return "none".to_owned();
    }
    let one = |vlan: &PortVlan| {
        let mut text = vlan.id.to_string();
        for (is_set, word) in [(vlan.pvid, " PVID"), (vlan.untagged, " untagged")] {
            text.push_str(if is_set { word } else { "" });
        }
        text
    };
    let each: Vec<_> = vlans.iter().map(one).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::tests::plan;

    fn vlans(keys: &str) -> Vlans {
        plan(keys, "").unwrap().vlans
    }

    /// The table on Linux 6.1 after an ADD of the Go suite 1.9.1.
    #[test]
    fn the_table_is_that_of_the_reference() {
        for (keys, expected) in [
            ("", "1 PVID untagged"),
            (r#","vlan":0,"vlanTrunk":null"#, "1 PVID untagged"),
            (r#","preserveDefaultVlan":true"#, "1 PVID untagged"),
            (r#","vlan":100"#, "100 PVID untagged"),
            (
                r#","vlan":100,"preserveDefaultVlan":true"#,
                "1 untagged, 100 PVID untagged",
            ),
            (r#","vlan":1"#, "1 PVID untagged"),
            (
                r#","vlanTrunk":[{"id":42},{"minID":100,"maxID":102}]"#,
                "1 PVID untagged, 42, 100, 101, 102",
            ),
            (
                r#","vlanTrunk":[{"id":42}],"preserveDefaultVlan":true"#,
                "1 PVID untagged, 42",
            ),
            (
                r#","vlan":100,"vlanTrunk":[{"id":7}]"#,
                "7, 100 PVID untagged",
            ),
            (
                r#","vlan":200,"vlanTrunk":[{"id":42},{"id":200}]"#,
                "42, 200",
            ),
            (
                r#","vlan":200,"vlanTrunk":[{"id":42},{"id":200}],"strictVlan":true"#,
                "42, 200 PVID untagged",
            ),
            (r#","vlanTrunk":[]"#, "1 PVID untagged"),
            (r#","vlanTrunk":[{}]"#, "1 PVID untagged"),
            (
                r#","vlanTrunk":[{"id":5,"minID":7,"maxID":9}]"#,
                "1 PVID untagged, 5, 7, 8, 9",
            ),
        ] {
            assert_eq!(text(&vlans(keys).table(Some(1))), expected, "{keys}");
        }
        let of_other_default = |keys, default| text(&vlans(keys).table(default));
        let kept = r#","vlan":100,"preserveDefaultVlan":true"#;
        assert_eq!(
            of_other_default(kept, Some(5)),
            "5 untagged, 100 PVID untagged"
        );
        assert_eq!(of_other_default(kept, None), "100 PVID untagged");
        assert_eq!(of_other_default("", None), "none");
        assert_eq!(
            of_other_default(r#","vlanTrunk":[{"id":5}]"#, Some(5)),
            "1 PVID untagged, 5"
        );
    }

    #[test]
    fn a_bridge_is_to_filter_where_a_key_is_there() {
        use VlanFiltering::{Any, Ensured, Needed, Preferred};
        for (keys, expected) in [
            ("", Any),
            (r#","preserveDefaultVlan":true,"strictVlan":true"#, Any),
            (r#","ensureVlanFiltering":true,"vlanTrunk":null"#, Any),
            (r#","vlan":7"#, Preferred),
            (r#","vlanTrunk":[]"#, Preferred),
            (r#","vlan":7,"strictVlan":true"#, Needed),
            (
                r#","vlan":7,"strictVlan":true,"ensureVlanFiltering":true"#,
                Ensured,
            ),
        ] {
            assert_eq!(vlans(keys).filtering(), expected, "{keys}");
        }
    }

    #[test]
    fn an_own_vlan_that_the_trunk_takes_is_told() {
        let both = r#","vlan":200,"vlanTrunk":[{"id":200}]"#;
        let told = vlans(both).warnings(None);
        assert!(told[0].0.starts_with("VLAN 200 is in"), "{told:?}");
        let strict = format!(r#"{both},"strictVlan":true"#);
        assert_eq!(vlans(&strict).warnings(None), []);
        assert_eq!(vlans(r#","vlan":200"#).warnings(None), []);
    }
}
