//! The administrator's list of the sysctls that a configuration may name, in the place and form of the Go suite.
//!
//! Each line is a regular expression. A key is allowed if some line matches any part of the key as written in the
//! configuration. A missing file allows everything; an empty file allows nothing.

use std::fs;
use std::io::ErrorKind;

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use regex_lite::Regex;

/// The file.
pub const PATH: &str = "/etc/cni/tuning/allowlist.conf";

/// Refuses a key that is not on the list. A list that is unreadable or malformed allows nothing.
pub fn permit(keys: &[&str]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    match fs::read_to_string(PATH) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        Err(err) => {
            let text = format!("read {PATH}: {err}");
            Err(Failure::new(ErrorCode::INTERNAL, text)
                .hint("make the list of allowed sysctls readable, or remove it"))
        }
        Ok(text) => permit_by(&text, keys),
    }
}

fn permit_by(text: &str, keys: &[&str]) -> Result<()> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let compiled = lines.map(|line| Regex::new(line).map_err(|err| unreadable(line, &err)));
    let allowed: Vec<Regex> = compiled.collect::<Result<_>>()?;
    let is_allowed = |key: &str| allowed.iter().any(|one| one.is_match(key));
    match keys.iter().find(|key| !is_allowed(key)) {
        Some(key) => Err(refused(key, &allowed)),
        None => Ok(()),
    }
}

fn refused(key: &str, allowed: &[Regex]) -> Failure {
    let listed: Vec<_> = allowed.iter().map(Regex::as_str).collect();
    Failure::config(format!(
        "Sysctl {key} is not allowed. Only the following sysctls are allowed: [{}]",
        listed.join(" ")
    ))
    .hint(format!("ask the administrator to add it to {PATH}"))
}

fn unreadable(line: &str, err: &regex_lite::Error) -> Failure {
    let text = format!("{PATH}: {line:?} is not a regular expression: {err}");
    Failure::new(ErrorCode::INTERNAL, text.replace('\n', " "))
        .hint("correct that line; until then no sysctl is allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_allowed_by_a_match_of_any_part_of_it_as_it_is_written() {
        let list = "\n ^net\\.ipv4\\.conf\\.other\\.[a-z_]*$ \nsomaxconn\n";
        for (key, allowed) in [
            ("net.ipv4.conf.other.log_martians", true),
            ("net/ipv4/conf/other/log_martians", false),
            ("net.ipv4.conf.all.log_martians", false),
            ("net.core.somaxconn", true),
        ] {
            assert_eq!(permit_by(list, &[key]).is_ok(), allowed, "{key}");
        }
        let told = permit_by("a\n\nb", &["c"]).unwrap_err();
        let says = "Sysctl c is not allowed. Only the following sysctls are allowed: [a b]";
        assert_eq!(told.message(), says);
    }

    #[test]
    fn an_empty_list_and_a_broken_one_allow_nothing() {
        assert!(permit_by("", &["a"]).is_err());
        let told = permit_by("a\n(", &["a"]).unwrap_err();
        assert!(told.message().contains("\"(\" is not a regular expression"));
    }
}
