//! Merges name resolution of several answers.

use linkspan_protocol::result::Dns;

/// Adds `more` to `dns`, without duplicates.
pub(crate) fn merge(dns: &mut Dns, more: Dns) {
    for (have, more) in [
        (&mut dns.nameservers, more.nameservers),
        (&mut dns.search, more.search),
    ] {
        for word in more {
            if !have.contains(&word) {
                have.push(word);
            }
        }
    }
    if dns.domain.is_empty() {
        dns.domain = more.domain;
    }
}
