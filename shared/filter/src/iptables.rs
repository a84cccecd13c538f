//! Tables of iptables, where a configuration asks for iptables or an older suite has left something there:
//! `iptables-save` reads a table, `iptables-restore` changes it.

use std::io::ErrorKind;
use std::process::{Command, Output};

use linkspan_invoke::{communicate, start};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::{Family, PerFamily};

/// The programs of one family, and their table.
#[derive(Debug, Clone, Copy)]
pub struct Iptables {
    save: &'static str,
    restore: &'static str,
    table: &'static str,
}

/// The table for address translation, which has nearly all of our rules.
const NAT: &str = "nat";

/// The system's default programs.
const USUAL: PerFamily<Iptables> = PerFamily {
    v4: Iptables {
        save: "iptables-save",
        restore: "iptables-restore",
        table: NAT,
    },
    v6: Iptables {
        save: "ip6tables-save",
        restore: "ip6tables-restore",
        table: NAT,
    },
};

/// The programs of iptables-legacy, on systems with both.
const LEGACY: PerFamily<Iptables> = PerFamily {
    v4: Iptables {
        save: "iptables-legacy-save",
        restore: "iptables-legacy-restore",
        table: NAT,
    },
    v6: Iptables {
        save: "ip6tables-legacy-save",
        restore: "ip6tables-legacy-restore",
        table: NAT,
    },
};

/// The output of `iptables-save` for the table.
#[derive(Debug, Default)]
pub struct Saved(Vec<String>);

impl Saved {
    /// Returns whether the chain exists.
    pub fn has_chain(&self, chain: &str) -> bool {
        let declared = format!(":{chain} ");
        self.0.iter().any(|line| line.starts_with(&declared))
    }

    /// The rules that jump to `chain`, each as the line that adds the rule.
    pub fn rules_to<'a>(&'a self, chain: &'a str) -> impl Iterator<Item = &'a str> {
        self.rules()
            .filter(move |rule| rule.split(' ').rev().take(2).eq([chain, "-j"]))
    }

    /// The rules of `chain`.
    pub fn rules_of(&self, chain: &str) -> impl Iterator<Item = &str> {
        let added = format!("-A {chain} ");
        self.rules().filter(move |rule| rule.starts_with(&added))
    }

    /// The rules of `chain` with a comment and a jump: comment and target.
    pub fn told_of(&self, chain: &str) -> impl Iterator<Item = (String, &str)> {
        self.rules_of(chain).filter_map(|rule| {
            let (_, comment) = rule.split_once("--comment \"")?;
            let (_, target) = rule.rsplit_once(" -j ")?;
            Some((unquoted(comment), target))
        })
    }

    fn rules(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("-A "))
    }
}

/// The program's name for a family.
pub fn program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

impl Iptables {
    /// The system's programs for a family, with the table `nat`.
    pub fn of(family: Family) -> Self {
        USUAL.of_family(family)
    }

    /// The same programs for another table.
    #[must_use]
    pub fn on(self, table: &'static str) -> Self {
        Self { table, ..self }
    }

    /// The programs of iptables-legacy for a family; the default programs on systems without separate ones.
    pub fn legacy(family: Family) -> Self {
        let legacy = LEGACY.of_family(family);
        match execute(legacy.save, &["--version"], "") {
            Ok(_) => legacy,
            Err(_) => Self::of(family),
        }
    }

    /// Applies `lines` to a table of the older packet filter of a family, all of them or none. Executes one program;
    /// some systems have only the usual ones.
    pub fn apply_legacy(family: Family, table: &'static str, lines: &[String]) -> Result<()> {
        let legacy = LEGACY.of_family(family).on(table);
        match legacy.restore(lines)? {
            Some(_) => Ok(()),
            None => Self::of(family).on(table).apply(lines),
        }
    }

    /// Reads the table.
    pub fn saved(self) -> Result<Saved> {
        let printed = execute(self.save, &["-t", self.table], "")?;
        let text = String::from_utf8_lossy(&printed.stdout);
        Ok(Saved(text.lines().map(str::to_owned).collect()))
    }

    /// Applies all of `lines`, or none.
    pub fn apply(self, lines: &[String]) -> Result<()> {
        let applied = self.restore(lines)?;
        applied.map(drop).ok_or_else(|| missing(self.restore))
    }

    /// `None` where the program is not installed.
    fn restore(self, lines: &[String]) -> Result<Option<Output>> {
        let script = format!("*{}\n{}\nCOMMIT\n", self.table, lines.join("\n"));
        execute_if_found(self.restore, &["--noflush", "--wait"], &script)
    }
}

fn execute(program: &str, args: &[&str], input: &str) -> Result<Output> {
    execute_if_found(program, args, input)?.ok_or_else(|| missing(program))
}

fn missing(program: &str) -> Failure {
    Failure::new(ErrorCode::INTERNAL, "not found")
        .context(format!("execute {program}"))
        .hint("install iptables, or set the backend to \"nftables\"")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that executes a program other than a plugin: it changes iptables where that is in use"
)]
fn execute_if_found(program: &str, args: &[&str], input: &str) -> Result<Option<Output>> {
    let started = start(Command::new(program).args(args));
    let failed = |what: String| {
        Failure::new(ErrorCode::INTERNAL, what).context(format!("execute {program}"))
    };
    let child = match started {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        started => started.map_err(|err| failed(err.to_string()))?,
    };
    let output = communicate(child, input.as_bytes(), None)
        .map_err(|err| failed(err.to_string()).in_doubt())?;
    match output.status.code() {
        Some(0) => Ok(Some(output)),
        Some(_) => Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
        None => Err(failed(output.status.to_string()).in_doubt()),
    }
}

/// The text before the closing quote, unescaped.
fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => plain.extend(chars.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// The line that deletes the rule of an adding line.
pub fn deletion(added: &str) -> String {
    added.replacen("-A ", "-D ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_their_chain_and_by_their_target() {
        let saved = Saved(
            [
                "*nat",
                ":POSTROUTING ACCEPT [0:0]",
                ":CNI-1 - [0:0]",
                "-A POSTROUTING -s 10.1.2.2/32 -m comment --comment \"a \\\"b\\\" -j CNI-2\" -j CNI-1",
                "-A CNI-1 -d 10.1.2.0/24 -j ACCEPT",
                "COMMIT",
            ]
            .map(str::to_owned)
            .to_vec(),
        );
        assert!(saved.has_chain("CNI-1") && !saved.has_chain("CNI"));
        assert_eq!(saved.rules_of("CNI-1").count(), 1);
        assert_eq!(saved.rules_to("CNI-2").count(), 0);
        let rules: Vec<_> = saved.rules_to("CNI-1").map(deletion).collect();
        assert!(rules[0].starts_with("-D POSTROUTING -s"), "{rules:?}");
        let told: Vec<_> = saved.told_of("POSTROUTING").collect();
        assert_eq!(told, [("a \"b\" -j CNI-2".to_owned(), "CNI-1")]);
    }
}
