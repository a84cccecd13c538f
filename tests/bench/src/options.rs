//! The options of the command line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

use crate::scenario::Who;

/// A suite for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) who: Who,
    pub(crate) dir: PathBuf,
}

impl FromStr for Peer {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (who, dir) = match text.strip_prefix("nftables:") {
            Some(dir) => (Who::Nftables, dir),
            None => (Who::Theirs, text),
        };
        Ok(Self {
            who,
            dir: dir.into(),
        })
    }
}

/// Measures the cost of plugins, as whole processes, in namespaces of its own.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Measure the plugins of this directory instead of those built into the benchmark
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
    /// Measure the plugins of this directory, too, for comparison (such as /usr/lib/cni); with `nftables:` before it, with
    /// their backend of that name. May be given once for each
    #[arg(long, value_name = "[nftables:]DIR")]
    pub(crate) compare: Vec<Peer>,
    /// Podman's netavark, measured for comparison wherever another suite is
    #[arg(long, value_name = "FILE", default_value = "/usr/lib/podman/netavark")]
    pub(crate) netavark: PathBuf,
    /// Rounds per case
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) rounds: usize,
    /// Seconds after which a case ends, with three rounds at least; so for pods that live, with twenty at least
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) patience: u64,
    /// The most pods on one node, to see whether the 100th, the 1,000th and the 2,000th are as fast as the 10th
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) pods: usize,
    /// Runtimes that attach pods at once, one number after the other
    #[arg(
        long,
        value_name = "N",
        default_value = "32,100",
        value_delimiter = ','
    )]
    pub(crate) runtimes: Vec<usize>,
    /// Also measure host-local with pools of up to 65,533 leases, which take a minute or two to fill
    #[arg(long)]
    pub(crate) pools: bool,
    /// Directory for all files; the default is the directory for temporary files
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Only the cases whose name contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// The JSON of an earlier run, whose values are told beside those of this one as what was before
    #[arg(long, value_name = "FILE")]
    pub(crate) before: Option<PathBuf>,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also draw the medians as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_comes_before_the_directory() {
        let peer = |text: &str| text.parse::<Peer>().unwrap();
        let of = |who| Peer {
            who,
            dir: "/usr/lib/cni".into(),
        };
        assert_eq!(peer("/usr/lib/cni"), of(Who::Theirs));
        assert_eq!(peer("nftables:/usr/lib/cni"), of(Who::Nftables));
    }
}
