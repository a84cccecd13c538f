//! The value of the switch.

use std::path::PathBuf;

use crate::warn;

/// Which calls the journal gets a record of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Nothing,
    Failures,
    All,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Switch {
    /// Where spans and counters go.
    pub(super) dir: Option<PathBuf>,
    pub(super) journal: Level,
}

impl Switch {
    /// `DIR[,journal[=info]]`, where DIR is absolute, or empty for the journal alone. Nothing is on where the value is
    /// empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',').map(str::trim);
        let dir = words.next().unwrap_or_default();
        let mut switch = Self {
            dir: dir.starts_with('/').then(|| PathBuf::from(dir)),
            journal: Level::Nothing,
        };
        if !dir.is_empty() && switch.dir.is_none() {
            unknown(dir);
        }
        for word in words {
            match word {
                "journal" => switch.journal = Level::Failures,
                "journal=info" => switch.journal = Level::All,
                "" => {}
                other => unknown(other),
            }
        }
        (switch.dir.is_some() || switch.journal != Level::Nothing).then_some(switch)
    }
}

fn unknown(word: &str) {
    warn(&format!(
        "linkspan: {} is DIR[,journal[=info]] with an absolute path; {word:?} is ignored",
        super::SWITCH
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_switch_may_be_alone() {
        let switch = |dir: Option<&str>, journal| {
            let dir = dir.map(PathBuf::from);
            Some(Switch { dir, journal })
        };
        for (text, expected) in [
            ("", None),
            ("relative", None),
            (",", None),
            ("/run/x", switch(Some("/run/x"), Level::Nothing)),
            ("/run/x,journal", switch(Some("/run/x"), Level::Failures)),
            ("/run/x, journal=info", switch(Some("/run/x"), Level::All)),
            (",journal", switch(None, Level::Failures)),
            ("/run/x,tracing", switch(Some("/run/x"), Level::Nothing)),
        ] {
            assert_eq!(Switch::parse(text), expected, "{text}");
        }
    }
}
