//! ATTACHMENT: the words that name an attachment. A namespace's name or path, `pid:N`, the beginning of a container's
//! id, `pod:NAMESPACE/NAME`, or an address.

use std::net::IpAddr;

use linkspan_netlink::named;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::attachment::absolute;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::holder::is_same;

use super::{Attached, all};
use crate::end::End;

/// A command line's words for one attachment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) word: &'a str,
    /// The name of the network, where several have the namespace.
    pub(crate) network: Option<&'a str>,
    pub(crate) ifname: Option<&'a str>,
}

impl Wanted<'_> {
    fn takes(&self, one: &Attached) -> bool {
        self.network
            .is_none_or(|name| one.entry.network_name == name)
            && self.ifname.is_none_or(|name| one.entry.if_name == name)
            && is_named(one, self.word)
    }
}

/// Whether the word is a name of the attachment.
fn is_named(one: &Attached, word: &str) -> bool {
    let netns = &one.entry.netns;
    if let Some(pid) = word.strip_prefix("pid:") {
        return pid.parse::<u32>().is_ok() && is_same(netns, &format!("/proc/{pid}/ns/net"));
    }
    let is_pod = |name: &str| {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let fits = |pod: super::Pod| {
            pod.name == name && (namespace.is_empty() || pod.namespace == namespace)
        };
        one.pod().is_some_and(fits)
    };
    if let Some(name) = word.strip_prefix("pod:") {
        return is_pod(name);
    }
    if let Ok(ip) = word.parse::<IpAddr>() {
        return one.ips().any(|own| own == ip);
    }
    if word.contains('/') {
        let path = absolute(word).map(|path| path.to_string_lossy().into_owned());
        let is_path = path.is_ok_and(|path| is_same(netns, &path) || *netns == path);
        return is_path || is_pod(word);
    }
    let path = named::path(word).map(|path| path.to_string_lossy().into_owned());
    !word.is_empty()
        && (path.is_ok_and(|path| is_same(netns, &path) || *netns == path)
            || one.entry.container_id.starts_with(word))
}

/// The attachments that a word names. A whole id names its container alone.
fn meant(every: Vec<Attached>, wanted: Wanted<'_>) -> Vec<Attached> {
    let mut found: Vec<Attached> = every.into_iter().filter(|one| wanted.takes(one)).collect();
    if found
        .iter()
        .any(|one| one.entry.container_id == wanted.word)
    {
        found.retain(|one| one.entry.container_id == wanted.word);
    }
    found
}

/// All named attachments, at least one.
pub(crate) fn find_all(cache: &Cache, wanted: Wanted<'_>) -> Result<Vec<Attached>, End> {
    let (every, _unreadable) = all(cache)?;
    let names: Vec<String> = every.iter().map(Attached::name).collect();
    let found = meant(every, wanted);
    if found.is_empty() {
        return Err(End::unknown(none(wanted, &names)));
    }
    Ok(found)
}

/// The one named attachment, or the candidates.
pub(crate) fn find(cache: &Cache, wanted: Wanted<'_>) -> Result<Attached, End> {
    let found = find_all(cache, wanted)?;
    match <[Attached; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(several_meant) => Err(End::usage(several(wanted.word, &several_meant))),
    }
}

fn several(word: &str, found: &[Attached]) -> Failure {
    let told = format!("{word:?} names {} attachments", found.len());
    let failure = Failure::new(ErrorCode::INVALID_ENVIRONMENT, told);
    let failure = found
        .iter()
        .fold(failure, |failure, one| failure.detail(one.describe()));
    failure.hint("write more of the id, or say which with --net NETWORK or --ifname NAME")
}

fn none(wanted: Wanted<'_>, names: &[String]) -> Failure {
    let of = wanted.network.map(|name| format!(" of the network {name}"));
    let told = format!(
        "no attachment{} is named {:?}",
        of.unwrap_or_default(),
        wanted.word
    );
    let mut named: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "-")
        .collect();
    named.sort_unstable();
    named.dedup();
    let there = match named.as_slice() {
        [] => "nothing is attached".to_owned(),
        some => format!("attached: {}", some.join(", ")),
    };
    Failure::new(ErrorCode::UNKNOWN_CONTAINER, told).hint(format!(
        "{there}; write a namespace's name or path, pid:N, the beginning of an id, pod:NAMESPACE/NAME or an address"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_owner::life::Life;
    use linkspan_protocol::result::AddResult;
    use linkspan_runtime::cache::Entry;

    fn attached(id: &str, pod: &str) -> Attached {
        let args = [("K8S_POD_NAMESPACE", "prod"), ("K8S_POD_NAME", pod)];
        let mut entry = Entry::default();
        entry.container_id = id.to_owned();
        entry.if_name = "eth0".to_owned();
        entry.network_name = "net".to_owned();
        entry.netns = format!("/run/netns/of-{id}");
        entry.cni_args = args
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        Attached {
            entry,
            life: Life::Alive,
            result: AddResult::default(),
        }
    }

    fn ids(word: &str, network: Option<&str>) -> Vec<String> {
        let every = vec![
            attached("ab", "web"),
            attached("abc", "db"),
            attached("b", "web"),
        ];
        let wanted = Wanted {
            word,
            network,
            ifname: None,
        };
        meant(every, wanted)
            .into_iter()
            .map(|one| one.entry.container_id)
            .collect()
    }

    #[test]
    fn each_word_means_what_it_names() {
        for (word, expected) in [
            ("a", &["ab", "abc"][..]),
            ("ab", &["ab"]),
            ("abc", &["abc"]),
            ("of-b", &["b"]),
            ("/run/netns/of-b", &["b"]),
            ("/run/netns/../netns/of-b", &["b"]),
            ("pod:prod/web", &["ab", "b"]),
            ("pod:db", &["abc"]),
            ("prod/db", &["abc"]),
            ("pod:test/db", &[]),
            ("pid:x", &[]),
            ("10.0.0.1", &[]),
            ("", &[]),
        ] {
            assert_eq!(ids(word, None), expected, "{word}");
        }
        assert!(ids("ab", Some("other")).is_empty());
    }
}
