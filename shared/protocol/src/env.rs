//! The `CNI_*` variables and the order in which they are checked.

use crate::command::Command;
use crate::error::{ErrorCode, Failure};
use crate::ident::{ContainerId, IfName};

/// A variable of the protocol, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Var {
    /// `CNI_COMMAND`
    Command,
    /// `CNI_CONTAINERID`
    ContainerId,
    /// `CNI_NETNS`
    Netns,
    /// `CNI_IFNAME`
    IfName,
    /// `CNI_ARGS`
    Args,
    /// `CNI_PATH`
    Path,
    /// `CNI_NETNS_OVERRIDE`
    NetnsOverride,
}

impl Var {
    /// Every variable, in the order of the checks.
    pub const ALL: [Self; 7] = [
        Self::Command,
        Self::ContainerId,
        Self::Netns,
        Self::IfName,
        Self::Args,
        Self::Path,
        Self::NetnsOverride,
    ];

    /// The variable's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "CNI_COMMAND",
            Self::ContainerId => "CNI_CONTAINERID",
            Self::Netns => "CNI_NETNS",
            Self::IfName => "CNI_IFNAME",
            Self::Args => "CNI_ARGS",
            Self::Path => "CNI_PATH",
            Self::NetnsOverride => "CNI_NETNS_OVERRIDE",
        }
    }

    /// Whether `verb` needs it to be present and non-empty (spec 1.1.0, section 2; `CNI_PATH` as libcni's skel has it).
    pub const fn is_required_by(self, verb: Command) -> bool {
        match self {
            Self::Command => true,
            Self::ContainerId | Self::IfName => matches!(
                verb,
                Command::Add | Command::Check | Command::Del | Command::Restore
            ),
            Self::Netns => matches!(verb, Command::Add | Command::Check | Command::Restore),
            Self::Path => !matches!(verb, Command::Version),
            Self::Args | Self::NetnsOverride => false,
        }
    }
}

/// The values of the variables. An absent one is empty: the protocol does not distinguish the two.
#[derive(Debug, Clone, Default)]
pub struct Env {
    /// `CNI_COMMAND`
    pub command: String,
    /// `CNI_CONTAINERID`
    pub container_id: String,
    /// `CNI_NETNS`
    pub netns: String,
    /// `CNI_IFNAME`
    pub ifname: String,
    /// `CNI_ARGS`
    pub args: String,
    /// `CNI_PATH`
    pub path: String,
    /// `CNI_NETNS_OVERRIDE`
    pub netns_override: String,
    /// `DBUS_SYSTEM_BUS_ADDRESS`, which is not part of the protocol.
    pub system_bus: String,
}

impl Env {
    /// Reads every variable through `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = |var: Var| lookup(var.name()).unwrap_or_default();
        Self {
            command: value(Var::Command),
            container_id: value(Var::ContainerId),
            netns: value(Var::Netns),
            ifname: value(Var::IfName),
            args: value(Var::Args),
            path: value(Var::Path),
            netns_override: value(Var::NetnsOverride),
            system_bus: lookup("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default(),
        }
    }

    /// One variable's value.
    pub fn get(&self, var: Var) -> &str {
        match var {
            Var::Command => &self.command,
            Var::ContainerId => &self.container_id,
            Var::Netns => &self.netns,
            Var::IfName => &self.ifname,
            Var::Args => &self.args,
            Var::Path => &self.path,
            Var::NetnsOverride => &self.netns_override,
        }
    }

    /// Checks the variables as libcni's skel does: an invalid value is reported at once and hides missing ones;
    /// the missing ones are reported together. Code 4.
    pub fn validate(&self) -> Result<(), Failure> {
        let command = Command::parse(&self.command);
        let mut missing = Vec::new();
        for var in Var::ALL {
            let required =
                var == Var::Command || command.is_some_and(|verb| var.is_required_by(verb));
            if !required {
                continue;
            }
            let value = self.get(var);
            if value.is_empty() {
                missing.push(var.name());
                continue;
            }
            match var {
                Var::ContainerId => drop(ContainerId::parse(value)?),
                Var::IfName => drop(IfName::parse(value)?),
                _ => {}
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            format!("required env variables [{}] missing", missing.join(",")),
        ))
    }

    /// Whether `CNI_NETNS_OVERRIDE` allows the plugin's own namespace as `CNI_NETNS`.
    pub fn netns_override(&self) -> bool {
        self.netns_override == "1" || self.netns_override.eq_ignore_ascii_case("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn missing_variables_are_reported_together_in_order() {
        let failure = env(&[("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "eth0")])
            .validate()
            .unwrap_err();
        assert_eq!(failure.code(), ErrorCode::INVALID_ENVIRONMENT);
        assert_eq!(
            failure.message(),
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_PATH] missing"
        );
    }

    #[test]
    fn an_invalid_value_hides_missing_ones() {
        let failure = env(&[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a/b")])
            .validate()
            .unwrap_err();
        assert_eq!(failure.message(), "invalid characters in containerID");
    }

    #[test]
    fn each_verb_requires_its_own_set() {
        let cases = [
            ("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
            ("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
            ("GC", "CNI_PATH"),
            ("STATUS", "CNI_PATH"),
        ];
        for (verb, names) in cases {
            let failure = env(&[("CNI_COMMAND", verb)]).validate().unwrap_err();
            assert_eq!(
                failure.message(),
                format!("required env variables [{names}] missing")
            );
        }
        assert!(env(&[("CNI_COMMAND", "VERSION")]).validate().is_ok());
    }

    #[test]
    fn an_unneeded_variable_is_not_validated() {
        let given = [
            ("CNI_COMMAND", "GC"),
            ("CNI_PATH", "/x"),
            ("CNI_CONTAINERID", "///"),
        ];
        assert!(env(&given).validate().is_ok());
    }
}
