//! `linkspan completion SHELL`: the script for a shell, and the names that it offers.

use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use linkspan_netlink::named;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::{Result, confdir};

use crate::attachments::{Attached, all};
use crate::output;

/// A shell, or a request of its script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
    /// Names of networks, namespaces, containers and pods, one a line.
    #[value(hide = true)]
    Words,
}

/// The directories of configurations and of results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Where<'a> {
    pub(crate) net_dir: &'a Path,
    pub(crate) cache_dir: &'a Path,
}

pub(crate) fn run(out: &mut dyn Write, shell: Shell, places: Where<'_>) -> Result<()> {
    let text = match shell {
        Shell::Bash => include_str!("../../../deploy/completions/linkspan.bash").to_owned(),
        Shell::Fish => include_str!("../../../deploy/completions/linkspan.fish").to_owned(),
        Shell::Zsh => include_str!("../../../deploy/completions/_linkspan").to_owned(),
        Shell::Words => words(places),
    };
    output::text(out, &text)
}

/// The names found in these places. Shells expand words, so only plain ones are printed.
fn words(places: Where<'_>) -> String {
    let mut words = confdir::names(places.net_dir);
    words.extend(named::list().unwrap_or_default());
    let (attached, _unreadable) = all(&Cache::new(places.cache_dir)).unwrap_or_default();
    words.extend(attached.iter().map(|one| one.entry.container_id.clone()));
    words.extend(
        attached
            .iter()
            .filter_map(Attached::pod)
            .map(|pod| pod.text()),
    );
    let is_plain = |word: &String| {
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        !word.is_empty() && word.chars().all(is_safe)
    };
    words.retain(is_plain);
    words.sort();
    words.dedup();
    words.into_iter().map(|word| word + "\n").collect()
}
