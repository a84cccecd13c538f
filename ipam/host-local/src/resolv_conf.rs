//! Reading name resolution from a file in the form of resolv.conf(5).

use std::fs;
use std::path::Path;

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::Dns;

/// Reads `path`; unknown lines are ignored.
pub(crate) fn read(path: &Path) -> Result<Dns> {
    let bytes = fs::read(path).map_err(|err| {
        let text = format!("open {}: {err}", path.display());
        Failure::new(ErrorCode::INTERNAL, text)
            .hint("set ipam.resolvConf to a file that this plugin can read")
    })?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(key) = words.next() else { continue };
        match key.as_str() {
            "nameserver" => dns.nameservers.extend(words.next()),
            "domain" => dns.domain = words.next().unwrap_or(dns.domain),
            "search" => dns.search.extend(words),
            "options" => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_count_and_the_last_domain_wins() {
        let dns = parse(
            "# a comment\n  nameserver 192.0.2.0\nnameserver 192.0.2.1 x\n;c\ndomain a\ndomain\ndomain b\nsearch x y\nsearch z\noptions four ndots:2\nweird",
        );
        assert_eq!(dns.nameservers, ["192.0.2.0", "192.0.2.1"]);
        assert_eq!(dns.domain, "b");
        assert_eq!(dns.search, ["x", "y", "z"]);
        assert_eq!(dns.options, ["four", "ndots:2"]);
    }
}
