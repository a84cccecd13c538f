//! Judges a network beside the others of its directory, and beside the host.

use std::fs;
use std::path::Path;

use linkspan_runtime::confdir;
use linkspan_runtime::conflist::NetworkList;

use super::{Report, Validator};
use crate::addressing::{Conf, overlaps, routes};

impl Validator<'_> {
    /// Compares the network with the other lists of an engine's directory and with the host's routes. A list elsewhere is
    /// judged by itself, because it may be meant for another host.
    pub(super) fn beside_others(
        &self,
        path: &Path,
        dir: &Path,
        list: &NetworkList,
        report: &mut Report,
    ) {
        if !is_same(dir, self.net_dir) {
            return;
        }
        let name = path.file_name();
        let others = confdir::each(dir).unwrap_or_default();
        let others = others
            .into_iter()
            .filter(|(other, _)| other.file_name() != name);
        // A file that cannot be decoded is judged when its turn comes.
        let others: Vec<NetworkList> = others.filter_map(|(_, other)| other.ok()).collect();
        let others: Vec<Conf<'_>> = others.iter().map(Conf).collect();
        // Without the rights to look, only the directory is compared.
        let routes = routes().unwrap_or_default();
        for found in overlaps(Conf(list), &others, &routes) {
            report
                .problems
                .push(format!("{}; {}", found.what, found.mend));
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}
