//! What several answers tell of name resolution.

use linkspan_protocol::result::Dns;

/// Adds what both families told once.
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
